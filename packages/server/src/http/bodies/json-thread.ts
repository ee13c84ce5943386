/** Large JSON is parsed and checked on a thread: the event loop would stand still for it. */
import { PocError } from "@proofmill/core";
import { TaskThread } from "../../platform/task-thread.ts";
import type { JsonResult, JsonTask } from "./json-tasks.ts";

/** The built module, also for tests of the source: Node starts threads in JavaScript alone. */
const WORKER = new URL("../../../dist/http/bodies/json-worker.js", import.meta.url);
/**
 * What a hostile text takes when it is parsed: objects of one numbered field 42 bytes for each of its
 * own. A thread that reaches its limit ends, and by a large value, such as an object of a million
 * fields, the whole process with it: there is room to spare … …
 */
const HEAP_PER_BYTE = 80;
/** … and what a thread needs besides. */
const HEAP_BESIDES = 24 * 1024 * 1024;

interface JsonThreadOptions {
  /** Bytes that may wait; past that a text is refused, but for WebSockets' messages. */
  maxWaiting: number;
  /** Bytes of the longest text. */
  maxText: number;
  /** The thread's module; the built one by default. */
  entry?: URL | undefined;
}

/** What the thread is sent. */
export interface JsonMessage {
  readonly task: JsonTask;
  readonly bytes: Uint8Array;
}

export class JsonThread {
  readonly #thread: TaskThread<JsonMessage, JsonResult>;

  constructor({ maxWaiting, maxText, entry = WORKER }: JsonThreadOptions) {
    this.#thread = new TaskThread({
      entry,
      heapMb: Math.ceil((maxText * HEAP_PER_BYTE + HEAP_BESIDES) / 2 ** 20),
      idleMs: 3000,
      rest: 1,
      maxWaiting,
      full: () => new PocError("TOO_MANY_BODIES"),
    });
  }

  /**
   * @param bytes must not be used afterwards: the thread gets them
   * @param signal aborts when nobody needs the text any more: it waits no longer
   * @throws PocError TOO_MANY_BODIES, CALLER_GONE; Error when the thread breaks
   */
  perform(task: JsonTask, bytes: Uint8Array, signal?: AbortSignal): Promise<JsonResult> {
    // A part of a larger buffer cannot be given away alone.
    const whole = bytes.length === bytes.buffer.byteLength ? bytes : new Uint8Array(bytes);
    return this.#thread.perform(
      { task, bytes: whole },
      {
        size: whole.length,
        transfer: [whole.buffer as ArrayBuffer],
        isNeverRefused: task.door === "message",
        signal,
      },
    );
  }

  close(): void {
    void this.#thread.close();
  }
}
