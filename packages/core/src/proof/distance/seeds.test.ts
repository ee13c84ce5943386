import { describe, expect, it } from "vitest";
import { golden } from "../../test-support.ts";
import { inputSeed, seed } from "../seeds.ts";
import { permutationSeed, targetSeed } from "./seeds.ts";

interface Seeded {
  block_hash: string;
  public_key: string;
  nonce: number;
  seed_string: string;
  seed_uint32: number;
}

describe("seeds", () => {
  it("are those of rng.json", () => {
    const { cases } = golden<{ cases: Seeded[] }>("rng.json");
    expect(cases.length).toBeGreaterThan(20);
    for (const { seed_string, seed_uint32 } of cases) expect(seed(seed_string)).toBe(seed_uint32);
  });

  it("of inputs are those of inputs.json", () => {
    const { cases } = golden<{ cases: Seeded[] }>("inputs.json");
    expect(cases.length).toBeGreaterThan(50);
    for (const source of cases) {
      expect(inputSeed(source, source.nonce)).toBe(source.seed_uint32);
    }
  });

  it("of permutations are those of permutations.json", () => {
    const { full, large, ...source } = golden<{
      block_hash: string;
      public_key: string;
      full: Seeded[];
      large: Seeded[];
    }>("permutations.json");
    for (const { nonce, seed_uint32 } of [...full, ...large]) {
      expect(permutationSeed(source, nonce)).toBe(seed_uint32);
    }
  });

  it("of targets are those of target.json", () => {
    const { cases } = golden<{ cases: Seeded[] }>("target.json");
    for (const { block_hash, seed_uint32 } of cases) {
      expect(targetSeed(block_hash)).toBe(seed_uint32);
    }
  });
});
