/** tRPC as this node speaks it: its context, and core's errors as tRPC's, in one place. */
import type { ErrorShape } from "@proofmill/client/trpc";
import { PocError, type Refusal, type Scope } from "@proofmill/core";
import { initTRPC, TRPCError } from "@trpc/server";
import type { FastifyBaseLogger } from "fastify";
import { unmarked } from "../../http/bodies/bodies.ts";
import { marked } from "../../http/written.ts";

/** What a call knows of the connection that it came over. */
export interface Context {
  readonly requestId: string;
  /** Its lines name the request and the label of the caller's key. */
  readonly log: FastifyBaseLogger;
  /** Aborts when the connection has ended. */
  readonly gone: AbortSignal;
  /** Throws a PocError unless the caller's key has the scope. */
  checkScope(scope: Scope): void;
  /** What the caller's key allows. */
  readonly scopes: readonly Scope[];
  /** Aborts when the caller's key is not valid any more; null without a key. */
  readonly revoked: AbortSignal | null;
  /** Counts a subscription in, and throws when the connection has too many; gives what counts it out. */
  subscribe(): () => void;
  /** Counts a call in; gives what counts it out. */
  call(): () => void;
  /** Aborts as soon as the connection takes nothing any more, if it can tell. */
  readonly ended: AbortSignal | null;
  /** Resolves when the connection can take more. */
  writable(): Promise<void>;
  /** Resolves when it is this connection's turn to be told of the past. */
  nextTurn(): Promise<void>;
}

/** HTTP status → tRPC's word for it. */
const CODES = {
  400: "BAD_REQUEST",
  403: "FORBIDDEN",
  404: "NOT_FOUND",
  409: "CONFLICT",
  413: "PAYLOAD_TOO_LARGE",
  422: "UNPROCESSABLE_CONTENT",
  429: "TOO_MANY_REQUESTS",
  499: "CLIENT_CLOSED_REQUEST",
  500: "INTERNAL_SERVER_ERROR",
  503: "SERVICE_UNAVAILABLE",
} as const;

/**
 * Large bodies come as marks, for which what they were found to say is put in; lists of finds leave
 * as marks, for which each transport puts in what is written already.
 */
const marks = {
  transformer: {
    input: { serialize: (value: unknown) => value, deserialize: unmarked },
    output: { serialize: marked, deserialize: (value: unknown) => value },
  },
};

const t = initTRPC
  .context<Context>()
  .meta<{ scope: Scope }>()
  .create({
    ...(marks as object), // on the wire it is plain JSON: a client needs no transformer
    isDev: false, // no stack leaves the node
    sse: { ping: { enabled: true, intervalMs: 15_000 } },
    errorFormatter: ({ shape, error, ctx }): ErrorShape => {
      const { cause } = error;
      const refusal: Refusal | null =
        cause instanceof PocError
          ? {
              code: cause.code,
              detail: cause.detail,
              retry_after: cause.retryAfter ?? null,
              ...(cause.hint !== undefined && { hint: cause.hint }),
            }
          : null;
      // Whatever went wrong inside is for the log.
      const isFault = error.code === "INTERNAL_SERVER_ERROR" && !refusal;
      return {
        ...shape,
        message: isFault ? "Internal Server Error" : shape.message,
        data: { ...shape.data, refusal, request_id: ctx?.requestId ?? null },
      };
    },
  });

export const { router } = t;

/** A procedure for those who have the scope, whose refusals are tRPC's. */
export const procedureFor = (scope: Scope) =>
  t.procedure.meta({ scope }).use(async ({ ctx, next }) => {
    const done = ctx.call();
    try {
      ctx.checkScope(scope);
      const result = await next();
      if (!result.ok) throw asTrpcError(result.error);
      return result;
    } catch (error) {
      throw asTrpcError(error);
    } finally {
      done();
    }
  });

/** A core error under tRPC's code; any other as it is. */
export function asTrpcError(error: unknown): unknown {
  const cause = error instanceof TRPCError ? error.cause : error;
  if (!(cause instanceof PocError)) return error;
  const code = CODES[cause.status as keyof typeof CODES] ?? "INTERNAL_SERVER_ERROR";
  return new TRPCError({ code, message: cause.message, cause });
}
