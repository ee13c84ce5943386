/** Rotary position embedding: the frequencies, in double precision. */

/** `rope_scaling` of Llama 3. */
export interface Llama3Scaling {
  factor: number;
  low_freq_factor: number;
  high_freq_factor: number;
  /** The context the model was first trained with. */
  original_max_position_embeddings: number;
}

/**
 * Radians per position of each pair of dimensions: theta^(−2j / head_dim), and with Llama 3's
 * scaling long wavelengths stretched by `factor`, short ones kept, those between interpolated.
 *
 * @returns [headDim / 2]
 */
export function ropeInvFreq(
  headDim: number,
  theta: number,
  scaling: Llama3Scaling | null,
): Float64Array {
  return Float64Array.from({ length: headDim / 2 }, (_, j) => {
    const frequency = theta ** ((-2 * j) / headDim);
    return scaling ? scaled(frequency, scaling) : frequency;
  });
}

function scaled(frequency: number, scaling: Llama3Scaling): number {
  const { factor, low_freq_factor: low, high_freq_factor: high } = scaling;
  const turns = (scaling.original_max_position_embeddings * frequency) / (2 * Math.PI);
  if (turns > high) return frequency;
  if (turns < low) return frequency / factor;
  const share = (turns - low) / (high - low);
  return ((1 - share) * frequency) / factor + share * frequency;
}
