import { describe, expect, it } from "vitest";
import { golden } from "../../test-support.ts";
import { binomialTail } from "../beta.ts";
import { inputSeedWords, seed } from "../seeds.ts";
import { layerSeeds, pickSeed, rotationSeeds } from "./seeds.ts";
import { decodeVector, encodeVector } from "./vector.ts";
import { ArtifactJudge, type Claimed, isAborted, isMismatch } from "./verdict.ts";

/** A number, or the name of one that JSON has none of. */
type Value = number | "NaN" | "Infinity" | "-Infinity";

interface Source {
  block_hash: string;
  public_key: string;
  nonce: number;
  k: number;
}

interface Artifacts {
  layer_vectors: { seed_string: string; seed_uint32: number }[];
  picks: (Source & { seed_uint32: number })[];
  haar: (Source & { seed_strings_first_last: string[] })[];
  encode: { name: string; f32: number[]; b64: string; decoded: Value[] }[];
  decode: { name: string; b64: string; decoded?: number[]; error?: string }[];
  mismatch: {
    name: string;
    computed_f32: Value[];
    received_b64: string;
    dist_threshold: number;
    is_mismatch: boolean;
  }[];
  validation: {
    k_dim: number;
    computed: { nonce: number; vector_b64: string }[];
    received: { nonce: number; vector_b64: string }[];
    result: object;
  };
}

const { layer_vectors, picks, haar, encode, decode, mismatch, validation } =
  golden<Artifacts>("artifact.json");

describe("seeds", () => {
  it("of layers are those of artifact.json", () => {
    expect(layer_vectors.length).toBeGreaterThan(10);
    for (const { seed_string, seed_uint32 } of layer_vectors) {
      const [, block_hash = "", layer] = /^(.*)_layer_(\d+)_householder$/.exec(seed_string) ?? [];
      expect(layerSeeds(block_hash, Number(layer) + 1).at(-1)).toBe(seed_uint32);
    }
  });

  it("of picks and rotations are those of artifact.json", () => {
    expect(picks.length).toBeGreaterThan(50);
    for (const { nonce, k, seed_uint32, ...source } of picks) {
      expect(pickSeed(source, nonce, k)).toBe(seed_uint32);
    }
    for (const { nonce, k, seed_strings_first_last, ...source } of haar) {
      const seeds = rotationSeeds(source, nonce, k);
      expect(seeds).toHaveLength(k - 1);
      const ends = k > 2 ? [seeds[0], seeds.at(-1)] : seeds;
      expect(ends).toEqual(seed_strings_first_last.map(seed));
    }
  });

  it("of the stronger generator begin with the plain one", () => {
    const words = inputSeedWords({ block_hash: "b", public_key: "p" }, 7);
    expect(words).toHaveLength(8);
    expect(new Set(words).size).toBe(8);
    expect(words[0]).toBe(seed("b_p_nonce7"));
  });
});

describe("a vector as text", () => {
  it.each(encode)("$name", ({ f32, b64, decoded }) => {
    expect(encodeVector(Float32Array.from(f32))).toBe(b64);
    const numbers = decoded.map(Number);
    expect(decodeVector(b64, f32.length)).toEqual(
      numbers.every(Number.isFinite) ? Float32Array.from(numbers) : null,
    );
  });

  it.each(decode)("$name is read as the reference does, or is none", ({ b64, decoded }) => {
    const k = decoded?.length ?? 2;
    expect(decodeVector(b64, k)).toEqual(decoded ? Float32Array.from(decoded) : null);
  });

  it("keeps every finite half, and rounds what lies between two of them to the nearer, even one", () => {
    const halves: number[] = [];
    for (let half = 0; half < 0x7c00; half++) {
      const bytes = Buffer.alloc(2);
      bytes.writeUInt16LE(half);
      const text = bytes.toString("base64");
      const [value = Number.NaN] = decodeVector(text, 1) ?? [];
      halves.push(value);
      expect(encodeVector(Float32Array.of(value))).toBe(text);
    }
    halves.forEach((low, i) => {
      const high = halves[i + 1];
      if (high === undefined) return;
      const middle = (low + high) / 2; // a float32
      const even = i % 2 === 0 ? low : high;
      const rounded = (value: number) => decodeVector(encodeVector(Float32Array.of(value)), 1)?.[0];
      expect(rounded(middle)).toBe(even);
      expect(rounded(middle + middle * 2e-7)).toBe(high);
      expect(rounded(middle - middle * 2e-7)).toBe(low);
    });
  });
});

