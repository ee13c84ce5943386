/** The SDK's methods, one for each procedure of the table of operations. */
import type {
  InputOf,
  Operation,
  OperationTable,
  OutputOf,
  SchemaName,
} from "@proofmill/core/wire";
import { type CallOptions, createCaller, type Endpoint, type Procedure } from "./calls.ts";
import type { Identified } from "./types.ts";
import { eachOnce, type FindsEvent, follow, type WatchOptions } from "./watch.ts";

const RETRIES = 2;

type Call<O extends Operation> = O extends { body: SchemaName }
  ? (body: InputOf<O>, options?: CallOptions) => Promise<OutputOf<O>>
  : O extends { query: SchemaName }
    ? (query?: InputOf<O>, options?: CallOptions) => Promise<OutputOf<O>>
    : (options?: CallOptions) => Promise<OutputOf<O>>;

type Watch<O extends Operation> = (
  options?: O extends { query: "Resume" }
    ? WatchOptions & { lastEventId?: string | undefined }
    : WatchOptions,
) => AsyncGenerator<Identified<OutputOf<O>>, void>;

type MethodName<Table extends OperationTable> = {
  [Name in keyof Table]: Table[Name] extends { procedure: string } ? Name : never;
}[keyof Table];

/** Over names of the table itself, so that editors find what it says of each. */
type MethodsNamed<Table extends OperationTable, Names extends keyof Table> = {
  [Name in Names]: Table[Name] extends { kind: "subscription" }
    ? Watch<Table[Name]>
    : Call<Table[Name]>;
};

export type Methods<Table extends OperationTable> = MethodsNamed<Table, MethodName<Table>>;

export interface MethodsOptions {
  endpoint: Endpoint;
  /** Instead of the table's times. */
  timeoutMs?: number | undefined;
  retries?: number | undefined;
  onResponse?: CallOptions["onResponse"];
}

export function createMethods<Table extends OperationTable>(
  operations: Table,
  { endpoint, timeoutMs, retries = RETRIES, onResponse }: MethodsOptions,
): Methods<Table> {
  const send = createCaller(endpoint);

  const call = (
    [method, operation]: readonly [string, Procedure],
    input: unknown,
    each: CallOptions | undefined,
  ) => {
    const defaults = { timeoutMs: timeoutMs ?? operation.timeoutMs ?? 0, retries, onResponse };
    return send({ method, operation, input, ...defaults, ...each });
  };

  const methodOf = (name: string, operation: Procedure) => {
    const { kind, procedure, body, query } = operation;
    if (kind === "subscription") {
      return (each: WatchOptions & { lastEventId?: string | undefined } = {}) => {
        const events = follow(endpoint, { ...each, procedure });
        // What can be gone on with are finds of rounds.
        return query === "Resume"
          ? eachOnce(events as AsyncGenerator<FindsEvent>, each.lastEventId)
          : events;
      };
    }
    return body || query
      ? (input: unknown, each?: CallOptions) => call([name, operation], input, each)
      : (each?: CallOptions) => call([name, operation], undefined, each);
  };

  const methods = Object.entries(operations).flatMap(([name, operation]) =>
    isProcedure(operation) ? [[name, methodOf(name, operation)]] : [],
  );
  // What each takes and answers is computed from the table, as they are.
  return Object.fromEntries(methods) as Methods<Table>;
}

function isProcedure(operation: Operation): operation is Procedure {
  return operation.procedure !== undefined;
}
