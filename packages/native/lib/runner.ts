/** A loaded model as core's runner: checks jobs and memory before the addon is asked. */
import type { ModelInfo, ModelRunner, PrefillJob, PrefillResult } from "@proofmill/core";
import type { NativeModel } from "./binding.ts";
import { checkJob } from "./job.ts";
import type { PassMemory } from "./pass-memory.ts";

export class NativeRunner implements ModelRunner {
  readonly info: ModelInfo;
  readonly #model: NativeModel;
  readonly #memory: PassMemory | null;
  #closed: Promise<void> | null = null;

  /** @param memory what passes take of the machine's; null where it is a GPU's */
  constructor(model: NativeModel, info: ModelInfo, memory: PassMemory | null) {
    this.#model = model;
    this.info = info;
    this.#memory = memory;
  }

  async run(job: PrefillJob): Promise<PrefillResult> {
    checkJob(job, this.info);
    if (!this.#closed) this.#memory?.take(job.seq_len);
    return this.#model.run(job);
  }

  cancel(id: number): void {
    if (Number.isSafeInteger(id) && id >= 0) this.#model.cancel(id);
  }

  /** Calls `listener` when a layer begins, 20 times a second at most, with how many are behind it. */
  onProgress(listener: (layersDone: number) => void): void {
    this.#model.onProgress(listener);
  }

  close(): Promise<void> {
    this.#closed ??= this.#model.close();
    return this.#closed;
  }
}
