/** Work that would hold the event loop up is done on a thread, one task at a time. */
import { Worker } from "node:worker_threads";
import { Patience, PocError } from "@proofmill/core";

/** Megabytes; more would be filled before anything is thrown away. */
const YOUNG_MB = 8;

interface TaskThreadOptions {
  /** The thread's module, in JavaScript. It answers each message with one of its own. */
  readonly entry: URL;
  /** What the thread's module finds as `workerData`. */
  readonly workerData?: unknown;
  /** Mebibytes; a thread that needs more ends, and so does its task. */
  readonly heapMb: number;
  /** Milliseconds without work after which the thread ends, and gives its memory back. */
  readonly idleMs: number;
  /**
   * After each task the thread rests for so many times as long as it took: whoever sends hard ones
   * without end gets half a core for 1, and the search keeps the rest.
   */
  readonly rest: number;
  /** Bytes that may wait. */
  readonly maxWaiting: number;
  /** What a task is refused with when more would wait. */
  readonly full: () => Error;
  /** Whether a task that is at work is ended, and its thread, when nobody needs it any more. */
  readonly endsAbandoned?: boolean;
  /** Milliseconds that a task may take; then it is refused, and its thread ended. */
  readonly limit?: { readonly ms: number; readonly late: () => Error };
}

interface TaskOptions {
  /** What it counts for in the queue, in bytes. */
  readonly size: number;
  /** What the thread is given for good: nobody here may use it afterwards. */
  readonly transfer?: readonly ArrayBuffer[];
  /** Waits however many others do. */
  readonly isNeverRefused?: boolean;
  /** Aborts when nobody needs the task any more: it waits no longer (see also `endsAbandoned`). */
  readonly signal?: AbortSignal | undefined;
}

interface Job<Task, Result> extends TaskOptions {
  readonly task: Task;
  resolve(result: Result): void;
  reject(error: Error): void;
  /** Called when it is no task any more. */
  leave(): void;
}

/**
 * Every other task is the smallest, since a few large ones would keep everybody waiting; the ones
 * between are the oldest, so that small ones without end keep nobody waiting for ever. The thread
 * begins with the first task, and ends when none has come for a while.
 */
export class TaskThread<Task, Result> {
  readonly #options: TaskThreadOptions;
  /** In the order in which they came. */
  readonly #waiting = new Set<Job<Task, Result>>();
  #isOldestsTurn = false;
  #waitingBytes = 0;
  #worker: Worker | null = null;
  #current: Job<Task, Result> | null = null;
  /** When the task at work was given to the thread. */
  #begun = 0;
  #limit: Patience | undefined;
  #resting: NodeJS.Timeout | null = null;
  #idle: NodeJS.Timeout | undefined;
  #isClosed = false;

  constructor(options: TaskThreadOptions) {
    this.#options = options;
  }

  /**
   * @throws PocError CALLER_GONE, SHUTTING_DOWN; what the options say where it waits or takes too
   *   long; Error when the thread breaks
   */
  async perform(task: Task, options: TaskOptions): Promise<Result> {
    const { size, isNeverRefused = false, signal } = options;
    if (this.#isClosed) throw new PocError("SHUTTING_DOWN");
    if (this.#waitingBytes + size > this.#options.maxWaiting && !isNeverRefused) {
      throw this.#options.full();
    }
    if (signal?.aborted) throw new PocError("CALLER_GONE");
    return new Promise((resolve, reject) => {
      const drop = () => {
        if (job !== this.#current) {
          this.#remove(job);
          reject(new PocError("CALLER_GONE"));
        } else if (this.#options.endsAbandoned) {
          void this.#end();
          this.#finish((each) => each.reject(new PocError("CALLER_GONE")));
        }
      };
      const leave = () => signal?.removeEventListener("abort", drop);
      const job = { ...options, task, resolve, reject, leave };
      signal?.addEventListener("abort", drop);
      this.#waiting.add(job);
      this.#waitingBytes += size;
      this.#next();
    });
  }

  /** Refuses what waits or is at work. */
  async close(): Promise<void> {
    this.#isClosed = true;
    clearTimeout(this.#idle);
    this.#limit?.stop();
    clearTimeout(this.#resting ?? undefined);
    for (const job of [...this.#waiting]) {
      this.#remove(job);
      job.reject(new PocError("SHUTTING_DOWN"));
    }
    this.#current?.leave();
    this.#current?.reject(new PocError("SHUTTING_DOWN"));
    this.#current = null;
    await this.#end();
  }

  #next(): void {
    if (this.#current || this.#resting || this.#isClosed) return;
    const job = this.#choose();
    clearTimeout(this.#idle);
    if (!job) {
      this.#idle = setTimeout(() => void this.#end(), this.#options.idleMs).unref();
      return;
    }
    this.#current = job;
    this.#begun = performance.now();
    this.#remove(job);
    this.#worker ??= this.#start();
    this.#worker.postMessage(job.task, job.transfer);
    const { limit } = this.#options;
    if (!limit) return;
    this.#limit = new Patience(limit.ms, () => {
      void this.#end();
      this.#finish((each) => each.reject(limit.late()));
    });
  }

  #choose(): Job<Task, Result> | undefined {
    let chosen: Job<Task, Result> | undefined;
    for (const job of this.#waiting) {
      if (!chosen || job.size < chosen.size) chosen = job;
      if (this.#isOldestsTurn) break;
    }
    if (this.#waiting.size > 1) this.#isOldestsTurn = !this.#isOldestsTurn;
    return chosen;
  }

  #remove(job: Job<Task, Result>): void {
    this.#waiting.delete(job);
    this.#waitingBytes -= job.size;
    if (job !== this.#current) job.leave();
  }

  #start(): Worker {
    const { entry, workerData, heapMb } = this.#options;
    const worker = new Worker(entry, {
      workerData,
      execArgv: [],
      resourceLimits: { maxYoungGenerationSizeMb: YOUNG_MB, maxOldGenerationSizeMb: heapMb },
    });
    worker.unref();
    worker.on("message", (result: Result) => {
      if (worker === this.#worker) this.#finish((job) => job.resolve(result));
    });
    // The thread has failed, of too little memory for example; the next task gets a new one.
    worker.on("error", (error) => {
      if (worker !== this.#worker) return;
      this.#worker = null;
      this.#finish((job) => job.reject(error));
    });
    return worker;
  }

  /** Tells the task at work how it ended, rests, and goes on. */
  #finish(tell: (job: Job<Task, Result>) => void): void {
    this.#limit?.stop();
    this.#current?.leave();
    if (this.#current) tell(this.#current);
    this.#current = null;
    const rest = this.#options.rest * (performance.now() - this.#begun);
    if (rest === 0) {
      this.#next();
      return;
    }
    this.#resting = setTimeout(() => {
      this.#resting = null;
      this.#next();
    }, rest);
  }

  async #end(): Promise<void> {
    const worker = this.#worker;
    this.#worker = null;
    await worker?.terminate();
  }
}
