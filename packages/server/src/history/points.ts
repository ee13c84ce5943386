/** Points of time in a ring: when it is full the newest takes the oldest's place. */
import type { HistorySeries, RoundState } from "@proofmill/core";

interface Point {
  /** Its end, monotonic milliseconds. */
  at: number;
  state: RoundState;
  /** Nonces counted in its time. */
  checked: number;
  /** Those of them that were valid. */
  valid: number;
  /** That the node's own model answered in its time. */
  tokens: number;
  /** Seconds that it is about. */
  seconds: number;
}

const STATES = ["IDLE", "GENERATING", "VALIDATING", "STOPPED"] as const satisfies RoundState[];

export class Points {
  readonly #capacity: number;
  readonly #at: Float64Array;
  /** Places in STATES. */
  readonly #state: Uint8Array;
  readonly #checked: Float64Array;
  readonly #valid: Float64Array;
  readonly #tokens: Float64Array;
  readonly #seconds: Float32Array;
  /** Points so far; the next one's place is the rest after a division by the capacity. */
  #count = 0;

  /** @param capacity points that are kept; their memory is taken at once, 37 bytes for each */
  constructor(capacity: number) {
    this.#capacity = capacity;
    this.#at = new Float64Array(capacity);
    this.#state = new Uint8Array(capacity);
    this.#checked = new Float64Array(capacity);
    this.#valid = new Float64Array(capacity);
    this.#tokens = new Float64Array(capacity);
    this.#seconds = new Float32Array(capacity);
  }

  add({ at, state, checked, valid, tokens, seconds }: Point): void {
    const place = this.#count++ % this.#capacity;
    this.#at[place] = at;
    this.#state[place] = STATES.indexOf(state);
    this.#checked[place] = checked;
    this.#valid[place] = valid;
    this.#tokens[place] = tokens;
    this.#seconds[place] = seconds;
  }

  /**
   * The points that end after `from`, the oldest first.
   *
   * @param clock what is added to `at` and `from` to make them milliseconds since 1970
   */
  since(from: number, clock: number): HistorySeries {
    const series: HistorySeries = {
      at: [],
      state: [],
      checked: [],
      valid: [],
      rate_per_second: [],
      generated_tokens: [],
    };
    for (let i = Math.max(0, this.#count - this.#capacity); i < this.#count; i++) {
      const place = i % this.#capacity;
      const at = this.#at[place] ?? 0;
      if (at <= from) continue;
      const checked = this.#checked[place] ?? 0;
      const seconds = this.#seconds[place] ?? 0;
      series.at.push(Math.round(at + clock));
      series.state.push(STATES[this.#state[place] ?? 0] ?? "IDLE");
      series.checked.push(checked);
      series.valid.push(this.#valid[place] ?? 0);
      series.generated_tokens.push(this.#tokens[place] ?? 0);
      series.rate_per_second.push(seconds > 0 ? Math.round((checked / seconds) * 1000) / 1000 : 0);
    }
    return series;
  }
}
