/** The client of a node. */
import { OPERATIONS, type Operations } from "@proofmill/core/wire";
import type { Endpoint, PocResponse } from "./calls.ts";
import { createMethods, type Methods } from "./methods.ts";

export interface PocClientOptions {
  /** The node's base address, e.g. `http://127.0.0.1:8000`. */
  url: string;
  /** Sent as a bearer token. */
  apiKey?: string;
  /** Milliseconds for each attempt; 30 s by default, 10 minutes for `validate`. */
  timeoutMs?: number;
  /** Further attempts after a failure, where repeating is safe; 2 by default. */
  retries?: number;
  /** Hears of each answer to a method, with the id that the node's log has. It must not throw. */
  onResponse?: (response: PocResponse) => void;
  /** Instead of the global one. */
  fetch?: typeof fetch;
}

/**
 * A node's commands, as flat methods. Calls take `{ signal, timeoutMs, retries, onResponse }` last, and
 * throw a `PocClientError`, or the signal's reason. Subscriptions are async iterables that come back by
 * themselves, over as many connections as it takes, and end when `signal` aborts.
 *
 * @example
 * for await (const event of client.watchValidNonces({ signal })) {
 *   if (event.type === "nonces") console.log(event.nonces, event.distances);
 * }
 */
export type PocClient = Methods<Operations>;

/**
 * Makes a client; nothing is sent until a method is called.
 *
 * @throws TypeError for a `url` that is not http or https, and for an `apiKey` that no header can hold
 *
 * @example
 * const client = createPocClient({ url: "http://127.0.0.1:8000" });
 * const { pow_status } = await client.initGenerate({
 *   block_hash: "abc123", block_height: 100, public_key: "node1",
 *   r_target: 1.36, node_id: 0, node_count: 1,
 * });
 */
export function createPocClient(options: PocClientOptions): PocClient {
  const { url, apiKey, fetch, timeoutMs, retries, onResponse } = options;
  if (apiKey !== undefined && !/^[\x21-\x7e]+$/.test(apiKey)) {
    // A request would fail with words that quote the key.
    throw new TypeError("apiKey: expected the key alone: letters, digits and signs without blanks");
  }
  const endpoint: Endpoint = { url: baseUrl(url), apiKey, fetch };
  return createMethods(OPERATIONS, { endpoint, timeoutMs, retries, onResponse });
}

function baseUrl(text: string): string {
  if (!/^https?:\/\//i.test(text) || !URL.canParse(text)) {
    throw new TypeError(
      `url: expected a node's base address like http://127.0.0.1:8000, got ${text}`,
    );
  }
  const url = new URL(text);
  if (url.username !== "" || url.password !== "") {
    throw new TypeError("url: credentials in a node's address are not sent; use apiKey");
  }
  return `${url.origin}${url.pathname.replace(/\/+$/, "")}`;
}
