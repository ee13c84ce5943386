/** The protocol and the round: everything of a node that needs no socket, file or model. */

export { type Calibration, calibrate, randomDistanceCdf } from "./proof/distance/calibration.ts";
export { binomialTail, MISMATCH_PROBABILITY, probabilityHonest } from "./proof/distance/fraud.ts";
export {
  inputSeed,
  permutationSeed,
  type SeedSource,
  seed,
  targetSeed,
} from "./proof/distance/seeds.ts";
export { isValid, judge, toValidateAnswer } from "./proof/distance/verdict.ts";
export {
  type FindRecord,
  type Finds,
  type ProofScheme,
  type RoundBook,
  type RoundConfig,
  type Schemes,
  schemeOf,
} from "./proof/scheme.ts";
export { SCHEMES } from "./proof/schemes.ts";
export { FoundList, type Section, sectionOf } from "./round/found-list.ts";
export { type IndexRange, NonceSequence } from "./round/nonces.ts";
export * from "./round/state.ts";
export * from "./round/store.ts";
export type { Tracked, WatchOptions } from "./round/watch.ts";
export * from "./runner/ports.ts";
export { PocService, type PocServiceOptions } from "./service.ts";
export { type Backoff, pauseAfter } from "./util/backoff.ts";
export { type Logger, silentLog } from "./util/log.ts";
export { within } from "./util/time.ts";
export * from "./wire/index.ts";
