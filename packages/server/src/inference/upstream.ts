/** Forwards inference to another server; the gate stands in front of it. */
import { AsyncLocalStorage } from "node:async_hooks";
import { Readable } from "node:stream";
import replyFrom from "@fastify/reply-from";
import type { FastifyInstance, FastifyReply, FastifyRequest } from "fastify";
import { ulid } from "ulid";
import { Agent, type Dispatcher } from "undici";
import { decode, forwardEvents, type OpenAiError } from "./events.ts";
import { GateClosed, type InferenceGate, pathOf, sendGateAnswer } from "./gate.ts";
import { type Headers, headersDown, headersUp } from "./headers.ts";

/** Besides all under /v1/. */
export const UPSTREAM_PATHS = ["/tokenize", "/detokenize"];

/** Milliseconds. A long answer may be computed for minutes before its first byte. */
const CONNECT_TIMEOUT = 5000;
const ANSWER_TIMEOUT = 600_000;
const HEALTH_TIMEOUT = 2000;
/** An answer about the upstream's health is kept so long, milliseconds. */
const HEALTH_AGE = 5000;
/** Characters of an answer with a version. */
const MAX_VERSION = 1024;

/** A path's segment that begins or ends with `..`, as `..;` does, however it is written. */
const DOTS = /(\/|\\|%2f|%5c)(\.|%2e){2}|(\.|%2e){2}(\/|\\|%2f|%5c|$)/i;

const AWAY: OpenAiError = {
  message: "The inference server does not answer",
  type: "server_error",
  param: null,
  code: "upstream_error",
};
const LOOP: OpenAiError = { ...AWAY, message: "The inference server leads back to this node" };

type UpstreamHealth = "ok" | "unreachable";

interface UpstreamOptions {
  /** E.g. `http://127.0.0.1:8001`. */
  url: string;
  /** Sent instead of whatever the caller sent. */
  apiKey?: string | undefined;
  /** Whether callers need keys of this node: these go no further. */
  isLocked: boolean;
  gate: InferenceGate;
}

export interface Upstream {
  /** As it was within the last seconds. */
  health(): Promise<UpstreamHealth>;
  /** What it calls its version, as vLLM does at /version; null where it says none. */
  version(): Promise<string | null>;
}

