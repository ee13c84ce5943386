import { expect, test } from "vitest";
import { benchDecode, weightBytes } from "./bench-decode.ts";
import { shapeConfig } from "./model/shapes.ts";

test("a step's weights are those of the layers and the head, counted by hand", () => {
  const one = { ...shapeConfig("qwen3-tiny"), num_hidden_layers: 1 };
  const [hidden, q, kv, ffn, vocab, head_dim] = [256, 256, 128, 768, 1024, 64];
  const elements = 2 * q * hidden + 2 * kv * hidden + 3 * hidden * ffn + vocab * hidden;
  const norms = 3 * hidden + 2 * head_dim;
  expect(weightBytes(one, "bfloat16")).toBe(2 * elements + 4 * norms);
  expect(weightBytes(one, "float32")).toBe(4 * (elements + norms));
});

test("decoding is measured beside memory, one session and the search", async () => {
  const result = await benchDecode({
    ...{ shape: "qwen3-tiny", dtype: "bfloat16", device: "cpu", threads: 1 },
    ...{ promptLen: 8, tokens: 16, clients: 2, repeats: 1 },
  });
  expect(result.bandwidth).toBeGreaterThan(1e8);
  const { one, weight_bytes, bandwidth, percent_of_memory } = result;
  expect(percent_of_memory).toBeCloseTo((100 * one * weight_bytes) / bandwidth, 6);
  expect(result.times_one).toBeCloseTo(result.all / one, 6);
  expect(result.percent_of_search).toBeCloseTo((100 * result.prefill) / result.search, 6);
});
