/** Every refusal of the node, in one table. Free of Node: browsers and clients use it too. */

const TABLE = {
  UNAUTHORIZED: {
    status: 401,
    text: "A valid API key is required",
    hint: "show it in the header Authorization: Bearer <key>",
  },
  SCOPE_REQUIRED: { status: 403, text: "This key's scopes do not allow this" },
  TOO_MANY_REQUESTS: { status: 429, text: "Too many requests", retryAfter: 1 },
  POC_NOT_ENABLED: {
    status: 503,
    text: "PoC not enabled",
    hint: "start the node with --enable-poc",
  },
  MODEL_LOADING: { status: 503, text: "Model is loading", retryAfter: 2 },
  RUNNER_LOST: { status: 503, text: "Runner is not available" },
  RUNNER_STALLED: { status: 503, text: "Runner stands still", retryAfter: 2 },
  SHUTTING_DOWN: { status: 503, text: "Server is shutting down" },
  TOO_MANY_VALIDATIONS: { status: 503, text: "Too many validations are waiting", retryAfter: 2 },
  TOO_MANY_QUEUED_NONCES: {
    status: 503,
    text: "Too many nonces are waiting to be validated",
    retryAfter: 2,
  },
  TOO_MANY_BODIES: { status: 503, text: "Too many large bodies are waiting", retryAfter: 2 },
  STORE_FAILED: { status: 503, text: "Could not be stored", retryAfter: 5 },
  INVALID_BODY: { status: 422, text: "Invalid request" },
  POC_NOT_INITIALIZED: { status: 400, text: "PoC not initialized" },
  NODE_ID_REQUIRED: { status: 400, text: "Node ID and node count must be set" },
  ROUND_IN_PROGRESS: { status: 400, text: "Round already in progress" },
  NO_ROUND: { status: 400, text: "No round configured" },
  BLOCK_HASH_MISMATCH: { status: 400, text: "Block hash mismatch" },
  ROUND_TOO_LONG: { status: 400, text: "The round's seq_len is more than this node computes" },
  TOO_MANY_NONCES: { status: 413, text: "Too many nonces" },
  CALLER_GONE: { status: 499, text: "The caller is gone" },
  COMPUTE_FAILED: { status: 500, text: "Computation failed" },
  ALREADY_GENERATING: { status: 409, text: "Already generating" },
  PARAMS_MISMATCH: { status: 409, text: "params mismatch" },
  ENGINE_NOT_AVAILABLE: {
    status: 503,
    text: "Engine not available",
    hint: "a node that its broker has stopped goes on with POST /api/v1/inference/up",
  },
  NONCES_DO_NOT_MATCH: {
    status: 400,
    text: "validation.artifacts nonces must match nonces field",
  },
  QUEUE_FULL: { status: 429, text: "Queue full" },
  JOB_NOT_FOUND: { status: 404, text: "Request not found" },
  JOB_TIMED_OUT: { status: 503, text: "Timeout" },
  JOB_CANCELLED: { status: 503, text: "Cancelled" },
  VALIDATION_ABORTED: { status: 503, text: "validation aborted" },
  PROTOCOL_NOT_SPOKEN: { status: 404, text: "This node takes no rounds of this version" },
} as const satisfies Record<string, PocErrorEntry>;

interface PocErrorEntry {
  /** HTTP status. */
  readonly status: number;
  /** What `detail` says unless a more exact text is given. */
  readonly text: string;
  /** Seconds after which asking again makes sense. */
  readonly retryAfter?: number;
  /** What would help, for people: `detail` stays as callers know it. */
  readonly hint?: string;
}

export type PocErrorCode = keyof typeof TABLE;

/** Code → HTTP status and text (docs/protocol.md §2, §3). */
export const POC_ERRORS: Readonly<Record<PocErrorCode, PocErrorEntry>> = TABLE;

/** One entry of a 422's `detail`, the shape that FastAPI callers know (docs/protocol.md §3). */
export interface ValidationIssue {
  /** pydantic's name of the fault, e.g. `missing`, `int_type`. */
  type: string;
  /** `["body", field…]` or `["query", field]`. */
  loc: (string | number)[];
  msg: string;
  /** What was sent, shortened; null when absent. */
  input: unknown;
}

/** A round's or a job's `params` beside what the node has (docs/protocol-v2.md §3.1). */
export interface ParamsMismatch {
  error: "params mismatch";
  requested: { model: string; seq_len: number; k_dim: number };
  deployed: { model: string[]; seq_len: null; k_dim: null };
}

export type RefusalDetail = string | ValidationIssue[] | ParamsMismatch;

/** What the `data` of a tRPC error says of a refusal: the same as REST's answer. */
export interface Refusal {
  code: PocErrorCode;
  detail: RefusalDetail;
  /** Seconds after which asking again makes sense; null when it does not. */
  retry_after: number | null;
  /** What would help, for people; absent where nothing is to be said. */
  hint?: string;
}

/**
 * A refusal that the caller is meant to see.
 *
 * @example
 * throw new PocError("ROUND_IN_PROGRESS"); // HTTP 400 {"detail": "Round already in progress"}
 */
export class PocError extends Error {
  override readonly name = "PocError";
  readonly code: PocErrorCode;
  /** HTTP status. */
  readonly status: number;
  /** What goes out as `{"detail": …}`. */
  readonly detail: RefusalDetail;
  /** Seconds, for `Retry-After`. */
  readonly retryAfter?: number;
  /** What would help, for people. */
  readonly hint?: string;
  /** What else REST's answer has beside `detail`. */
  readonly beside?: object;

  constructor(
    code: PocErrorCode,
    options: {
      detail?: RefusalDetail;
      cause?: unknown;
      retryAfter?: number;
      beside?: object;
    } = {},
  ) {
    const entry = POC_ERRORS[code];
    const detail = options.detail ?? entry.text;
    super(describe(detail), { cause: options.cause });
    this.code = code;
    this.status = entry.status;
    this.detail = detail;
    const retryAfter = options.retryAfter ?? entry.retryAfter;
    if (retryAfter !== undefined) this.retryAfter = retryAfter;
    if (entry.hint !== undefined) this.hint = entry.hint;
    if (options.beside) this.beside = options.beside;
  }
}

function describe(detail: RefusalDetail): string {
  if (typeof detail === "string") return detail;
  if (!Array.isArray(detail)) {
    const { error, requested, deployed } = detail;
    return `${error}: requested ${fieldsOf(requested)}; deployed ${fieldsOf(deployed)}`;
  }
  return detail.map((issue) => `${issue.loc.join(".")}: ${issue.msg}`).join("; ");
}

/** For people, e.g. `model proofmill-demo, seq_len 32`; what is null is not held to. */
function fieldsOf(fields: object): string {
  const held = Object.entries(fields).filter(([, value]) => value !== null);
  return held.map(([name, value]) => `${name} ${value}`).join(", ");
}