/** Forwards `/v1/*`, `/tokenize` and `/detokenize`. */
export async function useUpstream(
  app: FastifyInstance,
  options: UpstreamOptions,
): Promise<Upstream> {
  const { url, apiKey, isLocked, gate } = options;
  /** This node among those that a request went through (RFC 9110 §7.6.3). */
  const via = `proofmill-${ulid()}`;
  app.addHook("onRequest", async (request, reply) => {
    if (request.headers.via?.includes(via)) return sendError(reply, 508, LOOP);
  });
  const agent = new Agent({
    connect: { timeout: CONNECT_TIMEOUT },
    headersTimeout: ANSWER_TIMEOUT,
    bodyTimeout: ANSWER_TIMEOUT,
  });
  app.addHook("onClose", () => agent.destroy());
  /** What belongs to the request that is being made; the library has no place to keep it. */
  const making = new AsyncLocalStorage<Making>();
  const request = (call: Dispatcher.RequestOptions, done: Done) => {
    const { signal, fail } = making.getStore() as Making; // nobody else asks
    agent.request({ ...call, signal }, (error, answer) => {
      // The library would log each failure at length, and callers can make as many as they like.
      if (error) return fail(error);
      noteAway(null);
      done(null, answer);
    });
  };

  await app.register(async (scope) => {
    await scope.register(replyFrom, {
      base: url,
      undici: { request } as never, // the one method that it uses
      disableRequestLogging: true,
    });
    // Bodies go through as they come, whatever they are.
    scope.removeAllContentTypeParsers();
    scope.addContentTypeParser("*", (_request, payload, done) => done(null, payload));
    // Called for an answer that was cut off before its first byte.
    scope.setErrorHandler((error, _request, reply) => answerFailure(reply, error));
    for (const path of ["/v1/*", ...UPSTREAM_PATHS]) {
      const options = {
        config: { scope: "inference" as const },
        bodyLimit: Number.MAX_SAFE_INTEGER,
      };
      scope.all(path, options, forward);
    }
  });

  function forward(request: FastifyRequest, reply: FastifyReply): FastifyReply {
    const path = pathOf(request.url);
    // Dots in a path may lead anywhere on the upstream.
    if (DOTS.test(path)) {
      return reply.code(404).send({ detail: "Not Found" });
    }
    const closing = gate.enter(reply.raw);
    const end = new AbortController();
    const cut = () => end.abort(closing.reason);
    closing.addEventListener("abort", cut);
    let isGone = false;
    reply.raw.once("close", () => {
      if (reply.raw.writableFinished) return;
      isGone = true;
      end.abort();
    });
    const fail = (error: Error) => {
      if (isGone) return;
      if (!(error instanceof GateClosed)) noteAway(error);
      answerFailure(reply, error);
    };
    making.run({ signal: end.signal, fail }, () =>
      reply.from(path, {
        retryDelay: () => null, // a refusal is for the caller
        rewriteRequestHeaders: (_, headers) =>
          headersUp(headers, { method: request.method, via, apiKey, isLocked }),
        rewriteHeaders: (headers) => headersDown(headers, reply.getHeader("vary") as string),
        onError: (_, { error }) => fail(error), // called for a status that is no HTTP status
        onResponse: (_, to, answer) => {
          const { headers, stream } = answer as unknown as { headers: Headers; stream: Readable };
          const isEvents = /^text\/event-stream\b/i.test(String(headers["content-type"]));
          const events = isEvents && decode(stream, headers["content-encoding"]?.toString());
          if (!events) {
            to.send(stream);
            return;
          }
          // From here on `forwardEvents` ends the stream in order, with a last event.
          closing.removeEventListener("abort", cut);
          to.removeHeader("content-length");
          to.removeHeader("content-encoding");
          to.send(
            Readable.from(forwardEvents(events, { signal: closing, describe }), {
              objectMode: false,
            }),
          );
        },
      }),
    );
    return reply;
  }

  let isAway = false;
  /** Logs once that the upstream does not answer, and once that it does again. */
  function noteAway(error: Error | null): void {
    if (isAway === (error !== null)) return;
    isAway = error !== null;
    const { code, message } = (error ?? {}) as NodeJS.ErrnoException;
    if (error) app.log.warn({ reason: code ?? message }, "the upstream does not answer");
    else app.log.info("the upstream answers again");
  }

  let asked = Number.NEGATIVE_INFINITY;
  let health: Promise<UpstreamHealth> = Promise.resolve("unreachable");
  return {
    health: () => {
      if (performance.now() - asked > HEALTH_AGE) {
        asked = performance.now();
        health = askHealth(agent, { url, via });
      }
      return health;
    },
    version: () => askVersion(agent, { url, via }),
  };
}

type Done = (error: null, answer: Dispatcher.ResponseData) => void;

interface Making {
  /** Ends the request. */
  signal: AbortSignal;
  /** Answers the caller when the request failed. */
  fail(error: Error): void;
}

/** Any answer but a 5xx: not every server knows /health. */
async function askHealth(agent: Agent, asked: Asked): Promise<UpstreamHealth> {
  try {
    const { statusCode, body } = await ask(agent, asked, "/health");
    await body.dump();
    return statusCode < 500 ? "ok" : "unreachable";
  } catch {
    return "unreachable";
  }
}

async function askVersion(agent: Agent, asked: Asked): Promise<string | null> {
  try {
    const { statusCode, body } = await ask(agent, asked, "/version");
    let text = "";
    for await (const chunk of body) {
      text += chunk;
      if (text.length > MAX_VERSION) return null;
    }
    const { version } = (statusCode === 200 ? JSON.parse(text) : {}) as { version?: unknown };
    return typeof version === "string" ? version : null;
  } catch {
    return null; // away, or what it says is no JSON
  }
}

interface Asked {
  url: string;
  via: string;
}

function ask(agent: Agent, { url, via }: Asked, path: string): Promise<Dispatcher.ResponseData> {
  const signal = AbortSignal.timeout(HEALTH_TIMEOUT);
  const headers = { via: `1.1 ${via}` };
  return agent.request({ origin: url, path, method: "GET", headers, signal });
}

function answerFailure(reply: FastifyReply, error: unknown): FastifyReply {
  if (error instanceof GateClosed) return sendGateAnswer(reply, error);
  const { code } = error as { code?: unknown };
  const isLate = code === "UND_ERR_HEADERS_TIMEOUT" || code === "UND_ERR_CONNECT_TIMEOUT";
  return sendError(reply, isLate ? 504 : 502, describe(error));
}

function sendError(reply: FastifyReply, status: number, error: OpenAiError): FastifyReply {
  return reply.code(status).send({ detail: error.message, error });
}

/** A failure in OpenAI's words. */
function describe(reason: unknown): OpenAiError {
  return reason instanceof GateClosed ? reason.answer.error : AWAY;
}
