/** Seeds that every proof has: docs/protocol.md §1, step 1. */
import { hash } from "node:crypto";

/** What the seeds of a nonce are made from, as they were sent, byte for byte. */
export interface SeedSource {
  block_hash: string;
  public_key: string;
}

/** The first 4 bytes of SHA-256 of the UTF-8 string, read as a big-endian uint32. */
export function seed(text: string): number {
  // Some ten thousand a second: as text in one call this takes a fifth of a Hash object's time, and
  // leaves the collector nothing.
  return Number.parseInt(hash("sha256", text, "hex").slice(0, 8), 16);
}

/** All 8 words of the digest: what a stream is drawn from in as many segments. */
function seedWords(text: string): number[] {
  const digest = hash("sha256", text, "hex");
  return Array.from({ length: 8 }, (_, i) => Number.parseInt(digest.slice(8 * i, 8 * (i + 1)), 16));
}

/** Seed of a nonce's input embeddings. */
export function inputSeed(source: SeedSource, nonce: number): number {
  return seed(inputText(source, nonce));
}

/** The 8 seeds of a nonce's input embeddings where the round asks for the stronger generator. */
export function inputSeedWords(source: SeedSource, nonce: number): number[] {
  return seedWords(inputText(source, nonce));
}

/** Mind: no underscore between `nonce` and the number. */
function inputText({ block_hash, public_key }: SeedSource, nonce: number): string {
  return `${block_hash}_${public_key}_nonce${nonce}`;
}
