import { expect, test } from "vitest";
import { type Llama3Scaling, ropeInvFreq } from "./rope.ts";

const LLAMA3: Llama3Scaling = {
  factor: 8,
  low_freq_factor: 1,
  high_freq_factor: 4,
  original_max_position_embeddings: 8192,
};

test("theta^(−2j / head_dim)", () => {
  expect(ropeInvFreq(2, 10000, null)).toEqual(Float64Array.of(1));
  const frequencies = ropeInvFreq(128, 1e6, null);
  expect(frequencies).toHaveLength(64);
  for (const [j, frequency] of frequencies.entries()) {
    expect(frequency / Math.exp((-2 * j * Math.log(1e6)) / 128)).toBeCloseTo(1, 13);
  }
});

/** As test/golden/README.md puts it, by wavelength. */
test("Llama 3's scaling keeps short waves, stretches long ones and blends between", () => {
  const plain = ropeInvFreq(128, 5e5, null);
  const scaled = ropeInvFreq(128, 5e5, LLAMA3);
  const seen = { kept: 0, blended: 0, stretched: 0 };
  for (const [j, f] of plain.entries()) {
    const wavelength = (2 * Math.PI) / f;
    const s = (8192 / wavelength - 1) / (4 - 1);
    if (wavelength < 8192 / 4) {
      expect(scaled[j]).toBe(f);
      seen.kept++;
    } else if (wavelength > 8192 / 1) {
      expect(scaled[j]).toBe(f / 8);
      seen.stretched++;
    } else {
      expect(Number(scaled[j]) / (((1 - s) * f) / 8 + s * f)).toBeCloseTo(1, 13);
      seen.blended++;
    }
  }
  expect(Math.min(seen.kept, seen.blended, seen.stretched)).toBeGreaterThan(0);
});

test("a scaling of factor 1 changes nothing", () => {
  const scaled = ropeInvFreq(64, 5e5, { ...LLAMA3, factor: 1 });
  for (const [j, f] of ropeInvFreq(64, 5e5, null).entries()) {
    expect(Number(scaled[j]) / f).toBeCloseTo(1, 14);
  }
});
