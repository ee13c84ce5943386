/**
 * What a round proves, as one object. The machinery of a round (search, validation, ledger, store,
 * outbox) asks its scheme whatever it has to know of a result, and knows nothing of its own.
 */
import type { ModelInfo, PrefillJob } from "../runner/ports.ts";

/**
 * What the machinery reads of a round's configuration. Each scheme's own has more fields; all of them
 * are JSON, and none is an object or a list.
 */
export interface RoundConfig {
  readonly block_hash: string;
  readonly block_height: number;
  readonly public_key: string;
  /** −1: unset. */
  readonly node_id: number;
  /** −1: unset. */
  readonly node_count: number;
  /** Nonces that one job has at most. */
  readonly batch_size: number;
  /** Tokens per nonce, ≥ 1. */
  readonly seq_len: number;
  readonly callback_url: string | null;
}

/**
 * What is kept of a find: a finite number or a text, as the scheme likes, but always of one type. It
 * comes back from the store with the very same digits.
 */
export type FindRecord = number | string;

/** Some of a round's finds, in sequence order; both arrays have the same length. */
export interface Finds {
  readonly nonces: number[];
  readonly records: FindRecord[];
}

/** What the floats of one nonce mean. */
export type Reading =
  | { readonly kind: "valid"; readonly record: FindRecord }
  | { readonly kind: "invalid" }
  /** The arithmetic failed: the nonce is never valid, and accuses nobody (docs/protocol.md §1.10). */
  | { readonly kind: "nonfinite" };

/** A claim's nonces, computed again. */
export interface Recomputed {
  /** [nonces of the claim, width]; NaN or infinite where the arithmetic failed. */
  readonly values: Float32Array;
  /** Of the runners that computed them all. */
  readonly arithmetic: string;
}

/** A round as its scheme is given it. */
export interface SchemeRound<Config> {
  readonly round_id: string;
  readonly config: Config;
}

/**
 * One kind of proof. A kept round names its scheme, so that whoever holds the round finds the scheme
 * whose configuration and records these are; each scheme is given its own alone. How claims are judged
 * is between a scheme and what speaks its protocol: no round asks for it.
 */
export interface ProofScheme<Config extends RoundConfig = RoundConfig> {
  /** What kept rounds name it by: never changed. */
  readonly name: string;
  /**
   * Whether a kept round can be gone on with: its configuration, and its least and greatest record
   * (numbers before texts), none where nothing was found.
   */
  canRead(kept: { config: unknown; records: readonly unknown[] }): boolean;
  /** The nonces of a round: `first`, `first + step`, `first + 2·step` …; `step` ≥ 1. */
  walk(config: Config): { first: number; step: number };
  /** Floats that a nonce yields, ≥ 1. */
  width(config: Config): number;
  /** What a runner of that model has to compute for nonces, at least one. */
  job(config: Config, nonces: readonly number[], model: ModelInfo): Omit<PrefillJob, "id">;
  /** @param row [width] */
  read(config: Config, row: Float32Array): Reading;
  /** Finds of a round that were computed under one tag, as they are pushed: JSON. */
  generated(round: SchemeRound<Config>, finds: Finds & { readonly arithmetic: string }): object;
  /**
   * How often in a row a receiver may refuse what is pushed to it, as by a 4xx, before it is given
   * up; null: it is sent until it is too old.
   */
  readonly maxRefusals: number | null;
}

/** Schemes by the names that kept rounds have of them. */
export type Schemes = ReadonlyMap<string, ProofScheme>;

/** What a kept round proves; @throws Error where there is none of that name. */
export function schemeOf(round: { readonly scheme: string }, schemes: Schemes): ProofScheme {
  const found = schemes.get(round.scheme);
  if (!found) throw new Error(`there is no proof that is called ${round.scheme}`);
  return found;
}

/** What the rows of a job mean. */
export interface Results {
  /** Nonces that were computed. */
  readonly count: number;
  /** The valid ones by their places in the job, ascending. */
  readonly finds: readonly { readonly place: number; readonly record: FindRecord }[];
  /** Places of those that were not finite, ascending. */
  readonly nonfinite: readonly number[];
}

/** @param values [nonces, width] */
export function readRows(scheme: ProofScheme, config: RoundConfig, values: Float32Array): Results {
  const width = scheme.width(config);
  const count = values.length / width;
  const finds: { place: number; record: FindRecord }[] = [];
  const nonfinite: number[] = [];
  for (let place = 0; place < count; place++) {
    const reading = scheme.read(config, values.subarray(place * width, (place + 1) * width));
    if (reading.kind === "valid") finds.push({ place, record: reading.record });
    else if (reading.kind === "nonfinite") nonfinite.push(place);
  }
  return { count, finds, nonfinite };
}

/**
 * A round's book, as its scheme reads it: what the scheme's own answers and events are made of. It
 * holds only what is stored.
 */
export interface RoundBook {
  readonly round_id: string;
  readonly config: RoundConfig;
  /** Nonces counted so far. */
  readonly position: number;
  /** Valid ones among them. */
  readonly found: number;
  readonly nonfinite: number;
  /** Since the round began, without the time spent STOPPED. */
  readonly elapsed_seconds: number;
  /** Spent GENERATING. */
  readonly generating_seconds: number;
  /** The finds from the `since`-th on, at most `limit`; the arrays are not to be changed. */
  finds(page: { since: number; limit: number }): Finds;
}
