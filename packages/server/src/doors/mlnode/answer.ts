/** How the broker's door answers: in the words of the network's Python services. */
import { PocError } from "@proofmill/core";

/** A refusal that is this door's alone. */
export class Refused extends Error {
  override readonly name = "Refused";
  readonly status: number;
  /** What goes out as `{"detail": …}`. */
  readonly detail: string | object;

  constructor(status: number, detail: string | object) {
    super(typeof detail === "string" ? detail : JSON.stringify(detail));
    this.status = status;
    this.detail = detail;
  }
}

export const NO_BACKENDS = "No vLLM backends available";

/** What says of itself, and not of a round, why nothing is taken now. */
const UNREADY: ReadonlySet<string> = new Set([
  "ENGINE_NOT_AVAILABLE",
  "MODEL_LOADING",
  "RUNNER_LOST",
  "RUNNER_STALLED",
]);
/** What is refused before any backend is asked. */
const OWN: ReadonlySet<string> = new Set([
  "INVALID_BODY",
  "TOO_MANY_BODIES",
  "POC_NOT_ENABLED",
  "SHUTTING_DOWN",
  "CALLER_GONE",
]);

/**
 * An engine's refusal as a service in front of it tells it (docs/mlnode.md): of a round that no engine
 * began 502 with the text of each, of a job the engine's status with its whole body as a text.
 */
export function wrapped(error: unknown, how: { port: number } | "job"): unknown {
  if (!(error instanceof PocError) || OWN.has(error.code)) return error;
  if (UNREADY.has(error.code)) return new Refused(503, NO_BACKENDS);
  if (error.code === "JOB_NOT_FOUND") return new Refused(404, "Request not found");
  const body = JSON.stringify({ detail: error.detail });
  if (how === "job") return new Refused(error.status, body);
  return new Refused(502, { errors: [{ port: how.port, error: body }] });
}
