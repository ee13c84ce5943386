/** Artifacts in float64 against those of the reference implementation. */
import { encodeVector } from "@proofmill/core";
import { expect, test } from "vitest";
import { Float64Artifacts } from "./float64-artifact.ts";
import { goldenCases, goldenDirectory, goldenModels } from "./selftest/golden.ts";

/**
 * Golden's inputs are drawn with float32's own ln, sin and cos: one that is half way between two numbers
 * of bfloat16 may be rounded to the other.
 */
const ALLOWED = { float32: 2e-6, bfloat16: 5e-3 };

test.each(goldenModels())("%s", async (model) => {
  const artifacts = await Float64Artifacts.load(goldenDirectory(model));
  for (const dtype of ["float32", "bfloat16"] as const) {
    let equal = 0;
    const cases = goldenCases(model, dtype).filter(({ seq_len }) => seq_len <= 64);
    for (const { source, nonce, seq_len, label, B } of cases) {
      const vector = artifacts.of({ ...source, nonce, seq_len, k_dim: 12, dtype });
      const errors = vector.map((x, i) => Math.abs(x - (B.vector.cuda[i] ?? Number.NaN)));
      expect(Math.hypot(...errors), label).toBeLessThan(ALLOWED[dtype]);
      if (Math.max(...errors) >= B.fp16_margin_abs.cuda) continue;
      expect(encodeVector(Float32Array.from(vector)), label).toBe(B.b64.cuda);
      equal++;
    }
    expect(equal, "texts that nothing is near enough to change").toBeGreaterThan(cases.length / 2);
  }
});
