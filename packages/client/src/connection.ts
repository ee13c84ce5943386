/** What a watch tells of its connection. */
import type { PocClientError } from "./errors.ts";

export type Connection =
  /** The first attempt is under way. */
  | { readonly state: "connecting" }
  | { readonly state: "open" }
  /** It broke, or could not be made. It is tried again by itself, with growing pauses. */
  | { readonly state: "lost"; readonly error: PocClientError }
  /** Trying again would not help: the watch ends, and throws this error. */
  | { readonly state: "refused"; readonly error: PocClientError };
