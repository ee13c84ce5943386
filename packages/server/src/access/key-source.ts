/** The keys of flags and of a file. */
import { readKeyFile } from "./key-file.ts";
import { digestOf, type KeyEntry, Keyring, MAX_KEYS } from "./keys.ts";

interface KeySource {
  /** These may do everything. */
  apiKey: readonly string[];
  apiKeyFile: string | undefined;
}

/**
 * The keys that are valid at first; null where none are wanted.
 *
 * @throws Error with what is wrong, which names no key
 */
export function openKeyring(source: KeySource): Keyring | null {
  const isWanted = source.apiKey.length > 0 || source.apiKeyFile !== undefined;
  return isWanted ? new Keyring(readKeys(source)) : null;
}

/** @throws Error with what is wrong, which names no key */
export function readKeys({ apiKey, apiKeyFile }: KeySource): KeyEntry[] {
  const flags = apiKey.map((key, i): KeyEntry => {
    const label = apiKey.length === 1 ? "api-key" : `api-key-${i + 1}`;
    return { label, digest: digestOf(key), scopes: ["admin"] };
  });
  const all = apiKeyFile === undefined ? flags : [...flags, ...readKeyFile(apiKeyFile)];
  if (all.length > MAX_KEYS) throw new Error(`there are more than ${MAX_KEYS} keys`);
  if (new Set(all.map(({ label }) => label)).size < all.length) {
    throw new Error(`${apiKeyFile}: has the label of a key of --api-key`);
  }
  return all;
}
