/** Who is told when something changes: listeners at once, subscribers together and not too often. */
import type { Logger } from "../util/log.ts";
import { Pulse } from "../util/pulse.ts";
import {
  type FindEvents,
  type ReadableRound,
  type Tracked,
  type WatchOptions,
  watchFinds,
  watchStatus,
} from "./watch.ts";

/**
 * Finds are coalesced over at most 100 ms (docs/protocol.md §5). Subscribers are woken in groups
 * with periods of their own: a thousand at once would keep the node busy for half a period and
 * idle for the other.
 */
const NONCES_PULSES_MS = [100, 96, 92, 88, 84, 80, 76, 72];
/** Four statuses a second at most. */
const STATUS_PULSE_MS = 250;

export class Subscriptions {
  readonly #log: Logger;
  readonly #listeners = new Set<() => void>();
  readonly #noncesPulses = NONCES_PULSES_MS.map((period) => new Pulse(period));
  readonly #statusPulse = new Pulse(STATUS_PULSE_MS);
  /** Subscribers to finds so far. */
  #subscribers = 0;

  constructor(log: Logger) {
    this.#log = log;
  }

  /**
   * Calls `listener` on every change.
   *
   * @returns what ends it
   */
  on(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** The state, a count, a find or the runners have changed. */
  changed(): void {
    for (const pulse of this.#noncesPulses) pulse.touch();
    this.#statusPulse.touch();
    for (const listener of this.#listeners) {
      try {
        listener();
      } catch (error) {
        this.#log.error({ err: error }, "a listener failed");
      }
    }
  }

  /** @param source.rounds the rounds that can be read, oldest first */
  watchFinds<Event>(
    source: { rounds: () => readonly ReadableRound[]; events: FindEvents<Event> },
    options: WatchOptions & { lastEventId?: string | undefined },
  ): AsyncGenerator<Tracked<Event>, void> {
    const pulse = this.#noncesPulses[this.#subscribers++ % NONCES_PULSES_MS.length] as Pulse;
    return watchFinds({ ...source, pulse }, options);
  }

  watchStatus<Event>(
    status: () => Event,
    options: WatchOptions,
  ): AsyncGenerator<Tracked<Event>, void> {
    return watchStatus({ status, pulse: this.#statusPulse }, options);
  }
}
