/** proofmill's SDK: commands, live subscriptions, and errors, for Node and browsers. */
export type { CallOptions, PocResponse } from "./calls.ts";
export { createPocClient, type PocClient, type PocClientOptions } from "./client.ts";
export type { Connection } from "./connection.ts";
export * from "./errors.ts";
export { doubtsOf, type GivenProof, proofIn } from "./given-proof.ts";
export { type Finds, type ProofRound, toProofBatch } from "./proof-batch.ts";
export type * from "./types.ts";
export type { WatchOptions } from "./watch.ts";
