/** Bodies on their way to the service: large ones are parsed and checked on a thread. */
import { randomBytes } from "node:crypto";
import {
  CheckedBody,
  type CheckOutcome,
  type InitLimits,
  PocError,
  type SchemaName,
} from "@proofmill/core";
import { readBody } from "./json-body.ts";
import type { JsonResult } from "./json-tasks.ts";
import { JsonThread } from "./json-thread.ts";

/** Bytes of the longest text that the event loop parses itself: a few milliseconds at worst. */
const LARGE = 64 * 1024;
/** Bytes that may wait for the thread, or one text if that is more. */
const MAX_WAITING = 16 * 1024 * 1024;

/** Bytes of 100,000 nonces with their artifacts, of 12 numbers each, generously written. */
export const JOB_BODY = 100_000 * 128;

/** Calls in one message or request. */
export const MAX_CALLS = 32;
/** When a message has too many calls, so many of them are refused one by one, the rest dropped. */
export const MAX_REFUSED = 1024;

/** Marks begin with it. No caller knows it, so that none can send a mark of his own. */
const SECRET = randomBytes(16).toString("hex");
/** What each mark stands for, as long as somebody may read it. */
const marks = new Map<string, CheckedBody>();
let tasks = 0;

interface BodiesOptions {
  /** Bytes of the longest body. */
  bodyLimit: number;
  /** What init bodies have to keep to now. */
  limits: () => InitLimits;
}

export class Bodies {
  readonly #thread: JsonThread;
  readonly #limits: () => InitLimits;

  constructor({ bodyLimit, limits }: BodiesOptions) {
    const maxWaiting = Math.max(MAX_WAITING, bodyLimit);
    this.#thread = new JsonThread({ maxWaiting, maxText: bodyLimit });
    this.#limits = limits;
  }

  /**
   * A body of REST's, for the service.
   *
   * @param sent its bytes must not be used afterwards: the thread gets them
   * @param caller aborts when nobody waits any more
   * @throws PocError INVALID_BODY, TOO_MANY_BODIES, CALLER_GONE
   */
  async read(
    schema: SchemaName,
    { bytes, contentType }: { bytes: Uint8Array | undefined; contentType: string | undefined },
    caller: AbortSignal,
  ): Promise<unknown> {
    if (!bytes || bytes.length <= LARGE) return readBody(bytes, contentType);
    const limits = this.#limits();
    const task = { door: "rest", schema, contentType, limits, mark: "" } as const;
    const { checked } = await this.#thread.perform(task, bytes, caller);
    return checked.map((each) => new CheckedBody(each.schema, limits, each.outcome))[0];
  }

  /**
   * The body of a request to procedures. In a long one, what the thread has checked is replaced by
   * marks, so that the text is short enough to parse.
   *
   * @returns the text, and what to call when nobody reads its marks any more
   */
  async readCalls(
    text: string,
    { paths, isBatch }: { paths: readonly string[]; isBatch: boolean },
  ): Promise<MarkedText> {
    if (text.length <= LARGE) return { text, forget: () => {} };
    const limits = this.#limits();
    const mark = newMark();
    const task = { door: "calls", paths, isBatch, limits, mark } as const;
    try {
      const result = await this.#thread.perform(task, new TextEncoder().encode(text));
      return remember(result, mark, limits);
    } catch (error) {
      if (!(error instanceof PocError)) throw error;
      const outcome: CheckOutcome = { refusal: error.code };
      const inputs = Object.fromEntries(paths.map((_, i) => [i, `${mark}${i}`]));
      const rest = JSON.stringify(isBatch ? inputs : inputs[0]);
      const checked = paths.map(() => ({ schema: "ProofBatch" as const, outcome }));
      return remember({ rest, checked }, mark, limits);
    }
  }

  /** A WebSocket's message with calls, likewise; `ended` aborts with its socket. */
  async readMessage(bytes: Uint8Array, ended: AbortSignal): Promise<MarkedText> {
    const limits = this.#limits();
    const mark = newMark();
    const calls = { maxCalls: MAX_CALLS, maxRefused: MAX_REFUSED };
    const task = { door: "message", ...calls, limits, mark } as const;
    return remember(await this.#thread.perform(task, bytes, ended), mark, limits);
  }

  /** Whether a message is for `readMessage`. */
  isLarge(bytes: Uint8Array): boolean {
    return bytes.length > LARGE;
  }

  close(): void {
    this.#thread.close();
  }
}

interface MarkedText {
  text: string;
  forget(): void;
}

/** What a mark stands for; any other value as it is. */
export function unmarked(value: unknown): unknown {
  return typeof value === "string" && value.startsWith(SECRET) ? marks.get(value) : value;
}

function newMark(): string {
  return `${SECRET}:${tasks++}:`;
}

function remember({ rest, checked }: JsonResult, mark: string, limits: InitLimits): MarkedText {
  for (const [i, { schema, outcome }] of checked.entries()) {
    marks.set(`${mark}${i}`, new CheckedBody(schema, limits, outcome));
  }
  return {
    text: rest ?? "not JSON",
    forget: () => {
      for (const i of checked.keys()) marks.delete(`${mark}${i}`);
    },
  };
}
