/** Bodies on their way to be answered: large ones are parsed and checked on a thread. */
import { PocError } from "@proofmill/core";
import { TaskThread } from "../platform/task-thread.ts";
import { ApiError } from "./api-error.ts";
import { type BodyName, checkBody, type Outcome } from "./requests.ts";

/** The built module, also for tests of the source: Node starts threads in JavaScript alone. */
const WORKER = new URL("../../dist/completions/body-worker.js", import.meta.url);
/** Bytes of the longest text that the event loop parses itself: a few milliseconds at worst. */
const LARGE = 64 * 1024;
/**
 * What a hostile text takes when it is parsed and checked: objects of one numbered field 42 bytes for
 * each of its own. A thread that reaches its limit ends, and by a large value, such as an object of a
 * million fields, the whole process with it: there is room to spare.
 */
const HEAP_PER_BYTE = 80;
const HEAP_BESIDES = 48 * 1024 * 1024;
const IDLE_MS = 3000;

/** What the thread is sent. */
export interface BodyTask {
  readonly name: BodyName;
  readonly contentType: string | undefined;
  readonly bytes: Uint8Array;
}

/** A body that is as it should be. */
type Read<Name extends BodyName> = Extract<Outcome<Name>, { readonly body: unknown }>;

export class BodyReader {
  readonly #thread: TaskThread<BodyTask, Outcome>;

  /** @param bodyLimit bytes of the longest body */
  constructor(bodyLimit: number) {
    this.#thread = new TaskThread({
      entry: WORKER,
      heapMb: Math.ceil((bodyLimit * HEAP_PER_BYTE + HEAP_BESIDES) / 2 ** 20),
      idleMs: IDLE_MS,
      rest: 1,
      maxWaiting: 16 * bodyLimit,
      full: () => new PocError("TOO_MANY_BODIES"),
    });
  }

  /**
   * @param bytes must not be used afterwards: the thread gets them
   * @throws ApiError 400, 422; PocError TOO_MANY_BODIES, CALLER_GONE
   */
  async read<Name extends BodyName>(
    name: Name,
    sent: { bytes: Uint8Array; contentType: string | undefined },
    signal: AbortSignal,
  ): Promise<Read<Name>> {
    const { contentType } = sent;
    const outcome =
      sent.bytes.length <= LARGE
        ? checkBody(name, sent.bytes, contentType)
        : await this.#onThread(name, sent, signal);
    if ("body" in outcome) return outcome as Read<Name>;
    const { message, param } = outcome.error;
    throw new ApiError(outcome.status, message, param === null ? {} : { param });
  }

  async close(): Promise<void> {
    await this.#thread.close();
  }

  #onThread(
    name: BodyName,
    { bytes, contentType }: { bytes: Uint8Array; contentType: string | undefined },
    signal: AbortSignal,
  ): Promise<Outcome> {
    // A part of a larger buffer cannot be given away alone.
    const whole = bytes.length === bytes.buffer.byteLength ? bytes : new Uint8Array(bytes);
    const options = { size: whole.length, transfer: [whole.buffer as ArrayBuffer], signal };
    return this.#thread.perform({ name, contentType, bytes: whole }, options);
  }
}
