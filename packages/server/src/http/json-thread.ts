/** Large JSON is parsed and checked on a thread: the event loop would stand still for it. */
import { Worker } from "node:worker_threads";
import { PocError } from "@proofmill/core";
import type { JsonResult, JsonTask } from "./json-tasks.ts";

/** The built module, also for tests of the source: Node starts threads in JavaScript alone. */
const WORKER = new URL("../../dist/http/json-worker.js", import.meta.url);
/** Milliseconds without work after which the thread ends, and gives its memory back. */
const IDLE_MS = 3000;
/** What a hostile text takes when it is parsed, at most 30 bytes for each of its own … */
const HEAP_PER_BYTE = 40;
/** … and what a thread needs besides. */
const HEAP_BESIDES = 24 * 1024 * 1024;
/**
 * After each text the thread rests for so many times as long as it took: whoever sends hard texts
 * without end gets half a core, and the search keeps the rest.
 */
const REST = 1;
/** Megabytes; more would be filled before anything is thrown away. */
const YOUNG_MB = 8;

export interface JsonThreadOptions {
  /** Bytes that may wait; past that a text is refused, but for WebSockets' messages. */
  maxWaiting: number;
  /** Bytes of the longest text. */
  maxText: number;
  /** The thread's module; the built one by default. */
  entry?: URL | undefined;
}

interface Job {
  readonly task: JsonTask;
  readonly bytes: Uint8Array<ArrayBuffer>;
  resolve(result: JsonResult): void;
  reject(error: Error): void;
  /** Called when it waits no longer. */
  leave(): void;
}

/**
 * One text at a time. Every other one is the shortest, since a few long ones would keep everybody
 * waiting; the ones between are the oldest, so that short ones without end keep nobody waiting for
 * ever. The thread begins with the first text, and ends when none has come for a while.
 */
export class JsonThread {
  readonly #options: JsonThreadOptions;
  /** In the order in which they came. */
  readonly #waiting = new Set<Job>();
  #isOldestsTurn = false;
  #waitingBytes = 0;
  #worker: Worker | null = null;
  #current: Job | null = null;
  /** When the text at work was given to the thread. */
  #begun = 0;
  #resting: NodeJS.Timeout | null = null;
  #idle: NodeJS.Timeout | undefined;

  constructor(options: JsonThreadOptions) {
    this.#options = options;
  }

  /**
   * @param bytes must not be used afterwards: the thread gets them
   * @param signal aborts when nobody needs the text any more: it waits no longer
   * @throws PocError TOO_MANY_BODIES, CALLER_GONE; Error when the thread breaks
   */
  async perform(task: JsonTask, bytes: Uint8Array, signal?: AbortSignal): Promise<JsonResult> {
    if (this.#waitingBytes + bytes.length > this.#options.maxWaiting && task.door !== "message") {
      throw new PocError("TOO_MANY_BODIES");
    }
    if (signal?.aborted) throw new PocError("CALLER_GONE");
    // A part of a larger buffer cannot be given away alone.
    const whole = bytes.length === bytes.buffer.byteLength ? bytes : new Uint8Array(bytes);
    return new Promise((resolve, reject) => {
      const drop = () => {
        this.#remove(job);
        reject(new PocError("CALLER_GONE"));
      };
      const job: Job = {
        task,
        bytes: whole as Uint8Array<ArrayBuffer>,
        resolve,
        reject,
        leave: () => signal?.removeEventListener("abort", drop),
      };
      signal?.addEventListener("abort", drop);
      this.#waiting.add(job);
      this.#waitingBytes += whole.length;
      this.#next();
    });
  }

  close(): void {
    clearTimeout(this.#idle);
    clearTimeout(this.#resting ?? undefined);
    void this.#worker?.terminate();
  }

  #next(): void {
    if (this.#current || this.#resting) return;
    const job = this.#choose();
    clearTimeout(this.#idle);
    if (!job) {
      this.#idle = setTimeout(() => this.#end(), IDLE_MS).unref();
      return;
    }
    this.#current = job;
    this.#begun = performance.now();
    this.#remove(job);
    this.#worker ??= this.#start();
    this.#worker.postMessage({ task: job.task, bytes: job.bytes }, [job.bytes.buffer]);
  }

  #choose(): Job | undefined {
    let chosen: Job | undefined;
    for (const job of this.#waiting) {
      if (!chosen || job.bytes.length < chosen.bytes.length) chosen = job;
      if (this.#isOldestsTurn) break;
    }
    if (this.#waiting.size > 1) this.#isOldestsTurn = !this.#isOldestsTurn;
    return chosen;
  }

  #remove(job: Job): void {
    this.#waiting.delete(job);
    this.#waitingBytes -= job.bytes.length;
    job.leave();
  }

  #start(): Worker {
    const { maxText, entry = WORKER } = this.#options;
    const worker = new Worker(entry, {
      execArgv: [],
      resourceLimits: {
        maxYoungGenerationSizeMb: YOUNG_MB,
        maxOldGenerationSizeMb: Math.ceil((maxText * HEAP_PER_BYTE + HEAP_BESIDES) / 2 ** 20),
      },
    });
    worker.unref();
    worker.on("message", (result: JsonResult) => {
      this.#current?.resolve(result);
      this.#current = null;
      this.#restThenNext();
    });
    // The thread has failed, of too little memory for example; the next text gets a new one.
    worker.on("error", (error) => {
      this.#current?.reject(error);
      this.#current = null;
      this.#worker = null;
      this.#restThenNext();
    });
    return worker;
  }

  #restThenNext(): void {
    this.#resting = setTimeout(
      () => {
        this.#resting = null;
        this.#next();
      },
      REST * (performance.now() - this.#begun),
    );
  }

  #end(): void {
    void this.#worker?.terminate();
    this.#worker = null;
  }
}
