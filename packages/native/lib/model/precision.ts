/** The precisions of the inputs of matrix products; sums are float32 in both. */
export const PRECISIONS = ["bfloat16", "float32"] as const;

export type Precision = (typeof PRECISIONS)[number];
