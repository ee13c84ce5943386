// Loads one drawn model after another, in a process of its own: whatever kills it kills nothing else.
// Told `{ seed, from, to }` it says `{ begins: i }` and `{ ended: i, outcome }` for each.
import { cpSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { loadModel } from "@proofmill/native";
import fc from "fast-check";
import { changeBytes, changeJson, changes } from "./files.mjs";

const golden = (name) =>
  fileURLToPath(new URL(`../../packages/native/lib/selftest/golden/${name}`, import.meta.url));
/** Sharded ones have an index. */
const MODELS = ["llama-tiny", "qwen3-tiny"];
const DRAWN_AT_ONCE = 100;

const folder = process.argv[2];
// No header has so many bytes: who reads it complains of that.
writeFileSync(join(folder, "outside.safetensors"), Buffer.alloc(64, 255));

/** The files of a model by what the changes call them. */
const FILES = {
  "llama-tiny": {
    config: "config.json",
    index: "model.safetensors.index.json",
    weights: "model-00001-of-00002.safetensors",
  },
  "qwen3-tiny": { config: "config.json", index: "config.json", weights: "model.safetensors" },
};

function make(name, drawn) {
  const directory = join(folder, name);
  mkdirSync(directory, { recursive: true });
  cpSync(golden(name), directory, { recursive: true, force: true });
  for (const { file, how } of drawn) {
    const path = join(directory, FILES[name][file === "header" ? "weights" : file]);
    const bytes = readFileSync(path);
    const isJson = ["set", "remove", "add"].includes(how.kind);
    if (!isJson) writeFileSync(path, changeBytes(bytes, how));
    else if (file === "header") writeFileSync(path, withHeader(bytes, how));
    else writeFileSync(path, changeJson(bytes.toString(), how));
  }
  return directory;
}

/** A safetensors file whose header is changed, and its length with it. */
function withHeader(bytes, how) {
  if (bytes.length < 8) return bytes;
  const length = Number(bytes.readBigUInt64LE(0));
  if (length > bytes.length - 8) return bytes;
  const header = Buffer.from(changeJson(bytes.subarray(8, 8 + length).toString(), how));
  const size = Buffer.alloc(8);
  size.writeBigUInt64LE(BigInt(header.length));
  return Buffer.concat([size, header, bytes.subarray(8 + length)]);
}

async function load(directory) {
  const runner = await loadModel({ directory, device: "cpu", threads: 1 });
  try {
    const job = { id: 0, seq_len: 2, input_seeds: Uint32Array.of(1), output: { kind: "hidden" } };
    await runner.run(job);
  } finally {
    await runner.close();
  }
}

process.on("message", async ({ seed, from, to }) => {
  for (let i = from; i < to; i++) {
    // Drawn by hundreds, always from the same place, so that a number names a model.
    const block = Math.floor(i / DRAWN_AT_ONCE);
    if (i === from || i % DRAWN_AT_ONCE === 0) {
      drawn = fc.sample(changes, { seed: seed + block, numRuns: DRAWN_AT_ONCE });
    }
    const name = MODELS[i % MODELS.length];
    const directory = make(name, drawn[i % DRAWN_AT_ONCE]);
    const say = (more) =>
      process.send({ change: JSON.stringify(drawn[i % DRAWN_AT_ONCE], bigints), ...more });
    say({ begins: i });
    const begin = performance.now();
    let outcome = "loaded";
    try {
      await load(directory);
    } catch (error) {
      outcome = `${error.name}: ${error.message}`;
    }
    say({
      ...{ ended: i, outcome, milliseconds: performance.now() - begin },
      resident_bytes: process.memoryUsage.rss(),
    });
  }
  process.send({ done: true });
});
let drawn = [];
const bigints = (_, each) => (typeof each === "bigint" ? `${each}` : each);
process.on("disconnect", () => process.exit(0));
process.send({ ready: process.memoryUsage.rss() });
