/** What a service is made with, and who calls it. */
import { type Meter, noMeter } from "./round/meter.ts";
import type { RoundStore } from "./round/store.ts";
import { type Logger, silentLog } from "./util/log.ts";
import type { InitDefaults } from "./wire/schemas.ts";

export interface PocServiceOptions {
  /** false: every call throws POC_NOT_ENABLED and the store is not touched. */
  enabled: boolean;
  store: RoundStore;
  /** A fresh ULID, greater than `last`, the greatest of the rounds that are kept. */
  newRoundId: (last: string | null) => string;
  /** What the model is called; a round that was searched with another is not gone on with. */
  modelName?: string;
  /** Whether a round that was searched when the node ended is gone on with; no by default. */
  resumeRound?: boolean;
  /** What a round gets whose init body names none. */
  defaults: InitDefaults;
  /** Nonces that one `/validate` has at most; 4,096 by default. */
  maxValidateNonces?: number;
  /** Nonces of all proofs that wait, 65,536 by default. */
  maxQueuedValidateNonces?: number;
  /** By which callers of artifact rounds may name the model, served names and its path; none by default. */
  modelNames?: () => readonly string[];
  /** Whether `stat_test.p_value_threshold` counts where `fraud_threshold` is absent; no by default. */
  honoursPValueThreshold?: boolean;
  /** Whether rounds, proofs and jobs are taken now, else ENGINE_NOT_AVAILABLE; always by default. */
  isServing?: () => boolean;
  /** Hosts that `callback_url` may name, `name` or `name:port`; without it all others. */
  callbackHosts?: readonly string[] | undefined;
  /** Monotonic milliseconds; `performance.now` by default. */
  now?: () => number;
  log?: Logger;
  /** Told what is computed, searched and judged; nobody by default. */
  meter?: Meter;
}

/** With what holds where nothing is said. */
export function withDefaults(options: PocServiceOptions): Required<PocServiceOptions> {
  return {
    maxValidateNonces: 4096,
    maxQueuedValidateNonces: 65_536,
    callbackHosts: undefined,
    modelNames: () => [],
    honoursPValueThreshold: false,
    isServing: () => true,
    now: () => performance.now(),
    log: silentLog,
    meter: noMeter,
    modelName: "",
    resumeRound: false,
    ...options,
  };
}

/** Who asks. */
export interface Caller {
  /** Aborts when nobody waits for the answer any more. */
  signal?: AbortSignal | undefined;
}
