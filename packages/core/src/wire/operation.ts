/** What is said of an operation, and how its schemas are named. Free of Node. */
import type { z } from "zod";
import type * as artifactSchemas from "./artifact-schemas.ts";
import type { PocErrorCode } from "./errors.ts";
import type * as mlnodeSchemas from "./mlnode-schemas.ts";
import type * as schemas from "./schemas.ts";
import type { Scope } from "./scopes.ts";

export interface Operation {
  /** What changes the node, what asks it, and what goes on telling. */
  readonly kind: "command" | "query" | "subscription";
  /** One line, for the API document and beside the SDK's method. */
  readonly summary: string;
  /** The heading in the API document. */
  readonly group: "Proof of Compute" | "Artifacts" | "Node" | "Inference" | "The network's broker";
  /** Whose rounds it is for: a node that takes others alone does not have it. Absent: for all. */
  readonly rounds?: "distances" | "artifacts";
  /**
   * Method and path; absent where it is not offered over REST. A name in braces is a field of `query`.
   */
  readonly rest?: `${"GET" | "POST" | "DELETE"} /${string}`;
  /** tRPC's path; absent where it is no procedure, and so no method of the SDK either. */
  readonly procedure?: `${string}.${string}`;
  /** What is sent as JSON. */
  readonly body?: SchemaName;
  /** What may be asked for: REST's query string, a procedure's input. */
  readonly query?: SchemaName;
  /** The answer; of a subscription, one event. */
  readonly output: SchemaName;
  /** The status of the answer, 200 by default; null: it is always refused. */
  readonly success?: 202 | null;
  /** What it may be refused with. Doors refuse on their own account as well (docs/protocol.md §3). */
  readonly refusals: readonly PocErrorCode[];
  /** Statuses that its door alone refuses with. */
  readonly refusedByDoor?: readonly number[];
  /** How a refusal looks where that is not `ErrorAnswer`. */
  readonly refusal?: SchemaName;
  /** Whether twice is as good as once, so that a caller without an answer may ask again. */
  readonly repeatable: boolean;
  /** Milliseconds after which a caller may give up; of a subscription, null. */
  readonly timeoutMs: number | null;
  /** What a caller must be allowed to do. */
  readonly scope: Scope;
}

export type OperationTable = Readonly<Record<string, Operation>>;

/** All by name: schemas, and functions that make one for what a node allows. */
type Schemas = typeof schemas & typeof artifactSchemas & typeof mlnodeSchemas;
type SchemaMaker = (limits: schemas.InitLimits) => z.ZodType;
export type SchemaName = {
  [Name in keyof Schemas]: Schemas[Name] extends z.ZodType | SchemaMaker ? Name : never;
}[keyof Schemas];
export type SchemaOf<Name extends SchemaName> = Schemas[Name] extends SchemaMaker
  ? ReturnType<Schemas[Name]>
  : Schemas[Name] extends z.ZodType
    ? Schemas[Name]
    : never;

/** What the schema of that name makes of what it is given. */
export type Parsed<Name extends SchemaName> = z.output<SchemaOf<Name>>;

/** What a caller sends, as its schema takes it; undefined where nothing is sent. */
export type InputOf<O extends Operation> = O extends { body: infer Name extends SchemaName }
  ? z.input<SchemaOf<Name>>
  : O extends { query: infer Name extends SchemaName }
    ? z.input<SchemaOf<Name>> | undefined
    : undefined;

/** What is answered; of a subscription, one event. */
export type OutputOf<O extends Operation> = Parsed<O["output"]>;