describe("verdict", () => {
  function judgeArtifacts(
    { nonces, ...claimed }: Claimed & { nonces: readonly number[] },
    values: Float32Array,
  ) {
    const judge = new ArtifactJudge(claimed);
    judge.take(nonces, values);
    return judge.judgement();
  }

  it.each(mismatch)("$name", ({ computed_f32, received_b64, dist_threshold, is_mismatch }) => {
    const own = Float32Array.from(computed_f32.map(Number));
    expect(isMismatch(own, received_b64, dist_threshold)).toBe(is_mismatch);
  });

  it("is that of a whole validation", () => {
    const { k_dim, computed, received, result } = validation;
    const values = computed.flatMap(({ vector_b64 }) => [
      ...(decodeVector(vector_b64, k_dim) ?? []),
    ]);
    const sent = new Map(received.map(({ nonce, vector_b64 }) => [nonce, vector_b64]));
    const judged = judgeArtifacts(
      {
        nonces: computed.map(({ nonce }) => nonce),
        received: computed.map(({ nonce }) => sent.get(nonce) ?? ""),
        test: { dist_threshold: 0.02, p_mismatch: 0.001, fraud_threshold: 0.01 },
      },
      Float32Array.from(values),
    );
    const { p_value, ...rest } = result as { p_value: number };
    expect(judged).toMatchObject({ ...rest, excluded_nonces: [] });
    expect(judged.p_value / p_value).toBeCloseTo(1, 9);
  });

  it("is fraud as in every row of fraud.json", () => {
    const { fraud_test_B: rows } = golden<{
      fraud_test_B: {
        n_mismatch: number;
        n_total: number;
        p_mismatch: number;
        fraud_threshold: number;
        p_value: number;
        fraud_detected: boolean;
      }[];
    }>("fraud.json");
    expect(rows.length).toBeGreaterThan(10);
    // The judgement never counts more mismatches than nonces.
    for (const row of rows.filter(({ n_mismatch, n_total }) => n_mismatch <= n_total)) {
      const p_value = binomialTail(row.n_mismatch, row.n_total, row.p_mismatch);
      expect(p_value).toBeCloseTo(row.p_value, 12);
      expect(p_value < row.fraud_threshold).toBe(row.fraud_detected);
    }
  });

  it("accuses nobody of what the node itself could not compute, and is none where that is much", () => {
    const test = { dist_threshold: 0.02, p_mismatch: 0.001, fraud_threshold: 0.01 };
    const nonces = Array.from({ length: 20 }, (_, i) => i);
    const received = nonces.map(() => "ADwAAA==");
    const values = Float32Array.from(nonces.flatMap(() => [1, 0]));
    const judge = () => judgeArtifacts({ nonces, received, test }, values);
    values[1] = Number.NaN;
    values[2] = Number.POSITIVE_INFINITY;
    expect(judge()).toMatchObject({ n_total: 18, n_mismatch: 0, excluded_nonces: [0, 1] });
    expect(isAborted(judge())).toBe(false);
    values[5] = Number.NaN;
    expect(isAborted(judge())).toBe(true);
  });

  it("of no nonces is no fraud", () => {
    const test = { dist_threshold: 0.02, p_mismatch: 0.001, fraud_threshold: 0.01 };
    const judged = judgeArtifacts({ nonces: [], received: [], test }, new Float32Array());
    expect(judged).toMatchObject({ n_total: 0, p_value: 1, fraud_detected: false });
  });
});
