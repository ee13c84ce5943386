/** The procedures of the table of operations (docs/protocol.md §5): a thin door, as REST is. */
import type { RouterOf } from "@proofmill/client/trpc";
import { type Operation, type OperationTable, parseWith, Resume } from "@proofmill/core";
import { type AnyTRPCProcedure, tracked } from "@trpc/server";
import { type Call, type Calls, callOf, type Watch } from "../../calls.ts";
import { writeLists } from "../../http/written.ts";
import { asTrpcError, type Context, procedureFor, router } from "./trpc.ts";

/** The router of a table, each procedure in the namespace that its name begins with. */
export function createRouter<Table extends OperationTable>(
  operations: Table,
  calls: Calls<Table>,
): RouterOf<Table, Context> {
  const namespaces: Record<string, Record<string, AnyTRPCProcedure>> = {};
  for (const [name, operation] of Object.entries(operations)) {
    const [namespace, own] = operation.procedure?.split(".") ?? [];
    if (namespace === undefined || own === undefined) continue;
    namespaces[namespace] ??= {};
    namespaces[namespace][own] =
      operation.kind === "subscription"
        ? subscriptionTo(operation, calls[name] as Watch)
        : procedureOf(operation, callOf(operations, calls, name));
  }
  // The types are computed from the table, as this is: `RouterOf` says the same.
  return router(namespaces) as unknown as RouterOf<Table, Context>;
}

/** The calls alone say what is right: here everything passes. */
const anything = (value: unknown) => value;

const resume = (value: unknown) => parseWith(Resume.optional(), value, "body");

function procedureOf({ kind, body, query, scope }: Operation, call: Call): AnyTRPCProcedure {
  const procedure = procedureFor(scope);
  const asked = body || query ? procedure.input(anything) : procedure;
  return kind === "command"
    ? asked.mutation(({ input, ctx }) => answer(call, input, ctx))
    : asked.query(({ input, ctx }) => answer(call, input ?? undefined, ctx));
}

/** Any client that reconnects names its last event, also where the past does not matter. */
function subscriptionTo({ scope }: Operation, watch: Watch): AnyTRPCProcedure {
  return procedureFor(scope)
    .input(resume)
    .subscription(({ input, ctx, signal }) => {
      const lastEventId = input?.lastEventId ?? undefined;
      return stream(ctx, signal, (options) => watch({ ...options, lastEventId }));
    });
}

async function answer(call: Call, input: unknown, ctx: Context): Promise<object> {
  const { gone: signal, log, scopes } = ctx;
  return writeLists((await call(input, { signal, log, scopes })) as object);
}

/** A stream of core's as tRPC gives it out, counted as long as it runs. */
async function* stream<T>(ctx: Context, signal: AbortSignal | undefined, watch: Watch<T>) {
  // What ends the consumer ends the generator too, also where the transport gives no signal.
  const ended = new AbortController();
  const end = () => ended.abort();
  const signals = [signal, ctx.ended, ctx.revoked].filter((each) => each != null);
  for (const each of signals) each.addEventListener("abort", end);
  if (signals.some((each) => each.aborted)) end();
  const unsubscribe = ctx.subscribe();
  try {
    const options = {
      signal: ended.signal,
      writable: () => ctx.writable(),
      nextTurn: () => ctx.nextTurn(),
    };
    for await (const { id, event } of watch(options)) yield tracked(id, event);
  } catch (error) {
    throw asTrpcError(error);
  } finally {
    unsubscribe();
    end();
    for (const each of signals) each.removeEventListener("abort", end);
  }
}
