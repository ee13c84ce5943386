/** How a node's searches and its model's answers went: one point a second for ten minutes, one in ten seconds for a day. */
import type { Meter, NodeHistory, RoundState, SearchedNonces } from "@proofmill/core";
import { Points } from "./points.ts";

const POINT_MS = 1000;
const TEN_MINUTES = 600;
/** Seconds that a point of the day is about. */
const COARSE = 10;
const DAY = (24 * 60 * 60) / COARSE;

interface HistoryOptions {
  state: () => RoundState;
  /** Monotonic milliseconds; `performance.now` by default. */
  now?: () => number;
}

/**
 * Is told what is searched, and looks at the state when a point ends.
 *
 * @example
 * const history = new History({ state: () => service.state });
 * const end = history.start();
 */
export class History implements Partial<Meter> {
  readonly #state: () => RoundState;
  readonly #now: () => number;
  readonly #fine = new Points(TEN_MINUTES);
  readonly #coarse = new Points(DAY);
  /** Since the last point. */
  #second = { checked: 0, valid: 0, tokens: 0 };
  /** Since the last point of the day, and how many points of a second it has by now. */
  #ten = { checked: 0, valid: 0, tokens: 0, points: 0 };
  #secondBegan: number;
  #tenBegan: number;

  constructor({ state, now = () => performance.now() }: HistoryOptions) {
    this.#state = state;
    this.#now = now;
    this.#secondBegan = now();
    this.#tenBegan = this.#secondBegan;
  }

  /** @returns what ends it */
  start(): () => void {
    const timer = setInterval(() => this.tick(), POINT_MS).unref();
    return () => clearInterval(timer);
  }

  searched({ checked, valid }: SearchedNonces): void {
    this.#second.checked += checked;
    this.#second.valid += valid;
  }

  /** The node's own model has answered so many tokens more. */
  generated(tokens: number): void {
    this.#second.tokens += tokens;
  }

  /** A second is over; more time than that may have passed, where the node was busy. */
  tick(): void {
    const at = this.#now();
    const state = this.#state();
    const second = this.#second;
    this.#fine.add({ at, state, ...second, seconds: (at - this.#secondBegan) / 1000 });
    this.#second = { checked: 0, valid: 0, tokens: 0 };
    this.#secondBegan = at;
    this.#ten.checked += second.checked;
    this.#ten.valid += second.valid;
    this.#ten.tokens += second.tokens;
    this.#ten.points++;
    if (this.#ten.points < COARSE) return;
    const { points: _, ...sums } = this.#ten;
    this.#coarse.add({ at, state, ...sums, seconds: (at - this.#tenBegan) / 1000 });
    this.#ten = { checked: 0, valid: 0, tokens: 0, points: 0 };
    this.#tenBegan = at;
  }

  /** @param seconds leave out points that are older; all are shown without it */
  read(seconds = Number.POSITIVE_INFINITY): NodeHistory {
    const now = this.#now();
    // Kept by a clock that nobody sets, and shown by the one that people read.
    const clock = Date.now() - now;
    const from = now - seconds * 1000;
    return {
      ten_minutes: this.#fine.since(from, clock),
      day: this.#coarse.since(from, clock),
    };
  }
}
