import { createHash } from "node:crypto";
import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { readConfig } from "./config.ts";
import { writeRandomModel } from "./random-model.ts";
import { readTensors, type TensorEntry } from "./safetensors.ts";
import { locateWeights } from "./weights.ts";

const CONFIG = {
  architectures: ["Qwen2ForCausalLM"],
  hidden_size: 64,
  intermediate_size: 160,
  num_hidden_layers: 2,
  num_attention_heads: 4,
  num_key_value_heads: 2,
  // More than a chunk of a megabyte, and no multiple of it.
  vocab_size: 9000,
  max_position_embeddings: 2048,
  rms_norm_eps: 1e-6,
  tie_word_embeddings: false,
  something_else: "is kept",
};

let directory: string;
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "proofmill-"));
});
afterEach(() => rm(directory, { recursive: true, force: true }));

test("the same bytes on every machine", async () => {
  await writeRandomModel({ directory, config: CONFIG, seed: 7 });
  expect((await readdir(directory)).sort()).toEqual(["config.json", "model.safetensors"]);
  expect(
    createHash("sha256")
      .update(await readFile(join(directory, "model.safetensors")))
      .digest("hex"),
  ).toBe("ae104158fff5e6062698ab42bddabf62e2407e063544c75d0d8e252a7a0cec9e");
});

test("a model of its config, in a folder that is made", async () => {
  const made = join(directory, "not", "there", "yet");
  await writeRandomModel({ directory: made, config: CONFIG, seed: 7 });
  expect(JSON.parse(await readFile(join(made, "config.json"), "utf8"))).toEqual(CONFIG);
  const found = await readTensors(made);
  const located = locateWeights(await readConfig(made), found);
  for (const { dtype } of found.tensors.values()) expect(dtype).toBe("BF16");
  // The table is not needed here, but every such model has one.
  expect(new Set(found.tensors.keys())).toEqual(
    new Set([...Object.keys(located), "model.embed_tokens.weight"]),
  );
});

test("norms are 1, all else looks normal with a deviation of 0.02", async () => {
  await writeRandomModel({ directory, config: CONFIG, seed: 7 });
  for (const [name, tensor] of (await readTensors(directory)).tensors) {
    const values = await valuesOf(tensor);
    if (name.endsWith("norm.weight")) {
      expect(new Set(values)).toEqual(new Set([1]));
      continue;
    }
    const n = values.length;
    const mean = values.reduce((sum, x) => sum + x, 0) / n;
    const deviation = Math.sqrt(values.reduce((sum, x) => sum + (x - mean) ** 2, 0) / n);
    expect(Math.abs(mean) / 0.02).toBeLessThan(5 / Math.sqrt(n));
    expect(Math.abs(deviation / 0.02 - 1)).toBeLessThan(5 / Math.sqrt(2 * n));
    if (n > 10000) {
      const within = values.filter((x) => Math.abs(x) < 0.02).length / n;
      expect(Math.abs(within - 0.669)).toBeLessThan(0.02); // of a sum of four uniforms
    }
  }
});

test("another seed and another tensor hold other numbers", async () => {
  const rows = new Set<string>();
  for (const seed of [0, 1, 2 ** 31, 2 ** 32 - 1]) {
    await writeRandomModel({ directory, config: CONFIG, seed });
    const { tensors } = await readTensors(directory);
    for (const name of ["q", "k", "v"]) {
      const tensor = tensors.get(`model.layers.0.self_attn.${name}_proj.weight`);
      rows.add((tensor ? await valuesOf(tensor) : []).slice(0, 16).join());
    }
  }
  expect(rows.size).toBe(12);
});

test("shards hold the same tensors as one file", async () => {
  await writeRandomModel({ directory, config: CONFIG, seed: 7 });
  const single = await contentOf(directory);
  const sharded = join(directory, "sharded");
  await writeRandomModel({ directory: sharded, config: CONFIG, seed: 7, maxShardBytes: 20000 });
  const files = (await readdir(sharded)).filter((name) => name.endsWith(".safetensors"));
  expect(files.length).toBeGreaterThan(2);
  expect(files).toContain(`model-00001-of-${String(files.length).padStart(5, "0")}.safetensors`);
  expect(await contentOf(sharded)).toEqual(single);
});

test("refuses what could not be loaded, and writes nothing", async () => {
  const config = { ...CONFIG, num_key_value_heads: 3 };
  await expect(writeRandomModel({ directory, config, seed: 7 })).rejects.toThrow(
    "num_key_value_heads is 3",
  );
  for (const seed of [-1, 0.5, 2 ** 32, Number.NaN]) {
    await expect(writeRandomModel({ directory, config: CONFIG, seed })).rejects.toThrow(
      `seed must be a uint32, not ${seed}`,
    );
  }
  expect(await readdir(directory)).toEqual([]);
});

/** Digests by tensor name. */
async function contentOf(directory: string): Promise<Record<string, string>> {
  const content: Record<string, string> = {};
  for (const [name, tensor] of (await readTensors(directory)).tensors) {
    content[name] = createHash("sha256")
      .update(await bytesOf(tensor))
      .digest("hex");
  }
  return content;
}

async function bytesOf({ file, offset, bytes }: TensorEntry): Promise<Buffer> {
  const content = (await readFile(file)).subarray(offset, offset + bytes);
  expect(content).toHaveLength(bytes);
  return content;
}

async function valuesOf(tensor: TensorEntry): Promise<number[]> {
  const bytes = await bytesOf(tensor);
  const widened = new DataView(new ArrayBuffer(4));
  return Array.from({ length: bytes.length / 2 }, (_, i) => {
    widened.setUint16(0, bytes.readUInt16LE(2 * i));
    return widened.getFloat32(0);
  });
}
