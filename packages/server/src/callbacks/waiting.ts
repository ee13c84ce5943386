/** How much waits in the outbox, for those who ask. */
import { type DeliveryInfo, within } from "@proofmill/core";
import type { Outbox } from "./outbox.ts";

/** How old a look into the outbox may be, milliseconds. */
const LOOK_MS = 100;
/** What a disk that hangs may hold up whoever asks, milliseconds. */
const PATIENCE_MS = 1000;

export type Waiting = Pick<DeliveryInfo, "pending_nonces" | "pending_verdicts" | "oldest_seconds">;

/** Thousands may ask in a second: the outbox is looked into for all of them at once. */
export class WaitingDeliveries {
  readonly #outbox: Pick<Outbox, "pending" | "oldestAge">;
  #found: Waiting = { pending_nonces: 0, pending_verdicts: 0, oldest_seconds: 0 };
  /** Of the look that is under way, or was a moment ago: its end, or what patience there is with it. */
  #look: Promise<void> | null = null;

  constructor(outbox: Pick<Outbox, "pending" | "oldestAge">) {
    this.#outbox = outbox;
  }

  /** As it was about `LOOK_MS` ago, or before the disk failed: that is for `/health` to say. */
  async now(): Promise<Waiting> {
    this.#look ??= within(PATIENCE_MS, this.#lookIntoOutbox());
    await this.#look;
    return this.#found;
  }

  async #lookIntoOutbox(): Promise<void> {
    const outbox = this.#outbox;
    try {
      const [{ nonces, verdicts }, age] = await Promise.all([outbox.pending(), outbox.oldestAge()]);
      const oldest_seconds = age / 1000;
      this.#found = { pending_nonces: nonces, pending_verdicts: verdicts, oldest_seconds };
    } catch {
      // The figures before stay.
    }
    setTimeout(() => {
      this.#look = null;
    }, LOOK_MS).unref();
  }
}
