/** While a round is active, inference steps aside (docs/protocol.md §3, inference gate). */
import type { RoundState } from "@proofmill/core";
import type { FastifyReply, FastifyRequest } from "fastify";

/** Seconds; a round lasts minutes, its end should be noticed soon. */
const RETRY_AFTER = 5;

/** Our callers read `detail`, OpenAI's clients read `error`. */
export const GATE_ANSWER = {
  detail: "PoC in progress",
  error: {
    message: "PoC in progress",
    type: "service_unavailable",
    param: null,
    code: "poc_in_progress",
  },
};

export interface GateOptions {
  /** The round's state now. */
  state: () => RoundState;
  /** Whether requests pass during VALIDATING. */
  allowWhileValidating: boolean;
}

/**
 * The gate in front of every `/v1/*` request, known path or not: a function that answers a request
 * which may not pass, and leaves the others alone (null).
 */
export function inferenceGate(
  options: GateOptions,
): (request: FastifyRequest, reply: FastifyReply) => FastifyReply | null {
  return (request, reply) =>
    isClosed(options) && isInference(request)
      ? reply.code(503).header("retry-after", RETRY_AFTER).send(GATE_ANSWER)
      : null;
}

function isClosed({ state, allowWhileValidating }: GateOptions): boolean {
  const now = state();
  return now === "GENERATING" || (now === "VALIDATING" && !allowWhileValidating);
}

function isInference(request: FastifyRequest): boolean {
  // The router decodes a path before it matches: /%761/models is /v1/models.
  return request.routeOptions.url?.startsWith("/v1/") ?? isInferencePath(request.url);
}

/** Whether a request target lies under /v1/, however it is written. */
export function isInferencePath(target: string): boolean {
  const path = target.replace(/^[a-z][a-z0-9+.-]*:\/\/[^/?#]*/i, "").split(/[?#]/, 1)[0] ?? "";
  // Letter by letter, since one broken escape further on must not hide the beginning.
  const decoded = path.replace(/%([0-7][0-9a-f])/gi, (_, hex: string) =>
    String.fromCharCode(Number.parseInt(hex, 16)),
  );
  return decoded.startsWith("/v1/");
}
