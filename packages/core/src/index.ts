/** The protocol and the round: everything of a node that needs no socket, file or model. */

export { artifactInputs, artifactOutput } from "./proof/artifact/job.ts";
export { pickSeed, rotationSeeds } from "./proof/artifact/seeds.ts";
export { decodeVector, encodeVector } from "./proof/artifact/vector.ts";
export { type Calibration, calibrate, randomDistanceCdf } from "./proof/distance/calibration.ts";
export { permutationSeed, targetSeed } from "./proof/distance/seeds.ts";
export {
  type FindRecord,
  type ProofScheme,
  type RoundConfig,
  type Schemes,
  schemeOf,
} from "./proof/scheme.ts";
export { SCHEMES } from "./proof/schemes.ts";
export { inputSeed, inputSeedWords, seed } from "./proof/seeds.ts";
export { FoundList, type Section, sectionOf } from "./round/found-list.ts";
export {
  type EndedArtifactJob,
  type Meter,
  type SearchedNonces,
  toEach,
} from "./round/meter.ts";
export type { RunnerPlace } from "./round/runners.ts";
export type { SearchedWith } from "./round/searched-with.ts";
export * from "./round/store.ts";
export type { RoundSummary } from "./round/summary.ts";
export type { Tracked, WatchOptions } from "./round/watch.ts";
export type { EndedJob } from "./runner/dispatcher.ts";
export * from "./runner/ports.ts";
export * from "./runner/sessions.ts";
export { PocService } from "./service.ts";
export { pauseAfter } from "./util/backoff.ts";
export { type Logger, silentLog } from "./util/log.ts";
export { itemsJson, objectJson } from "./util/long-json.ts";
export { Patience } from "./util/patience.ts";
export { within } from "./util/time.ts";
export * from "./wire/index.ts";
