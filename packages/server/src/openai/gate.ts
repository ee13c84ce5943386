/** The inference gate: while a round works, `/v1/*` answers 503 (docs/protocol.md §3). */
import type { PocService } from "@proofmill/core";
import type { FastifyInstance } from "fastify";

/** Seconds after which a caller that was refused may ask again. */
const RETRY_AFTER_SECONDS = 10;

const MESSAGE = "PoC in progress";
const REFUSAL = {
  detail: MESSAGE,
  error: { message: MESSAGE, type: "service_unavailable", param: null, code: "poc_in_progress" },
} as const;

export interface GateOptions {
  service: PocService;
  allowInferenceWhileValidating: boolean;
}

/** One hook before routing's outcome matters: known paths and unknown ones are refused alike. */
export function installGate(app: FastifyInstance, options: GateOptions): void {
  const isClosed = () => {
    const { state } = options.service;
    if (state === "GENERATING") return true;
    return state === "VALIDATING" && !options.allowInferenceWhileValidating;
  };
  app.addHook("onRequest", async (request, reply) => {
    if (!isInferencePath(request.url) || !isClosed()) return;
    return reply.code(503).header("retry-after", RETRY_AFTER_SECONDS).send(REFUSAL);
  });
}

function isInferencePath(url: string): boolean {
  const [path = ""] = url.split("?", 1);
  return path === "/v1" || path.startsWith("/v1/");
}
