/** The protocol and the round: everything of a node that needs no socket, file or model. */
export { isRefusedAddress } from "./address.ts";
export {
  type BodyKind,
  CheckedBody,
  type CheckOutcome,
  checkBody,
  type InitLimits,
  outcomeOf,
} from "./body.ts";
export { type Calibration, calibrate, randomDistanceCdf } from "./calibration.ts";
export * from "./errors.ts";
export { isNamedHost } from "./fields.ts";
export { FoundList, type Section, sectionOf } from "./found-list.ts";
export { binomialTail, MISMATCH_PROBABILITY, probabilityHonest } from "./fraud.ts";
export { invalidJson, parseWith } from "./issues.ts";
export { type Logger, silentLog } from "./log.ts";
export { type IndexRange, NonceSequence } from "./nonce.ts";
export * from "./round.ts";
export * from "./runner.ts";
export * from "./schemas.ts";
export { inputSeed, permutationSeed, type SeedSource, seed, targetSeed } from "./seed.ts";
export { PocService, type PocServiceOptions } from "./service.ts";
export * from "./store.ts";
export { within } from "./time.ts";
export { isValid, judge, toValidateAnswer } from "./verdict.ts";
export type { Tracked, WatchOptions } from "./watch.ts";
