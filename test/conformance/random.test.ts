/** docs/protocol.md §1, steps 1 to 5 and 7 to 9, against golden numbers. */
import { inputSeed, permutationSeed, seed, targetSeed } from "@proofmill/core";
import { addon } from "@proofmill/native/binding";
import { describe, expect, test } from "vitest";
import { bitsOf, golden, hexOf, maxDifference, sha256 } from "./golden.ts";

interface RngCase {
  seed_string: string;
  seed_uint32: number;
  n: number;
  hash_first16: number[];
  hash_last4: number[];
  hash_u32le_sha256: string;
  uniform_first8_bits: string[];
  uniform_f32le_sha256: string;
  special_positions?: number[];
  special_hashes?: number[];
  special_uniforms_bits?: string[];
  normals: { n: number; index: number[]; f64: number[]; f64_angle32: number[] }[];
}

interface InputsCase {
  block_hash: string;
  public_key: string;
  nonce: number;
  dim: number;
  seq_len: number;
  seed_uint32: number;
  tensors: {
    dtype: string;
    first16: number[];
    last16: number[];
    first16_bits: string[];
    last16_bits: string[];
    sum_f64: number;
  }[];
}

interface PermutationCase {
  nonce: number;
  vocab_size: number;
  seed_uint32: number;
  int32le_sha256: string;
}

interface Permutations {
  block_hash: string;
  public_key: string;
  full: (PermutationCase & { permutation: number[] })[];
  large: (PermutationCase & { first32: number[]; last32: number[] })[];
}

interface TargetCase {
  block_hash: string;
  vocab_size: number;
  seed_uint32: number;
  first16: number[];
  last16: number[];
  first16_f64: number[];
  last16_f64: number[];
}

interface Distances {
  meta: {
    block_hash: string;
    public_key: string;
    permutations: number[][];
    permutations_for_nonces: number[];
    target_f32: number[];
    vocab_size: number;
  };
  cases: { name: string; logits: number[]; nonces: number[]; distance_f64: (number | "NaN")[] }[];
}

describe("rng.json", () => {
  const { cases } = golden<{ cases: RngCase[] }>("rng.json");

  test.each(cases)("$seed_string", (golden) => {
    expect(seed(golden.seed_string)).toBe(golden.seed_uint32);

    const hashes = addon.hash(golden.seed_uint32, golden.n);
    expect(Array.from(hashes.subarray(0, 16))).toEqual(golden.hash_first16);
    expect(Array.from(hashes.subarray(-4))).toEqual(golden.hash_last4);
    expect(sha256(hashes)).toBe(golden.hash_u32le_sha256);

    const uniforms = addon.uniform(golden.seed_uint32, golden.n);
    expect(Array.from(uniforms.subarray(0, 8), hexOf)).toEqual(golden.uniform_first8_bits);
    expect(sha256(uniforms)).toBe(golden.uniform_f32le_sha256);

    const special = golden.special_positions ?? [];
    expect(special.map((i) => hashes[i])).toEqual(golden.special_hashes ?? []);
    expect(special.map((i) => hexOf(uniforms[i] ?? Number.NaN))).toEqual(
      golden.special_uniforms_bits ?? [],
    );

    for (const { n, index, f64, f64_angle32 } of golden.normals) {
      const normals = addon.normal(golden.seed_uint32, n);
      expect(normals).toHaveLength(n);
      const chosen = index.map((i) => normals[i] ?? Number.NaN);
      expect(maxDifference(chosen, f64_angle32)).toBeLessThanOrEqual(1.5e-6);
      expect(maxDifference(chosen, f64)).toBeLessThanOrEqual(4e-6);
    }
  });
});

describe("inputs.json", () => {
  const { cases } = golden<{ cases: InputsCase[] }>("inputs.json");

  test.each(cases)("$block_hash $nonce [$seq_len, $dim]", (golden) => {
    expect(inputSeed(golden, golden.nonce)).toBe(golden.seed_uint32);
    const n = golden.seq_len * golden.dim;
    for (const tensor of golden.tensors) {
      if (tensor.dtype !== "float32" && tensor.dtype !== "bfloat16") continue;
      const inputs = addon.inputs(golden.seed_uint32, n, tensor.dtype);
      expect(inputs).toHaveLength(n);
      const first = inputs.subarray(0, 16);
      const last = inputs.subarray(-16);
      if (tensor.dtype === "float32") {
        expect(maxDifference(first, tensor.first16)).toBeLessThanOrEqual(1.5e-6);
        expect(maxDifference(last, tensor.last16)).toBeLessThanOrEqual(1.5e-6);
        const sum = inputs.reduce((total, value) => total + value, 0);
        expect(Math.abs(sum - tensor.sum_f64)).toBeLessThanOrEqual(4e-6 * n);
      } else {
        expect(bf16Steps(first, tensor.first16_bits)).toBeLessThanOrEqual(1);
        expect(bf16Steps(last, tensor.last16_bits)).toBeLessThanOrEqual(1);
      }
    }
  });

  /** The greatest distance from golden bf16 bits, in steps of bf16. */
  function bf16Steps(values: Float32Array, bits: string[]): number {
    const ordered = (b: number) => (b & 0x8000 ? -(b & 0x7fff) : b);
    const own = bitsOf(values);
    for (const b of own) expect(b & 0xffff).toBe(0); // nothing finer than bf16
    return maxDifference(
      own.map((b) => ordered(b >>> 16)),
      bits.map((hex) => ordered(Number.parseInt(hex, 16))),
    );
  }

  test("bits are the same on every instruction set", () => {
    for (const dtype of ["float32", "bfloat16"] as const) {
      for (const n of [1, 2, 7, 63, 4099]) {
        const [best, ...others] = addon.isas().map((isa) => addon.inputs(n, n, dtype, isa));
        for (const other of others) expect(other).toEqual(best);
      }
    }
    expect(addon.isas()).toContain("baseline");
  });
});

