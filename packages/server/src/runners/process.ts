/** A ModelRunner in a child process: what happens in native code stays there. */
import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import {
  type ModelInfo,
  type ModelRunner,
  type PrefillJob,
  type PrefillResult,
  RunnerLost,
} from "@proofmill/core";
import type { FromRunner, LoadOptions, ToRunner } from "./messages.ts";

/** A runner that was asked to close may finish a layer; after this it is killed. Milliseconds. */
const CLOSE_GRACE_MS = 2000;

const CHILD = fileURLToPath(new URL("./child.js", import.meta.url));

interface Pending {
  resolve(result: PrefillResult): void;
  reject(error: Error): void;
}

export interface ProcessRunner extends ModelRunner {
  readonly pid: number | undefined;
  /** Resolves with the reason when the process has ended without being closed; never rejects. */
  readonly lost: Promise<RunnerLost>;
}

/**
 * Starts a runner's process and loads its model there.
 *
 * @param options.signal ends the process at once, also while it loads
 * @param options.entry the process's module, by default the one that loads native
 * @throws Error with the loader's own message when the model cannot be loaded
 */
export async function startRunner(options: {
  load: LoadOptions;
  signal?: AbortSignal;
  entry?: string;
}): Promise<ProcessRunner> {
  options.signal?.throwIfAborted();
  const child = fork(options.entry ?? CHILD, [], {
    serialization: "advanced",
    stdio: ["ignore", "inherit", "inherit", "ipc"],
  });
  const onAbort = () => child.kill("SIGKILL");
  options.signal?.addEventListener("abort", onAbort, { once: true });
  try {
    tell(child, { type: "load", options: options.load });
    const info = await loaded(child);
    return new ChildRunner(child, info);
  } catch (error) {
    child.kill("SIGKILL");
    throw options.signal?.aborted ? options.signal.reason : error;
  } finally {
    options.signal?.removeEventListener("abort", onAbort);
  }
}

function tell(child: ChildProcess, message: ToRunner): void {
  // Errors of the channel are followed by the process's end, which is what counts.
  child.send(message, () => {});
}

function loaded(child: ChildProcess): Promise<ModelInfo> {
  return new Promise((resolve, reject) => {
    const finish = (settle: () => void) => {
      child.off("message", onMessage).off("exit", onExit).off("error", reject);
      settle();
    };
    const onMessage = (message: FromRunner) => {
      if (message.type === "ready") finish(() => resolve(message.info));
      if (message.type === "load_failed") finish(() => reject(new Error(message.message)));
    };
    const onExit = (code: number | null, signal: string | null) =>
      finish(() => reject(new Error(`the runner ended while it loaded: ${ending(code, signal)}`)));
    child.on("message", onMessage).on("exit", onExit).on("error", reject);
  });
}

function ending(code: number | null, signal: string | null): string {
  return signal ? `killed by ${signal}` : `exit code ${code}`;
}

class ChildRunner implements ProcessRunner {
  readonly info: ModelInfo;
  readonly lost: Promise<RunnerLost>;
  readonly #child: ChildProcess;
  readonly #pending = new Map<number, Pending>();
  #listener: (layersDone: number) => void = () => {};
  #end: RunnerLost | null = null;
  #closing: Promise<void> | null = null;

  constructor(child: ChildProcess, info: ModelInfo) {
    this.info = info;
    this.#child = child;
    child.on("message", (message: FromRunner) => this.#receive(message));
    child.on("error", () => {}); // a failed kill or send; "exit" tells the rest
    this.lost = new Promise((resolve) => {
      child.once("exit", (code, signal) => {
        this.#end = new RunnerLost(`the runner's process ended: ${ending(code, signal)}`);
        for (const { reject } of this.#pending.values()) reject(this.#end);
        this.#pending.clear();
        if (!this.#closing) resolve(this.#end);
      });
    });
  }

  get pid(): number | undefined {
    return this.#child.pid;
  }

  run(job: PrefillJob): Promise<PrefillResult> {
    if (this.#end) return Promise.reject(this.#end);
    if (this.#closing) return Promise.reject(new RunnerLost("the runner is closed"));
    return new Promise((resolve, reject) => {
      this.#pending.set(job.id, { resolve, reject });
      tell(this.#child, { type: "run", job });
    });
  }

  cancel(id: number): void {
    if (this.#pending.has(id)) tell(this.#child, { type: "cancel", id });
  }

  onProgress(listener: (layersDone: number) => void): void {
    this.#listener = listener;
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    const exited = once(this.#child, "exit");
    tell(this.#child, { type: "close" });
    const timer = setTimeout(() => this.#child.kill("SIGKILL"), CLOSE_GRACE_MS);
    await exited;
    clearTimeout(timer);
  }

  #receive(message: FromRunner): void {
    if (message.type === "progress") return this.#listener(message.layersDone);
    if (message.type !== "result" && message.type !== "job_failed") return;
    const pending = this.#pending.get(message.id);
    this.#pending.delete(message.id);
    if (message.type === "result") pending?.resolve(message.result);
    else pending?.reject(new Error(message.message));
  }
}
