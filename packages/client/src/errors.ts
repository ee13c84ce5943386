/** What calls throw: a class for each kind of failure. */
import type { PocErrorCode } from "@proofmill/core/wire";
import type { ValidationIssue } from "./types.ts";

/**
 * What a `PocClientError` says in one word: the node's own codes (docs/protocol.md §3), such as
 * `ROUND_IN_PROGRESS`, and these:
 *
 * - `CONNECTION`: no answer, the connection could not be made or broke
 * - `TIMEOUT`: no answer in time
 * - `NOT_A_NODE`: an answer that no node gives
 * - `HTTP`: a status that has no code of its own, e.g. a proxy's 502
 * - `BAD_REQUEST`: 400, the call cannot be read
 * - `UNAUTHORIZED`: 401, no key or a wrong one
 * - `FORBIDDEN`: 403, not this caller
 * - `ORIGIN_REFUSED`: not pages of this origin
 * - `TOO_LARGE`: 413, the body has too many bytes
 * - `TOO_MANY_REQUESTS`: 429
 */
export type PocClientErrorCode =
  | PocErrorCode
  | "CONNECTION"
  | "TIMEOUT"
  | "NOT_A_NODE"
  | "HTTP"
  | "BAD_REQUEST"
  | "UNAUTHORIZED"
  | "FORBIDDEN"
  | "ORIGIN_REFUSED"
  | "TOO_LARGE"
  | "TOO_MANY_REQUESTS";

export interface PocClientErrorOptions {
  code: PocClientErrorCode;
  /** HTTP status; null when there was no answer. */
  status?: number | null;
  /** Of the node's answer; its log has the same. */
  requestId?: string | null;
  /** What would help, in the node's words. */
  hint?: string | null;
  cause?: unknown;
}

/** Every error of this package. */
export class PocClientError extends Error {
  override name = "PocClientError";
  readonly code: PocClientErrorCode;
  readonly status: number | null;
  readonly requestId: string | null;
  readonly hint: string | null;

  constructor(message: string, options: PocClientErrorOptions) {
    super(message, { cause: options.cause });
    this.code = options.code;
    this.status = options.status ?? null;
    this.requestId = options.requestId ?? null;
    this.hint = options.hint ?? null;
  }
}

/** 422: what was sent does not fit; nothing has changed. */
export class InvalidRequestError extends PocClientError {
  override name = "InvalidRequestError";
  /** One for each place. */
  readonly issues: ValidationIssue[];

  constructor(message: string, options: PocClientErrorOptions & { issues: ValidationIssue[] }) {
    super(message, options);
    this.issues = options.issues;
  }
}

/** 400 or 409: the round does not allow it; nothing has changed. */
export class RoundError extends PocClientError {
  override name = "RoundError";
}

/** 413: the proof has too many nonces, or the body too many bytes. */
export class TooLargeError extends PocClientError {
  override name = "TooLargeError";
}

/** 429: this caller asks too often. 503: PoC is off, or the node cannot work now. */
export class UnavailableError extends PocClientError {
  override name = "UnavailableError";
  /** Seconds after which asking again makes sense; null when it does not. */
  readonly retryAfter: number | null;

  constructor(message: string, options: PocClientErrorOptions & { retryAfter: number | null }) {
    super(message, options);
    this.retryAfter = options.retryAfter;
  }
}

/** 401 or 403: this caller may not. */
export class ForbiddenError extends PocClientError {
  override name = "ForbiddenError";
}

/** Any other refusal: 404 for an unknown job, 500 where something is wrong with the node. */
export class NodeError extends PocClientError {
  override name = "NodeError";
}

/** The address does not answer as a node does. */
export class NotANodeError extends PocClientError {
  override name = "NotANodeError";
}

/** No answer: the connection could not be made, or broke. */
export class ConnectionError extends PocClientError {
  override name = "ConnectionError";
}

/** No answer in time. */
export class TimeoutError extends PocClientError {
  override name = "TimeoutError";
}
