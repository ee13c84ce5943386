/**
 * The file of `--api-key-file`: a key on each line, as its label, its scopes and its SHA-256.
 *
 *     # label     scopes          key
 *     ops         admin           sha256:9f86d081…
 *     dashboard   read,inference  sha256:60303ae2…
 */
import { SCOPES, type Scope } from "@proofmill/core";
import { readSmallFile } from "../platform/small-file.ts";
import { type KeyEntry, MAX_KEYS } from "./keys.ts";

const LABEL = /^[A-Za-z0-9._-]{1,64}$/;
const DIGEST = /^sha256:([0-9a-f]{64})$/i;

/** @throws Error with the file, the line and what was expected; what the line says is in none */
export function readKeyFile(file: string): KeyEntry[] {
  const entries: KeyEntry[] = [];
  for (const [i, line] of readSmallFile(file).toString().split("\n").entries()) {
    const text = line.trim();
    if (text === "" || text.startsWith("#")) continue;
    try {
      entries.push(readLine(text, entries));
    } catch (error) {
      throw new Error(`${file}, line ${i + 1}: ${(error as Error).message}`);
    }
  }
  if (entries.length === 0) throw new Error(`${file}: holds no key, expected one on each line`);
  if (entries.length > MAX_KEYS) throw new Error(`${file}: holds more than ${MAX_KEYS} keys`);
  return entries;
}

/** A key's line. */
export function lineOf({ label, scopes, digest }: KeyEntry): string {
  return `${label} ${scopes.join(",")} sha256:${digest.toString("hex")}`;
}

export function isLabel(text: string): boolean {
  return LABEL.test(text);
}

/** `read,inference` as a list; null unless every one is a scope. */
export function readScopes(text: string): Scope[] | null {
  const scopes = text.split(",").map((scope) => scope.trim());
  return scopes.every(isScope) ? [...new Set(scopes)] : null;
}

function readLine(text: string, before: readonly KeyEntry[]): KeyEntry {
  const [label = "", named = "", key = "", ...more] = text.split(/\s+/);
  if (key === "" || more.length > 0) {
    throw new Error(
      "expected a label, scopes and sha256:…, as `proofmill key new` writes them after the word line",
    );
  }
  const scopes = readScopes(named);
  const [, hex] = DIGEST.exec(key) ?? [];
  if (!isLabel(label))
    throw new Error("expected a label of 1 to 64 letters, digits, dots, _ and -");
  if (!scopes) throw new Error(`expected scopes from ${SCOPES.join(", ")}, with commas between`);
  if (hex === undefined) {
    throw new Error(
      "expected sha256: and 64 hexadecimal digits, as `proofmill key new` writes them",
    );
  }
  const entry = { label, scopes, digest: Buffer.from(hex, "hex") };
  if (before.some((other) => other.label === label))
    throw new Error(`the label ${label} is there twice`);
  if (before.some(({ digest }) => digest.equals(entry.digest))) {
    throw new Error("the key is there twice");
  }
  return entry;
}

function isScope(text: string): text is Scope {
  return (SCOPES as readonly string[]).includes(text);
}
