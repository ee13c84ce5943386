/** Errors → HTTP answers, in one place: `{"detail": …}`, as FastAPI callers know it. */
import { PocError } from "@proofmill/core";
import type { FastifyError, FastifyInstance, FastifyReply, FastifyRequest } from "fastify";

const METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"] as const;

/** Sends any error that a handler throws. Only what was meant for the caller goes out. */
export function sendError(
  error: FastifyError | PocError,
  request: FastifyRequest,
  reply: FastifyReply,
): FastifyReply {
  if (error instanceof PocError) {
    if (error.retryAfter !== undefined) reply.header("retry-after", error.retryAfter);
    if (error.status >= 500) request.log.warn({ err: error }, error.message);
    return reply.code(error.status).send({ detail: error.detail });
  }
  const status = error.statusCode ?? 500;
  if (status >= 400 && status < 500) return reply.code(status).send({ detail: error.message });
  request.log.error({ err: error }, "a request failed");
  return reply.code(500).send({ detail: "Internal Server Error" });
}

/** Unknown paths are 404; a known path with another method is 405 and names those it has. */
export function sendNotFound(app: FastifyInstance) {
  return (request: FastifyRequest, reply: FastifyReply): FastifyReply => {
    const [url = ""] = request.url.split("?", 1);
    const allowed = METHODS.filter((method) => app.hasRoute({ method, url }));
    if (allowed.length === 0) return reply.code(404).send({ detail: "Not Found" });
    return reply.code(405).header("allow", allowed.join(", ")).send({ detail: "Method Not Allowed" });
  };
}
