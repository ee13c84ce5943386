/** A loaded model as core's runner: checks jobs and memory before the addon is asked. */
import type {
  ModelInfo,
  ModelRunner,
  PrefillJob,
  PrefillResult,
  SessionEnd,
  SessionLimits,
  SessionRunner,
  SessionStats,
  SessionToken,
  TokenSession,
} from "@proofmill/core";
import type { NativeModel } from "./binding.ts";
import { checkJob } from "./job.ts";
import type { PassMemory } from "./pass-memory.ts";
import { NativeSessions } from "./sessions.ts";

export class NativeRunner implements ModelRunner, SessionRunner {
  readonly info: ModelInfo;
  readonly #model: NativeModel;
  readonly #memory: PassMemory | null;
  readonly #sessions: NativeSessions | null;
  #closed: Promise<void> | null = null;

  /**
   * @param options.memory what passes take of the machine's; null where it is a GPU's
   * @param options.sessions what the model has room for; null: none
   */
  constructor(
    model: NativeModel,
    info: ModelInfo,
    options: { memory: PassMemory | null; sessions: SessionLimits | null },
  ) {
    this.#model = model;
    this.info = info;
    this.#memory = options.memory;
    this.#sessions = options.sessions && new NativeSessions(model, info, options.sessions);
  }

  get sessionLimits(): SessionLimits | null {
    return this.#sessions?.limits ?? null;
  }

  async openSession(
    session: TokenSession,
    onToken: (token: SessionToken) => void,
  ): Promise<SessionEnd> {
    if (!this.#sessions) throw new Error("the model was loaded without room for token sessions");
    return this.#sessions.open(session, onToken);
  }

  cancelSession(id: number): void {
    this.#sessions?.cancel(id);
  }

  /** As they are after the last step; null without room for sessions, and once the model is closed. */
  get sessionStats(): SessionStats | null {
    return this.#sessions && !this.#closed ? this.#model.sessionStats() : null;
  }

  async run(job: PrefillJob): Promise<PrefillResult> {
    checkJob(job, this.info);
    if (!this.#closed) this.#memory?.take(job.seq_len);
    return this.#model.run(job);
  }

  cancel(id: number): void {
    if (Number.isSafeInteger(id) && id >= 0) this.#model.cancel(id);
  }

  close(): Promise<void> {
    this.#closed ??= this.#model.close();
    return this.#closed;
  }
}
