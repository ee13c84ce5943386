/** A ModelRunner whose model lives in a child process: a crash in native code ends only that. */
import { type ChildProcess, fork } from "node:child_process";
import {
  type ModelInfo,
  type ModelRunner,
  type PrefillJob,
  type PrefillResult,
  RunnerLost,
  type SessionEnd,
  type SessionLimits,
  type SessionRunner,
  type SessionStats,
  type SessionToken,
  type TokenSession,
} from "@proofmill/core";
import type { OnNotice } from "@proofmill/native/model/config";
import { sizeText } from "@proofmill/native/model/memory";
import type { Memory } from "../platform/memory.ts";
import { stderr } from "../platform/output.ts";
import { ChildSessions, type SessionMessage } from "./child-sessions.ts";
import type { FromRunner, LoadOptions, ToRunner } from "./messages.ts";
import { type HangLimits, Watchdog } from "./watchdog.ts";

/** The built module, also for tests of the source: Node starts processes in JavaScript alone. */
const CHILD = new URL("../../dist/runners/child.js", import.meta.url);

/** A runner that is asked to close gets so long before it is killed. */
const CLOSE_GRACE_MS = 1500;

interface StartRunnerOptions {
  model: LoadOptions;
  /** Ends the child, also while it loads; the start then rejects with RunnerLost. */
  signal?: AbortSignal;
  /** The child's module; the one that loads the addon by default. */
  entry?: URL;
  onNotice?: OnNotice;
  /** For how long nothing may be finished before the process is killed; minutes by default. */
  hangLimits?: HangLimits;
}

/** A runner that can be lost. */
export interface ProcessRunner extends ModelRunner, SessionRunner {
  /** What its process holds, as it told last; null until it has. */
  readonly memory: Memory | null;
  readonly pid: number;
  /** Whether it has work and has finished nothing of it for so long that it may well hang. */
  readonly isStalled: boolean;
  /** Called whenever that is otherwise; one listener. */
  onStall: () => void;
  /** Whether it has finished a nonce so far, or an answer that had a word. */
  readonly hasComputed: boolean;
  /** Resolves when the process has ended, whether it was closed or not. */
  readonly ended: Promise<RunnerLost>;
}

/**
 * How a runner ended, or that it never came up: a label of metrics. One that is ended for the memory
 * that it holds has not failed.
 */
export type EndReason =
  | "exit"
  | "signal"
  | "hang"
  | "device"
  | "memory"
  | "closed"
  | "start_failed";

/** A runner whose process has ended, or is about to. */
class RunnerEnded extends RunnerLost {
  readonly reason: EndReason;

  constructor(reason: EndReason, message: string) {
    super(message);
    this.reason = reason;
  }
}

/** Why there is no runner, given the error that said so. */
export function endReasonOf(error: Error): EndReason {
  return error instanceof RunnerEnded ? error.reason : "start_failed";
}

/**
 * What is watched while its process comes up, while it loads, and while it has sessions alone, as lengths
 * that no job has.
 */
const STARTING = -2;
const LOADING = 0;
const SESSIONS = -1;
/** In so many milliseconds a process has come up, also on a busy machine; a load may take far longer. */
const STARTS_IN = 6000;

interface Pending {
  readonly seq_len: number;
  resolve(result: PrefillResult): void;
  reject(error: Error): void;
}

/**
 * Starts a child process and loads a model in it. The child is not detached, ignores SIGTERM and
 * SIGINT, and ends with this process, whatever ends that. Of the environment it gets what computing
 * needs, no secrets.
 *
 * @throws Error with the loader's own message when the model cannot be loaded, RunnerLost when the
 *   process ended meanwhile
 *
 * @example
 * const runner = await startRunner({ model: { directory, dtype: "auto", device: "auto" } });
 * runner.ended.then(service.attach(runner)); // its end is what detaches it
 */
export async function startRunner(options: StartRunnerOptions): Promise<ProcessRunner> {
  const child = fork(options.entry ?? CHILD, [String(process.pid)], {
    serialization: "advanced",
    execArgv: [], // a debugger's port or a heap limit is this process' own
    env: passedOn(process.env),
    // Its own pipes, and not this process' outputs: a full one would stop the model.
    stdio: ["ignore", "pipe", "pipe", "ipc"],
  });
  for (const printed of [child.stdout, child.stderr]) {
    printed?.setEncoding("utf8").on("data", (text: string) => stderr.write(text));
  }
  const runner = new ChildRunner(child, options);
  const abort = () => void runner.close();
  options.signal?.addEventListener("abort", abort);
  if (options.signal?.aborted) abort();
  try {
    await runner.load(options.model);
    return runner;
  } catch (error) {
    child.kill("SIGKILL");
    throw error;
  } finally {
    options.signal?.removeEventListener("abort", abort);
  }
}

