import { describe, expect, test } from "vitest";
import { benchPrefill } from "./bench.ts";
import { flopsPerNonce, SHAPES, shapeConfig } from "./model/shapes.ts";

describe("flopsPerNonce", () => {
  test("counts Qwen3-0.6B at 226 GFLOP for 256 tokens and 55 for 64", () => {
    const config = shapeConfig("qwen3-0.6b");
    expect(flopsPerNonce(config, 256) / 1e9).toBeCloseTo(226.1, 0);
    expect(flopsPerNonce(config, 64) / 1e9).toBeCloseTo(55.4, 0);
  });

  test("counts one token of one layer by hand", () => {
    const config = { ...shapeConfig("qwen3-tiny"), num_hidden_layers: 1 };
    const [hidden, q, kv, ffn, vocab] = [256, 256, 128, 768, 1024];
    const products = 2 * q * hidden + 2 * kv * hidden + 3 * hidden * ffn + vocab * hidden;
    expect(flopsPerNonce(config, 1)).toBe(2 * (products + 2 * q));
  });
});

describe("shapeConfig", () => {
  test.each(SHAPES)("%s is a model that can be loaded", (shape) => {
    expect(shapeConfig(shape).num_hidden_layers).toBeGreaterThan(0);
  });

  test("names the shapes there are", () => {
    expect(() => shapeConfig("gpt-9")).toThrow(`gpt-9 is unknown, expected one of ${SHAPES[0]}`);
  });
});

describe("benchPrefill", () => {
  test("measures a search, its stages and the machine's peak", async () => {
    const result = await benchPrefill({
      shape: "qwen3-tiny",
      dtype: "bfloat16",
      seqLen: 16,
      batch: 8,
      threads: 1,
      repeats: 1,
    });
    expect(result.nonces_per_second).toBeGreaterThan(0);
    expect(result.peak_gflops).toBeGreaterThan(1);
    expect(result.percent_of_peak).toBeCloseTo((100 * result.gflops) / result.peak_gflops, 3);
    const { reflect, ...shares } = result.stages;
    expect(reflect).toBe(0);
    expect(Object.values(shares).every((share) => share > 0)).toBe(true);
    expect(Object.values(shares).reduce((sum, share) => sum + share, 0)).toBeCloseTo(100, 6);
    expect(result).not.toHaveProperty("of_distances");
  });

  test("measures artifacts beside distances, and tells that there is no GPU", async () => {
    const notices: string[] = [];
    const result = await benchPrefill({
      shape: "qwen3-tiny",
      dtype: "bfloat16",
      seqLen: 16,
      batch: 8,
      threads: 1,
      repeats: 1,
      output: "artifact",
      cudaLibrary: "/nowhere.so",
      onNotice: (text) => notices.push(text),
    });
    expect(notices).toEqual([expect.stringMatching(/^no GPU is used: \/nowhere\.so is not there/)]);
    expect(result.of_distances).toBeGreaterThan(0.1);
    expect(Object.values(result.stages).every((share) => share > 0)).toBe(true);
  });

  test("refuses a length past the shape's context, with both numbers", async () => {
    const options = { shape: "qwen3-tiny", dtype: "float32", batch: 1, repeats: 1 } as const;
    await expect(benchPrefill({ ...options, seqLen: 4097 })).rejects.toThrow(
      "seq_len 4097 is more than the context of qwen3-tiny, 4096",
    );
  });
});
