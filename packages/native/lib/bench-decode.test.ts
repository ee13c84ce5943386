import { skipped } from "@proofmill/core/testing";
import { expect, test } from "vitest";
import { benchDecode, weightBytes } from "./bench-decode.ts";
import { availableMemory } from "./model/available-memory.ts";
import { memoryNeeds } from "./model/memory.ts";
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

const OPTIONS = { dtype: "bfloat16", device: "cpu", threads: 1, repeats: 1 } as const;

test("sequences past the shape's context are refused, with the numbers", async () => {
  const past = { ...OPTIONS, shape: "qwen3-tiny", promptLen: 4090, tokens: 16, clients: 1 };
  await expect(benchDecode(past)).rejects.toThrow(
    "a prompt of 4090 tokens and 16 more are 4106, the context of qwen3-tiny is 4096",
  );
});

const huge = memoryNeeds(shapeConfig("qwen3-8b"), "float32").total;
test.skipIf(skipped(availableMemory() > huge ? "it would fit into this memory" : null))(
  "a shape whose weights do not fit is refused before they are made",
  async () => {
    const options = { ...OPTIONS, shape: "qwen3-8b", promptLen: 1, tokens: 16, clients: 1 };
    await expect(benchDecode({ ...options, dtype: "float32" })).rejects.toThrow(
      /^qwen3-8b: needs \d+\.\d GiB of memory \(\d+\.\d GiB of weights in float32\), /,
    );
  },
);
