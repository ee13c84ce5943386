/** Seeds: docs/protocol.md §1, step 1. */
import { hash } from "node:crypto";

/** What the three seeds of a nonce are made from. */
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

/** Seed of a nonce's input embeddings. Mind: no underscore between `nonce` and the number. */
export function inputSeed({ block_hash, public_key }: SeedSource, nonce: number): number {
  return seed(`${block_hash}_${public_key}_nonce${nonce}`);
}

/** Seed of the order in which a nonce's logits meet the target. */
export function permutationSeed({ block_hash, public_key }: SeedSource, nonce: number): number {
  return seed(`${block_hash}_${public_key}_nonce_${nonce}_permutations`);
}

/** Seed of the block's target direction. */
export function targetSeed(block_hash: string): number {
  return seed(`${block_hash}_target`);
}
