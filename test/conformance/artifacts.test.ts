/** docs/protocol-v2.md §1, steps 3 to 8, against golden numbers. */
import { encodeVector, inputSeedWords, pickSeed, rotationSeeds, seed } from "@proofmill/core";
import { addon } from "@proofmill/native/binding";
import { describe, expect, test } from "vitest";
import { expected, golden, MODELS, maxDifference } from "./golden.ts";

interface Source {
  block_hash: string;
  public_key: string;
  nonce: number;
  k: number;
}

interface Artifacts {
  layer_vectors: { seed_string: string; dim: number; first8: number[]; last8: number[] }[];
  picks: (Source & { dim: number; cuda: number[] })[];
  haar: (Source & { x: number[]; y_f64: number[]; unit_f64: number[]; b64_from_f64: string })[];
}

const { layer_vectors, picks, haar } = golden<Artifacts>("artifact.json");

test("the vectors of layers", () => {
  for (const { seed_string, dim, first8, last8 } of layer_vectors) {
    const vector = addon.target(seed(seed_string), dim);
    expect(maxDifference(vector.subarray(0, 8), first8)).toBeLessThanOrEqual(2e-7);
    expect(maxDifference(vector.subarray(-8), last8)).toBeLessThanOrEqual(2e-7);
    expect(Math.hypot(...vector)).toBeCloseTo(1, 6);
  }
});

describe("the picks", () => {
  test("of artifact.json", () => {
    for (const { nonce, k, dim, cuda, ...source } of picks) {
      expect([...addon.picks(pickSeed(source, nonce, k), dim, k)]).toEqual(cuda);
    }
  });

  test("of the golden models", () => {
    const dims: Record<string, number> = { "qwen2-tiny": 48, "qwen2-tiny-strong": 60 };
    for (const model of MODELS) {
      const { meta, cases } = expected(model);
      for (const { pair, nonce, B } of cases) {
        const source = meta.pairs[pair] ?? { block_hash: "", public_key: "" };
        const order = addon.picks(pickSeed(source, nonce, 12), dims[model] ?? 64, 12);
        expect([...order]).toEqual(B.picked_cuda);
      }
    }
  });
});

// The numbers to rotate are put where the picks find them.
test.each(["artifact", "artifactReference"] as const)("rotations: %s", (operation) => {
  for (const { nonce, k, x, y_f64, unit_f64, b64_from_f64, ...source } of haar) {
    const pick = pickSeed(source, nonce, k);
    const order = addon.picks(pick, 3 * k, k);
    const hidden = new Float32Array(3 * k);
    for (const [i, at] of order.entries()) hidden[at] = x[i] ?? Number.NaN;
    const rotation = Uint32Array.from(rotationSeeds(source, nonce, k));
    const vector = addon[operation](hidden, pick, rotation);
    expect(maxDifference(vector, unit_f64)).toBeLessThanOrEqual(2e-6);
    expect(y_f64).toHaveLength(k);
    expect(encodeVector(vector)).toHaveLength(b64_from_f64.length);
  }
});

test("a hidden state that is not finite has no artifact, wherever it is not", () => {
  const rotation = Uint32Array.of(1, 2, 3);
  for (const value of [Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY]) {
    for (const at of [0, 3, 6]) {
      const hidden = Float32Array.from({ length: 7 }, (_, i) => (i === at ? value : i + 1));
      for (const operation of ["artifact", "artifactReference"] as const) {
        expect([...addon[operation](hidden, 5, rotation)]).toEqual(Array(4).fill(Number.NaN));
      }
    }
  }
});

interface Inputs {
  block_hash: string;
  public_key: string;
  nonce: number;
  dim: number;
  seq_len: number;
  concat_murmur_float32: { first16: number[]; last16: number[]; sum_f64: number; l2_f64: number };
}

test("inputs of the stronger generator", () => {
  const { cases } = golden<{ cases: Inputs[] }>("inputs.json");
  expect(cases.length).toBeGreaterThan(50);
  for (const { nonce, dim, seq_len, concat_murmur_float32: strong, ...source } of cases) {
    const n = dim * seq_len;
    const seeds = Uint32Array.from(inputSeedWords(source, nonce));
    const values = addon.normal(seeds, n);
    expect(maxDifference(values.subarray(0, 16), strong.first16)).toBeLessThanOrEqual(4e-6);
    expect(maxDifference(values.subarray(-16), strong.last16)).toBeLessThanOrEqual(4e-6);
    const sum = values.reduce((total, x) => total + x, 0);
    expect(Math.abs(sum - strong.sum_f64)).toBeLessThanOrEqual(4e-6 * n);
    expect(Math.abs(Math.hypot(...values) / strong.l2_f64 - 1)).toBeLessThanOrEqual(4e-6);
  }
});
