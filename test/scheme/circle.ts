/**
 * A make-believe proof: a nonce yields a point of the plane, two floats, and is valid inside a circle.
 * It imports nothing but types, so that the store's thread can be given it.
 */
import type { ProofScheme, RoundConfig, Schemes } from "@proofmill/core";

export interface CircleConfig extends RoundConfig {
  readonly radius: number;
}

interface CircleClaim {
  readonly nonces: readonly number[];
  /** One for each nonce, as they are kept. */
  readonly points: readonly string[];
}

/** A find's record is its point, as `x y`. */
export const circle: ProofScheme<CircleConfig> = {
  name: "circle",

  canRead({ config, records }) {
    const { radius } = (config ?? {}) as Partial<CircleConfig>;
    return typeof radius === "number" && records.every((record) => typeof record === "string");
  },

  walk: ({ node_id, node_count }) => ({ first: 100 + node_id, step: 2 * node_count }),

  width: () => 2,

  job: (config, nonces) => ({
    seq_len: config.seq_len,
    input_seeds: Uint32Array.from(nonces, (nonce) => config.block_hash.length * 1000 + nonce),
    output: { kind: "hidden" },
  }),

  read({ radius }, [x = Number.NaN, y = Number.NaN]) {
    const length = Math.hypot(x, y);
    if (!Number.isFinite(length)) return { kind: "nonfinite" };
    return length < radius ? { kind: "valid", record: `${x} ${y}` } : { kind: "invalid" };
  },

  maxRefusals: null,
  generated: ({ round_id }, { nonces, records, arithmetic }) => ({
    circle: round_id,
    points: nonces.map((nonce, i) => ({ nonce, point: records[i] })),
    arithmetic,
  }),
};

/** The verdict on a claim: which of its points are too far from those that were computed again. */
export function judgePoints(
  { nonces, points }: CircleClaim,
  { values, arithmetic }: { values: Float32Array; arithmetic: string },
): object {
  const far = nonces.filter((_, i) => {
    const [x = Number.NaN, y = Number.NaN] = (points[i] ?? "").split(" ").map(Number);
    const [ownX = Number.NaN, ownY = Number.NaN] = values.subarray(2 * i, 2 * i + 2);
    return Math.hypot(x - ownX, y - ownY) > 0.01;
  });
  return { far, of: nonces.length, arithmetic };
}

export const SCHEMES: Schemes = new Map([[circle.name, circle]]);
