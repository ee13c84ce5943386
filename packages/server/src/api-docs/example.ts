/** An example of the API document: what is asked in which situation, and what is answered. */
import { POC_ERRORS, type PocErrorCode } from "@proofmill/core";

/** What a node is doing when it is asked. */
export type Situation =
  | "PoC is off"
  | "the model is loading"
  | "the runner is gone"
  | "the runner fails"
  | "no round"
  | "searching"
  | "validating"
  | "stopped"
  | "closing";

export interface ApiExample {
  given: Situation;
  /** JSON, or raw text; absent: no body. */
  body?: unknown;
  query?: string;
  /** What is asked in place of the operation's path, where that has a name to fill in. */
  path?: string;
  status: number;
  answer: unknown;
}

export interface OperationExamples {
  /** What a 200 means. */
  success: string;
  /** What a status means here, where it is more than its usual meaning. */
  refused?: Readonly<Record<number, string>>;
  examples: ApiExample[];
}

/** Stands for a body beyond the limit; it is not shown. */
export const OVERSIZED = Symbol("oversized");

export function refusal(given: Situation, code: PocErrorCode, request: { body?: unknown } = {}) {
  const { status, text, hint } = POC_ERRORS[code];
  return { given, ...request, status, answer: { detail: text, ...(hint && { hint }) } };
}

export function misfit(given: Situation, at: { body?: unknown; query?: string }, issue: object) {
  return { given, ...at, status: 422, answer: { detail: [issue] } };
}
