/** proofmill's SDK: commands, live subscriptions, and errors, for Node and browsers. */
export type { CallOptions } from "./calls.ts";
export { createPocClient, type PocClient, type PocClientOptions } from "./client.ts";
export * from "./errors.ts";
export type * from "./types.ts";
export type { WatchOptions } from "./watch.ts";
