/** Points of time of a node's past, put together from what it tells piece by piece. */

import { LAST_MOMENT } from "../format.ts";
import type { HistorySeries } from "./told-schemas.ts";

/** Over which "now" is taken: batches of a slow search come once in a while. */
const NOW_MS = 10_000;
/** A chart's axis has an end. */
const MOST_RATE = Number.MAX_SAFE_INTEGER;

interface SeriesOptions {
  /** Points that are kept. */
  most: number;
  /** Milliseconds from one point to the next. */
  step: number;
}

export class Series {
  /** The end of each point, ms since 1970; all lists are equally long. */
  readonly at: number[] = [];
  readonly state: string[] = [];
  readonly checked: number[] = [];
  readonly rate: number[] = [];
  /** That the node's own model answered. */
  readonly tokens: number[] = [];
  readonly #options: SeriesOptions;

  constructor(options: SeriesOptions) {
    this.#options = options;
  }

  clear(): void {
    for (const list of [this.at, this.state, this.checked, this.rate, this.tokens]) list.length = 0;
  }

  /** Takes the points that are not known yet. */
  add({ at, state, checked, rate_per_second, generated_tokens }: HistorySeries): void {
    const { step, most } = this.#options;
    for (const [i, end] of at.entries()) {
      // The node dates its points anew for each answer, a millisecond to and fro.
      if (end <= (this.at.at(-1) ?? 0) + step / 2 || end > LAST_MOMENT) continue;
      this.at.push(end);
      this.state.push(state[i] ?? "IDLE");
      this.checked.push(checked[i] ?? 0);
      this.rate.push(Math.min(rate_per_second[i] ?? 0, MOST_RATE));
      this.tokens.push(generated_tokens[i] ?? 0);
    }
    const tooMany = this.at.length - most;
    if (tooMany <= 0) return;
    for (const list of [this.at, this.state, this.checked, this.rate, this.tokens]) {
      list.splice(0, tooMany);
    }
  }

  /** Since when the state is as it is at the end, ms since 1970; null: longer than is known. */
  stateSince(state: string): number | null {
    const last = this.state.findLastIndex((each) => each !== state);
    return this.at[last] ?? null;
  }

  /** Nonces or tokens for each second since `from`, of which this may know less; null: nothing. */
  meanSince(from: number, of: "checked" | "tokens" = "checked"): number | null {
    const first = this.at.findIndex((end) => end > from);
    if (first === -1) return null;
    const many = this[of].slice(first).reduce((sum, each) => sum + each, 0);
    const began = (this.at[first] ?? 0) - this.#options.step;
    const seconds = ((this.at.at(-1) ?? 0) - Math.max(from, began)) / 1000;
    return seconds > 0 ? many / seconds : null;
  }

  /** Nonces or tokens a second over the last ten seconds; null: nothing is known. */
  meanOfNow(of: "checked" | "tokens" = "checked"): number | null {
    return this.meanSince((this.at.at(-1) ?? 0) - NOW_MS, of);
  }

  /**
   * What a chart shows of the time between both, ms since 1970: times in seconds, rates. It reaches from
   * end to end, however little is known; a gap in time, when the node was away, is a gap in the line.
   */
  chart(from: number, to: number): [number[], (number | null)[]] {
    const times = [from / 1000];
    const rates: (number | null)[] = [null];
    const { step } = this.#options;
    let last = Number.POSITIVE_INFINITY;
    for (const [i, end] of this.at.entries()) {
      if (end <= from) continue;
      if (end - last > 3 * step) {
        times.push((last + step) / 1000);
        rates.push(null);
      }
      times.push(end / 1000);
      rates.push(this.rate[i] ?? 0);
      last = end;
    }
    if (last !== to) {
      times.push(to / 1000);
      rates.push(null);
    }
    return [times, rates];
  }
}