describe("permutations.json", () => {
  const { full, large, ...source } = golden<Permutations>("permutations.json");

  test.each(full)("nonce $nonce, vocabulary $vocab_size, in full", (golden) => {
    expect(permutationSeed(source, golden.nonce)).toBe(golden.seed_uint32);
    const permutation = addon.permutation(golden.seed_uint32, golden.vocab_size);
    expect(Array.from(permutation)).toEqual(golden.permutation);
    expect(sha256(permutation)).toBe(golden.int32le_sha256);
  });

  test.each(large)("nonce $nonce, vocabulary $vocab_size", (golden) => {
    expect(permutationSeed(source, golden.nonce)).toBe(golden.seed_uint32);
    const permutation = addon.permutation(golden.seed_uint32, golden.vocab_size);
    expect(Array.from(permutation.subarray(0, 32))).toEqual(golden.first32);
    expect(Array.from(permutation.subarray(-32))).toEqual(golden.last32);
    expect(sha256(permutation)).toBe(golden.int32le_sha256);
  });
});

describe("target.json", () => {
  const { cases } = golden<{ cases: TargetCase[] }>("target.json");

  test.each(cases)("$block_hash, vocabulary $vocab_size", (golden) => {
    expect(targetSeed(golden.block_hash)).toBe(golden.seed_uint32);
    const target = addon.target(golden.seed_uint32, golden.vocab_size);
    expect(target).toHaveLength(golden.vocab_size);
    expect(maxDifference(target.subarray(0, 16), golden.first16)).toBeLessThanOrEqual(2e-7);
    expect(maxDifference(target.subarray(-16), golden.last16)).toBeLessThanOrEqual(2e-7);
    expect(maxDifference(target.subarray(0, 16), golden.first16_f64)).toBeLessThanOrEqual(2e-7);
    expect(maxDifference(target.subarray(-16), golden.last16_f64)).toBeLessThanOrEqual(2e-7);
  });
});

describe("distances.json", () => {
  const { meta, cases } = golden<Distances>("distances.json");
  const target = targetSeed(meta.block_hash);

  test("permutations and target", () => {
    for (const [i, nonce] of meta.permutations_for_nonces.entries()) {
      const permutation = addon.permutation(permutationSeed(meta, nonce), meta.vocab_size);
      expect(Array.from(permutation)).toEqual(meta.permutations[i]);
    }
    const values = addon.target(target, meta.vocab_size);
    expect(maxDifference(values, meta.target_f32)).toBeLessThanOrEqual(2e-7);
  });

  describe.each(["distance", "distanceReference"] as const)("%s", (path) => {
    test.each(cases)("$name", ({ logits, nonces, distance_f64 }) => {
      for (const [i, nonce] of nonces.entries()) {
        const distance = addon[path](
          Float32Array.from(logits),
          permutationSeed(meta, nonce),
          target,
        );
        const expected = distance_f64[i];
        if (expected === "NaN") expect(distance).toBeNaN();
        else expect(Math.abs(distance - Number(expected))).toBeLessThanOrEqual(1e-6);
      }
    });

    test.each([Number.NaN, Infinity, -Infinity])("of logits with %f is not finite", (odd) => {
      const logits = new Float32Array(meta.vocab_size).fill(1);
      logits[17] = odd;
      expect(addon[path](logits, 1, target)).toBeNaN();
    });
  });

  test.each([1, 2, 3, 31, 1000, 32000])("fast path and definition agree at %i logits", (n) => {
    const logits = addon.normal(n, n);
    const fast = addon.distance(logits, 7, 8);
    expect(Math.abs(fast - addon.distanceReference(logits, 7, 8))).toBeLessThanOrEqual(5e-7);
  });
});
