/** proofmill's SDK: commands, live subscriptions, and errors, for Node and browsers. */
export {
  type CallOptions,
  createPocClient,
  type PocClient,
  type PocClientOptions,
  type WatchOptions,
} from "./client.ts";
export * from "./errors.ts";
export type * from "./types.ts";