/** What computing reads. All else stays here: among it are this node's secrets. */
const VARIABLES =
  /^(PATH|HOME|TMPDIR|LANG|PROOFMILL_ISA|PROOFMILL_CUBLASLT|PROOFMILL_CUDA_LIBRARY)$|^(LD|CUDA|NVIDIA)_|SAN_OPTIONS$/;

/** Of this process' environment what a child that loads the addon gets. */
export function passedOn(environment: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  return Object.fromEntries(Object.entries(environment).filter(([name]) => VARIABLES.test(name)));
}

class ChildRunner implements ProcessRunner {
  readonly ended: Promise<RunnerLost>;
  memory: Memory | null = null;
  onStall = () => {};
  readonly #child: ChildProcess;
  readonly #onNotice: OnNotice | undefined;
  readonly #watchdog: Watchdog;
  readonly #maxMemory: number;
  readonly #jobs = new Map<number, Pending>();
  readonly #sessions: ChildSessions;
  #hasFinishedNonces = false;
  #info: ModelInfo | null = null;
  sessionLimits: SessionLimits | null = null;
  sessionStats: SessionStats | null = null;
  #loading: { resolve(): void; reject(error: Error): void } | null = null;
  #lost: RunnerLost | null = null;
  #closing: Promise<void> | null = null;

