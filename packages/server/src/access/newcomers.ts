/**
 * WebSockets that have shown no key yet. Browsers cannot send a header with one: they send the key as
 * the first message, as tRPC's connectionParams. Such sockets have a while for it, get no answer
 * before, and are bounded.
 */
import { network } from "./addresses.ts";
import type { Key, Keyring } from "./keys.ts";

/** Milliseconds in which the key must have come. */
const PATIENCE_MS = 5000;
/** At one time; the one that has waited longest gives up its place. */
const MAX_IN_ALL = 512;
const MAX_PER_ADDRESS = 32;
/** Bytes that may come before the key is known. */
export const MAX_FIRST_BYTES = 8 * 1024;
/** The WebSocket's 401 (RFC 6455 §7.4.2 leaves the numbers from 4000 on to applications). */
export const KEY_REQUIRED_CLOSE = 4401;

export interface Newcomer {
  /** The key that the first message names; null: the socket has been closed for it. */
  show(message: Buffer): Key | null;
  /** It is gone. */
  leave(): void;
}

interface Waiting {
  readonly address: string;
  close(): void;
}

export class Newcomers {
  readonly #keys: Keyring;
  /** Those that have waited longest first. */
  readonly #waiting = new Set<Waiting>();

  constructor(keys: Keyring) {
    this.#keys = keys;
  }

  /** @param close ends the socket, with `KEY_REQUIRED_CLOSE` */
  receive(caller: string, close: () => void): Newcomer {
    const address = network(caller);
    const timer = setTimeout(() => end(), PATIENCE_MS).unref();
    const leave = () => {
      clearTimeout(timer);
      this.#waiting.delete(waiting);
    };
    const end = () => {
      leave();
      close();
    };
    const waiting: Waiting = { address, close: end };
    this.#waiting.add(waiting);
    this.#makeRoom(address);
    return {
      leave,
      show: (message) => {
        const key = this.#keys.find(authorizationIn(message));
        if (key) leave();
        else end();
        return key;
      },
    };
  }

  #makeRoom(address: string): void {
    const [longest] = this.#waiting;
    if (this.#waiting.size > MAX_IN_ALL) longest?.close();
    const neighbours = [...this.#waiting].filter((each) => each.address === address);
    if (neighbours.length > MAX_PER_ADDRESS) neighbours[0]?.close();
  }
}

/** Of `{"method": "connectionParams", "data": {"authorization": "Bearer …"}}`. */
function authorizationIn(message: Buffer): string | undefined {
  try {
    const { method, data } = JSON.parse(message.toString());
    const { authorization } = method === "connectionParams" ? data : {};
    return typeof authorization === "string" ? authorization : undefined;
  } catch {
    return undefined;
  }
}
