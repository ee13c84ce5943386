/** Seeds of the artifact proof: docs/protocol-v2.md §1, step 1. */
import { type SeedSource, seed } from "../seeds.ts";

/** Seeds of the vectors that the residual stream is reflected by, one for each layer; of the block alone. */
export function layerSeeds(block_hash: string, layers: number): Uint32Array {
  return Uint32Array.from({ length: layers }, (_, i) =>
    seed(`${block_hash}_layer_${i}_householder`),
  );
}

/** Seed of which k numbers of the last hidden state are picked. */
export function pickSeed(source: SeedSource, nonce: number, k: number): number {
  const { block_hash, public_key } = source;
  return seed(`${block_hash}_${public_key}_nonce_${nonce}_pick_${k}`);
}

/** Seeds of the k − 1 vectors that the picked numbers are reflected by, in their order. */
export function rotationSeeds(source: SeedSource, nonce: number, k: number): number[] {
  const { block_hash, public_key } = source;
  return Array.from({ length: k - 1 }, (_, j) =>
    seed(`${block_hash}_${public_key}_nonce_${nonce}_haar_hh_${k}_${j}`),
  );
}
