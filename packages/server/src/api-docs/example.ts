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
  | "closing"
  | "artifacts are generated"
  | "a job has ended"
  | "the queue is full"
  | "stopped by the broker"
  | "a GPU is there";

export interface ApiExample {
  given: Situation;
  /** JSON, or raw text; absent: no body. */
  body?: unknown;
  query?: string;
  /** What stands in the path's braces. */
  path?: Readonly<Record<string, string>>;
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

/** Stand for what only a node knows: its model's name, a job that it has, where it listens. */
export const EXAMPLE_MODEL = "Qwen/Qwen3-0.6B";
export const EXAMPLE_JOB = "6ba7b810-9dad-41d1-80b4-00c04fd430c8";
export const EXAMPLE_PORT = 8000;

/** A value with another text in place of one, wherever that stands. */
export function replaced<T>(value: T, text: string, by: string): T {
  if (typeof value === "string") return value.replaceAll(text, by) as T;
  if (Array.isArray(value)) return value.map((each) => replaced(each, text, by)) as T;
  if (typeof value !== "object" || value === null) return value;
  const fields = Object.entries(value).map(([key, field]) => [key, replaced(field, text, by)]);
  return Object.fromEntries(fields) as T;
}

interface Request {
  body?: unknown;
  path?: ApiExample["path"] & object;
}

export function refusal(given: Situation, code: PocErrorCode, request: Request = {}): ApiExample {
  const { status, text, hint } = POC_ERRORS[code];
  return { given, ...request, status, answer: { detail: text, ...(hint && { hint }) } };
}

export function misfit(
  given: Situation,
  at: Request & { query?: string },
  issue: object,
): ApiExample {
  return { given, ...at, status: 422, answer: { detail: [issue] } };
}
