/** Seeds of the distance proof alone: docs/protocol.md §1, step 1. */
import { type SeedSource, seed } from "../seeds.ts";

/** Seed of the order in which a nonce's logits meet the target. */
export function permutationSeed({ block_hash, public_key }: SeedSource, nonce: number): number {
  return seed(`${block_hash}_${public_key}_nonce_${nonce}_permutations`);
}

/** Seed of the block's target direction. */
export function targetSeed(block_hash: string): number {
  return seed(`${block_hash}_target`);
}
