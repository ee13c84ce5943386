/**
 * The type of a node's tRPC router, for those who call its procedures with a client of their own.
 * It is computed from the table of operations; who imports it has `@trpc/server` installed.
 *
 * @example
 * import { createTRPCClient, httpLink } from "@trpc/client";
 * import type { AppRouter } from "@proofmill/client/trpc";
 * const node = createTRPCClient<AppRouter>({ links: [httpLink({ url: `${address}/trpc` })] });
 * const { state } = await node.pow.status.query();
 */
import type {
  InputOf,
  Operation,
  Operations,
  OperationTable,
  OutputOf,
  Refusal,
} from "@proofmill/core/wire";
import type {
  TRPCBuiltRouter,
  TRPCDefaultErrorShape,
  TRPCMutationProcedure,
  TRPCQueryProcedure,
  TRPCSubscriptionProcedure,
} from "@trpc/server";

/** What a failed call says: tRPC's own words, and core's refusal where it is one. */
export interface ErrorShape extends TRPCDefaultErrorShape {
  data: TRPCDefaultErrorShape["data"] & { refusal: Refusal | null; request_id: string | null };
}

/** One operation as a procedure; a subscription's events come under their ids. */
type ProcedureOf<O extends Operation> = O extends { kind: "subscription" }
  ? TRPCSubscriptionProcedure<{
      meta: object;
      input: InputOf<O>;
      output: AsyncIterable<{ id: string; data: OutputOf<O> }, void, unknown>;
    }>
  : O extends { kind: "command" }
    ? TRPCMutationProcedure<{ meta: object; input: InputOf<O>; output: OutputOf<O> }>
    : TRPCQueryProcedure<{ meta: object; input: InputOf<O>; output: OutputOf<O> }>;

type Namespace<Table extends OperationTable> = {
  [Name in keyof Table]: Table[Name] extends { procedure: `${infer Space}.${string}` }
    ? Space
    : never;
}[keyof Table];

type NamespaceOf<Table extends OperationTable, Space extends string> = {
  [Name in keyof Table as Table[Name] extends { procedure: `${Space}.${infer Own}` }
    ? Own
    : never]: ProcedureOf<Table[Name]>;
};

/** The router of a table of operations. */
export type RouterOf<
  Table extends OperationTable,
  Context extends object = object,
> = TRPCBuiltRouter<
  { ctx: Context; meta: object; errorShape: ErrorShape; transformer: false },
  { [Space in Namespace<Table>]: NamespaceOf<Table, Space> }
>;

/** A node's router. */
export type AppRouter = RouterOf<Operations>;