  constructor(child: ChildProcess, { model, onNotice, hangLimits }: StartRunnerOptions) {
    this.#child = child;
    this.#maxMemory = model.maxMemory ?? Number.POSITIVE_INFINITY;
    this.#onNotice = onNotice;
    const onHang = (standstill: number) => {
      const seconds = Math.round(standstill / 1000);
      this.#lost ??= new RunnerEnded(
        "hang",
        `the runner hangs: nothing was finished for ${seconds} s`,
      );
      child.kill("SIGKILL"); // which ends a stopped process too
    };
    this.#watchdog = new Watchdog({ onHang, onStall: () => this.onStall() }, hangLimits);
    this.#sessions = new ChildSessions(
      (message) => this.#send(message),
      () => this.#watchOldest(),
    );
    this.ended = new Promise((resolve) => {
      const end = (reason: EndReason, message: string) => {
        this.#lost ??= new RunnerEnded(reason, message);
        this.#watchdog.stop();
        this.#rejectAll(this.#lost);
        resolve(this.#lost);
      };
      child.on("exit", (code, signal) =>
        this.#closing
          ? end("closed", "the runner is closed")
          : end(
              signal ? "signal" : "exit",
              `the runner's process (${child.pid}) ended ${signal ? `by ${signal}` : `with exit code ${code}`}`,
            ),
      );
      // Also emitted for a message or a kill that fails; only a process that never was has no pid.
      child.on("error", (error) => {
        if (child.pid === undefined)
          end("start_failed", `the runner's process did not start: ${error.message}`);
      });
    });
    // Without its channel a child can neither be asked nor answer, whatever it does.
    child.on("disconnect", () => child.kill("SIGKILL"));
    child.on("message", (message) => this.#receive(message as FromRunner));
  }

  get pid(): number {
    return this.#child.pid ?? -1;
  }

  /** Without answers a node that does nothing else would have its runner's deaths counted as in a row. */
  get hasComputed(): boolean {
    return this.#hasFinishedNonces || this.#sessions.hasAnswered;
  }

  get isStalled(): boolean {
    return this.#watchdog.isStalled;
  }

  get info(): ModelInfo {
    if (!this.#info) throw new Error("the model is not loaded yet");
    return this.#info;
  }

  load(options: LoadOptions): Promise<void> {
    return new Promise((resolve, reject) => {
      if (this.#lost) return reject(this.#lost);
      this.#loading = { resolve, reject };
      this.#watchdog.watch(STARTING, STARTS_IN);
      this.#send({ type: "load", options });
    });
  }

  run(job: PrefillJob): Promise<PrefillResult> {
    return new Promise((resolve, reject) => {
      if (this.#lost) return reject(this.#lost);
      if (this.#closing) return reject(new RunnerLost("the runner is closed"));
      if (this.#jobs.has(job.id)) return reject(new Error(`job ${job.id} is given twice`));
      this.#jobs.set(job.id, { seq_len: job.seq_len, resolve, reject });
      this.#watchOldest();
      this.#send({ type: "run", job });
    });
  }

  cancel(id: number): void {
    if (this.#jobs.has(id)) this.#send({ type: "cancel", id });
  }

  async openSession(
    session: TokenSession,
    onToken: (token: SessionToken) => void,
  ): Promise<SessionEnd> {
    if (this.#lost) throw this.#lost;
    if (this.#closing) throw new RunnerLost("the runner is closed");
    return this.#sessions.open(session, onToken);
  }

  cancelSession(id: number): void {
    this.#sessions.cancel(id);
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    if (this.#lost) return;
    this.#send({ type: "close" });
    const timer = setTimeout(() => this.#child.kill("SIGKILL"), CLOSE_GRACE_MS);
    await this.ended;
    clearTimeout(timer);
  }

  #receive(message: FromRunner): void {
    switch (message.type) {
      case "notice":
        this.#onNotice?.(message.text, message.level);
        break;
      case "started":
        if (!this.#lost) this.#watchdog.watch(LOADING);
        break;
      case "progress":
        this.#watchdog.progress();
        break;
      case "lost":
        this.#lost ??= new RunnerEnded("device", message.message);
        break;
      case "memory":
        this.memory = message.memory;
        if (this.#info && this.#jobs.size + this.#sessions.size === 0) this.#endIfOutgrown();
        break;
      case "session_stats":
        this.sessionStats = message.stats;
        break;
      case "loaded":
        this.#watchdog.watch(null);
        if (this.#isOutgrown) {
          this.#loading?.reject(new Error(`the model is loaded, and ${this.#outgrown()}`));
          break;
        }
        this.#info = message.info;
        this.sessionLimits = message.sessionLimits;
        this.#loading?.resolve();
        break;
      case "load_failed":
        this.#loading?.reject(new Error(message.message));
        break;
      case "done":
        this.#hasFinishedNonces ||= message.result.completed > 0;
        this.#take(message.id)?.resolve(message.result);
        this.#endIfOutgrown();
        break;
      case "failed":
        this.#take(message.id)?.reject(new Error(message.message));
        this.#endIfOutgrown();
        break;
      case "session_ended":
      case "tokens":
      case "session_failed":
        this.#receiveOfSession(message);
        break;
    }
  }

  #receiveOfSession(message: SessionMessage): void {
    this.#watchdog.progress();
    this.#sessions.receive(message);
  }

  get #isOutgrown(): boolean {
    return this.memory !== null && this.memory.present > this.#maxMemory;
  }

  #outgrown(): string {
    return (
      `the runner's process holds ${sizeText(this.memory?.present ?? 0)}, more than the ` +
      `${sizeText(this.#maxMemory)} that --runner-max-memory allows`
    );
  }

  /** Jobs that it has not answered have hardly begun, and are computed by the next one. */
  #endIfOutgrown(): void {
    if (!this.#isOutgrown) return;
    this.#lost ??= new RunnerEnded("memory", this.#outgrown());
    this.#child.kill("SIGKILL");
  }

  /** What cannot be sent was meant for a child that is ending: "exit" answers for it. */
  #send(message: ToRunner): void {
    if (this.#child.connected) this.#child.send(message, () => {});
  }

  #take(id: number): Pending | undefined {
    const pending = this.#jobs.get(id);
    this.#jobs.delete(id);
    this.#watchdog.progress();
    this.#watchOldest();
    return pending;
  }

  /** Jobs are computed in the order in which they came. */
  #watchOldest(): void {
    const [oldest] = this.#jobs.values();
    const kind = oldest?.seq_len ?? (this.#sessions.size > 0 ? SESSIONS : null);
    if (!this.#lost) this.#watchdog.watch(kind);
  }

  #rejectAll(error: RunnerLost): void {
    this.#loading?.reject(error);
    for (const id of [...this.#jobs.keys()]) this.#take(id)?.reject(error);
    this.#sessions.rejectAll(error);
  }
}
