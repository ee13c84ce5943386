/** What a service is opened with. */
import type { Meter } from "./round/meter.ts";
import type { RoundStore } from "./round/store.ts";
import type { Logger } from "./util/log.ts";
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
  /** Hosts that `callback_url` may name, `name` or `name:port`; without it all others. */
  callbackHosts?: readonly string[] | undefined;
  /** Monotonic milliseconds; `performance.now` by default. */
  now?: () => number;
  log?: Logger;
  /** Told what is computed, searched and judged; nobody by default. */
  meter?: Meter;
}
