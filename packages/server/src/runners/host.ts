/** The runner's side of the channel: holds one model and does what the server asks. */
import type {
  ModelRunner,
  PrefillJob,
  SessionRunner,
  SessionToken,
  TokenSession,
} from "@proofmill/core";
import type { OnNotice } from "@proofmill/native/model/config";
import { type Memory, processMemory } from "../platform/memory.ts";
import { ignoreUserSignals } from "../platform/signals.ts";
import type { FromRunner, LoadOptions, ToRunner } from "./messages.ts";

/** How often it is told that something was done, and what is held, if there is anything to tell. */
const TELL_EVERY_MS = 1000;
/** Memory that changes by less is not told, bytes. */
const LEAST_CHANGE = 2 ** 20;

/** What whoever loads a model tells meanwhile. */
interface Told {
  onNotice: OnNotice;
  /** [1], set to 1 whenever a part of the load or of a job was done. */
  progress: Int32Array;
}

interface LoadedRunner {
  runner: ModelRunner & SessionRunner;
  /** What it computed in its warm-up: the same on every device of this arithmetic. */
  warmUp: string;
}

/**
 * Serves this process' parent until that closes the runner or is gone. Call it once, before anything
 * that takes long: a parent may vanish at any moment.
 *
 * @param load loads the model; must not block the event loop, or the parent's end goes unseen
 */
export function hostRunner(
  load: (options: LoadOptions, told: Told) => Promise<LoadedRunner>,
): void {
  let runner: LoadedRunner["runner"] | null = null;
  let tokens: { session: number; token: SessionToken }[] = [];
  const progress = new Int32Array(1);
  let told: Memory = { present: 0, peak: 0 };
  let toldStats = "null";

  // A terminal sends these to the whole group; the round's last results still have to be computed.
  for (const signal of ["SIGTERM", "SIGINT", "SIGHUP"]) process.on(signal, () => {});
  ignoreUserSignals();
  process.on("disconnect", endNow);
  if (!process.connected) endNow();
  send({ type: "started" });

  // What computes does so on threads of its own, so that this one is free to tell of it.
  setInterval(() => {
    if (Atomics.exchange(progress, 0, 0) !== 0) send({ type: "progress" });
    tellMemory();
    tellSessionStats();
  }, TELL_EVERY_MS).unref();

  process.on("message", (message: ToRunner) => {
    switch (message.type) {
      case "load":
        void loadModel(message.options);
        break;
      case "run":
        void run(message.job);
        break;
      case "cancel":
        runner?.cancel(message.id);
        break;
      case "open_session":
        void openSession(message.session);
        break;
      case "cancel_session":
        runner?.cancelSession(message.id);
        break;
      case "close":
        void close();
        break;
    }
  });

  async function loadModel(options: LoadOptions): Promise<void> {
    try {
      const onNotice: OnNotice = (text, level) => send({ type: "notice", text, level });
      const loaded = await load(options, { onNotice, progress });
      runner = loaded.runner;
      tellMemory();
      send({
        type: "loaded",
        info: { ...runner.info, warm_up: loaded.warmUp },
        sessionLimits: runner.sessionLimits,
      });
      tellSessionStats();
    } catch (error) {
      send({ type: "load_failed", message: messageOf(error) });
    }
  }

  function tellMemory(): void {
    const memory = processMemory();
    const change = Math.max(
      Math.abs(memory.present - told.present),
      Math.abs(memory.peak - told.peak),
    );
    if (change < LEAST_CHANGE) return;
    told = memory;
    send({ type: "memory", memory });
  }

  function tellSessionStats(): void {
    const stats = runner?.sessionStats ?? null;
    const text = JSON.stringify(stats);
    if (stats === null || text === toldStats) return;
    toldStats = text;
    send({ type: "session_stats", stats });
  }

  async function run(job: PrefillJob): Promise<void> {
    try {
      if (!runner) throw new Error("no model is loaded");
      send({ type: "done", id: job.id, result: await runner.run(job) });
    } catch (error) {
      if (isDeviceLost(error)) return sayAndEnd({ type: "lost", message: messageOf(error) });
      send({ type: "failed", id: job.id, message: messageOf(error) });
    }
  }

  async function openSession(session: TokenSession): Promise<void> {
    const { id } = session;
    try {
      if (!runner) throw new Error("no model is loaded");
      const end = await runner.openSession(session, (token) => tellToken(id, token));
      send({ type: "session_ended", id, end });
    } catch (error) {
      if (isDeviceLost(error)) return sayAndEnd({ type: "lost", message: messageOf(error) });
      send({ type: "session_failed", id, message: messageOf(error) });
    }
  }

  /** The tokens of a step come one after another: they are sent together, before any session's end. */
  function tellToken(session: number, token: SessionToken): void {
    if (tokens.length === 0) {
      queueMicrotask(() => {
        send({ type: "tokens", tokens });
        tokens = [];
      });
    }
    tokens.push({ session, token });
  }

  async function close(): Promise<void> {
    if (!runner) endNow(); // perhaps in the middle of loading
    await runner?.close();
    process.exit(0);
  }
}

/**
 * Ends this process at once. An ordinary exit would wait for libuv's threads, and so for a model
 * that is being loaded; nothing here has to be tidied up.
 */
function endNow(): void {
  process.kill(process.pid, "SIGKILL");
}

/** A device that has failed is lost to this process: its jobs are lost too, not answered wrongly. */
function sayAndEnd(message: FromRunner): void {
  process.send?.(message, undefined, undefined, endNow);
}

function isDeviceLost(error: unknown): boolean {
  return error instanceof Error && "code" in error && error.code === "DEVICE_LOST";
}

function send(message: FromRunner): void {
  // When the parent is gone there is nobody to tell; "disconnect" ends the process.
  process.send?.(message, undefined, undefined, () => {});
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
