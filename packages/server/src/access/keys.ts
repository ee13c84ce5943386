/** Keys, and what each of them allows. */
import { createHash, randomBytes, timingSafeEqual } from "node:crypto";
import { setMaxListeners } from "node:events";
import type { Scope } from "@proofmill/core";

/** Every key is compared with what a caller sends, so there are not many. */
export const MAX_KEYS = 256;

/** What a bearer token may consist of (RFC 6750 §2.1), and how long one that nobody guesses is. */
const TOKEN = /^[A-Za-z0-9._~+/-]{16,512}=*$/;
/** What is looked up; what is longer is no key of ours. */
const BEARER = /^Bearer +([A-Za-z0-9._~+/-]{1,512}=*) *$/i;

/** What is known of a key: never the key itself. */
export interface KeyEntry {
  /** Stands in logs and metrics. */
  readonly label: string;
  /** SHA-256 of the key, 32 bytes. */
  readonly digest: Buffer;
  readonly scopes: readonly Scope[];
}

export interface Key extends KeyEntry {
  /** Calls of this label's keys since the node started, or the label came. */
  readonly usage: { calls: number };
  /** Aborts when the key is not valid any more. */
  readonly revoked: AbortSignal;
}

/** The keys that are valid now; they may be replaced at any time. */
export class Keyring {
  #keys: (Key & { revoke(): void })[] = [];

  constructor(entries: readonly KeyEntry[]) {
    this.replace(entries);
  }

  get keys(): readonly Key[] {
    return this.#keys;
  }

  /**
   * From now on these are valid. One that stays as it is goes on; any other is revoked. A new key
   * under the label of an old one counts on.
   */
  replace(entries: readonly KeyEntry[]): void {
    const before = this.#keys;
    this.#keys = entries.map((entry) => {
      const known = before.find(({ label }) => label === entry.label);
      return known && isSame(known, entry) ? known : keyOf(entry, known?.usage ?? { calls: 0 });
    });
    for (const key of before) if (!this.#keys.includes(key)) key.revoke();
  }

  /**
   * The key that an `Authorization` header names; null when it names none.
   *
   * It takes as long for a wrong key as for a right one: digests of the same length are compared,
   * each whole and all of them.
   */
  find(authorization: string | undefined): Key | null {
    const [, token] = BEARER.exec(authorization ?? "") ?? [];
    if (token === undefined) return null;
    const digest = digestOf(token);
    let found: Key | null = null;
    for (const key of this.#keys) if (timingSafeEqual(key.digest, digest)) found = key;
    return found;
  }
}

/** Whether a key has a scope; `admin` has all of them. */
export function allows({ scopes }: KeyEntry, scope: Scope): boolean {
  return scopes.includes("admin") || scopes.includes(scope);
}

/** A key that nobody guesses: 256 random bits, under a name by which leaked keys are found. */
export function newKey(): string {
  return `proofmill_${randomBytes(32).toString("base64url")}`;
}

export function digestOf(token: string): Buffer {
  return createHash("sha256").update(token).digest();
}

export function isToken(text: string): boolean {
  return TOKEN.test(text);
}

function keyOf(entry: KeyEntry, usage: Key["usage"]): Key & { revoke(): void } {
  const end = new AbortController();
  setMaxListeners(0, end.signal); // every WebSocket and stream of the key listens
  return { ...entry, usage, revoked: end.signal, revoke: () => end.abort() };
}

function isSame(key: KeyEntry, other: KeyEntry): boolean {
  return (
    key.digest.equals(other.digest) &&
    key.label === other.label &&
    key.scopes.join() === other.scopes.join()
  );
}
