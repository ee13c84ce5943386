/** Errors as HTTP answers, in one place: `{"detail": …}` (docs/protocol.md §3). */
import { PocError } from "@proofmill/core";
import type { FastifyError, FastifyInstance, FastifyReply, FastifyRequest } from "fastify";

/** The answer under a path that nothing is known by. */
export const NOT_FOUND = { detail: "Not Found", hint: "the node's paths are listed at /docs" };

const JSON_HINT = "send JSON, with the header Content-Type: application/json";

/** No route takes another method. Above all not TRACE, which would send a caller's secrets back. */
const METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];

/**
 * Gives an instance our answers for errors, unknown paths and wrong methods. Called before the
 * routes are there.
 */
export function useErrorAnswers(app: FastifyInstance): void {
  app.addHook("onRoute", (route) => {
    const { method } = route;
    if (Array.isArray(method)) route.method = method.filter((each) => METHODS.includes(each));
  });
  app.setErrorHandler(answerError);
  app.setNotFoundHandler(answerNotFound);
}

function answerError(
  error: FastifyError,
  request: FastifyRequest,
  reply: FastifyReply,
): FastifyReply {
  if (error instanceof PocError) return sendPocError(error, { request, reply });
  // A request that no route takes is answered as such, whatever else Fastify finds wrong with it.
  if (request.is404) return answerNotFound(request, reply);
  const status = error.statusCode ?? 500;
  if (status >= 400 && status < 500) return reply.code(status).send({ detail: error.message });
  // A caller who hangs up in the middle of an answer is no fault: he could fill the log with them.
  const isGone = error.code === "ERR_STREAM_PREMATURE_CLOSE" && request.raw.socket.destroyed;
  request.log[isGone ? "debug" : "error"]({ err: error }, "a request failed");
  return reply.code(500).send({ detail: "Internal Server Error" });
}

/** A body that was taken as a text, since it was not said to be JSON: what `curl -d` sends by itself. */
function isUnreadAsJson({ code, detail }: PocError, { headers }: FastifyRequest): boolean {
  if (code !== "INVALID_BODY" || !Array.isArray(detail)) return false;
  const isText = detail[0]?.type === "model_attributes_type";
  return isText && !/json/i.test(headers["content-type"] ?? "");
}

/** One core error as its answer. */
function sendPocError(
  error: PocError,
  { request, reply }: { request: FastifyRequest; reply: FastifyReply },
): FastifyReply {
  if (error.retryAfter !== undefined) reply.header("retry-after", error.retryAfter);
  const { status, detail, beside } = error;
  const hint = error.hint ?? (isUnreadAsJson(error, request) ? JSON_HINT : undefined);
  return reply.code(status).send({ ...beside, detail, ...(hint !== undefined && { hint }) });
}

/**
 * No more than `status` of an answer, for who may not know the reasons. What has none, such as a
 * refusal, is `unavailable` then.
 */
export function statusAlone(reply: FastifyReply, payload: unknown): string {
  const isJson = typeof payload === "string" && payload.startsWith("{");
  const { status = reply.statusCode < 400 ? "ok" : "unavailable" } = isJson
    ? (JSON.parse(payload) as { status?: unknown })
    : {};
  return JSON.stringify({ status });
}

/** 405 where the path is known by another method, else 404. */
export function answerNotFound(request: FastifyRequest, reply: FastifyReply): FastifyReply {
  const allowed = allowedMethods(request);
  if (allowed.length === 0) return reply.code(404).send(NOT_FOUND);
  return reply.code(405).header("allow", allowed.join(", ")).send({ detail: "Method Not Allowed" });
}

/**
 * Refuses an OPTIONS request where no route of ours takes it. The CORS plugin would answer it under
 * every path; only a browser's preflight, which asks whether a page may send it, is left to that.
 */
export function refuseStrayOptions(
  request: FastifyRequest,
  reply: FastifyReply,
): FastifyReply | null {
  if (request.method !== "OPTIONS" || request.routeOptions.url !== "*") return null;
  const { origin, "access-control-request-method": method } = request.headers;
  return origin !== undefined && method !== undefined ? null : answerNotFound(request, reply);
}

/** The methods that the request's path is known by. */
export function allowedMethods(request: FastifyRequest): string[] {
  const { server } = request;
  const url = request.url.split("?", 1)[0] ?? "";
  const allowed = METHODS.filter((method) => server.findRoute({ method, url }) !== null);
  // OPTIONS alone is the CORS plugin's, which answers under every path, known or not.
  return allowed.join() === "OPTIONS" ? [] : allowed;
}
