/** What a runner has to compute for artifacts. */
import type { PrefillJob, PrefillOutput } from "../../runner/ports.ts";
import { inputSeed, inputSeedWords, type SeedSource } from "../seeds.ts";
import { layerSeeds, pickSeed, rotationSeeds } from "./seeds.ts";

/** What a block and a key decide of a nonce's artifact, and the sizes of the round and the model. */
interface ArtifactSource extends SeedSource {
  readonly k_dim: number;
  readonly num_hidden_layers: number;
}

/** @param nonces at least one */
export function artifactOutput(source: ArtifactSource, nonces: readonly number[]): PrefillOutput {
  const { block_hash, k_dim, num_hidden_layers } = source;
  return {
    kind: "artifact",
    k_dim,
    layer_seeds: layerSeeds(block_hash, num_hidden_layers),
    pick_seeds: Uint32Array.from(nonces, (nonce) => pickSeed(source, nonce, k_dim)),
    rotation_seeds: Uint32Array.from(
      nonces.flatMap((nonce) => rotationSeeds(source, nonce, k_dim)),
    ),
  };
}

/** @param isStronger whether the inputs are drawn by the stronger generator */
export function artifactInputs(
  source: SeedSource,
  nonces: readonly number[],
  isStronger: boolean,
): Pick<PrefillJob, "input_seeds" | "input_streams"> {
  if (!isStronger) {
    return { input_seeds: Uint32Array.from(nonces, (nonce) => inputSeed(source, nonce)) };
  }
  const words = nonces.flatMap((nonce) => inputSeedWords(source, nonce));
  return { input_seeds: Uint32Array.from(words), input_streams: 8 };
}
