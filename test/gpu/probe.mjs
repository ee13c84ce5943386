// Run with the bundle's Node from the bundle's folder: bin/node PATH/probe.mjs MODE
//   ops [bfloat16|float32]   every operation against the CPU's, each row printed
//   small [bfloat16|float32]  two golden models, a few jobs (for sanitizers)
//   stress [seconds]         jobs of mixed lengths, kinds and sizes under way at once: the same bits
//   cut                      cancelled jobs leave the right prefix, and the next job is right
//   bench SHAPE SEQ BATCH REPEATS   as `proofmill bench prefill`, of PROBE_LIBRARY
//   lengths                  nonces/s of qwen3-0.6b by seq_len
//   validity [seconds]       how many nonces' validity the CPU and the GPU see differently, 1 in 100
//                            being valid; at most so many seconds of the CPU for each case
//   write DIRECTORY          a model of qwen3-0.6b's shape on disk, random weights
//   load DIRECTORY           how fast a model on disk is loaded; the last load counts

import { existsSync } from "node:fs";
import { resolve } from "node:path";
import { pathToFileURL } from "node:url";

const at = (file) => pathToFileURL(resolve("packages/native/dist", file)).href;
const { addon } = await import(at("binding.js"));
const { loadShape, benchPrefill } = await import(at("bench.js"));
const { resolveDevice } = await import(at("device.js"));
const { loadModel } = await import(at("index.js"));
const [mode, argument] = process.argv.slice(2);
const device = process.env.PROBE_DEVICE ?? "cuda";
const cudaLibrary = process.env.PROBE_LIBRARY;
const choice = { device, ...(cudaLibrary ? { cudaLibrary } : {}) };
const started = performance.now();
const say = (text) =>
  console.log(`${((performance.now() - started) / 1000).toFixed(1)} s  ${text}`);
const BIG = process.env.PROBE_BIG ?? "qwen3-0.6b"; // a smaller one tries this script out
const QWEN3_06B = {
  ...{ architectures: ["Qwen3ForCausalLM"], model_type: "qwen3", torch_dtype: "bfloat16" },
  ...{ hidden_size: 1024, intermediate_size: 3072, num_hidden_layers: 28, head_dim: 128 },
  ...{ num_attention_heads: 16, num_key_value_heads: 8, vocab_size: 151_936 },
  ...{ max_position_embeddings: 40_960, rms_norm_eps: 1e-6, rope_theta: 1e6 },
  ...{ tie_word_embeddings: true, attention_bias: false, hidden_act: "silu" },
};
let bad = 0;

const seedsOf = (n, first = 1) =>
  Uint32Array.from({ length: n }, (_, i) => Math.imul(i + first, 0x9e3779b9) >>> 0);
const bitsOf = ({ values }) => new Uint32Array(values.buffer, values.byteOffset, values.length);
function job(id, seq_len, seeds, kind) {
  const output =
    kind === "distance" ? { kind, permutation_seeds: seeds, target_seed: 7 + (id % 2) } : { kind };
  return { id, seq_len, input_seeds: seeds, output };
}

if (mode === "ops") {
  const { cuda } = resolveDevice(choice);
  const rows = await addon.compareOperations({
    dtype: argument ?? "bfloat16",
    threads: 1,
    ...(cuda ? { cuda } : {}),
  });
  for (const { operation, shape, error, allowed, holds } of rows) {
    if (!holds) bad++;
    console.log(`${holds ? "ok  " : "BAD "} ${operation} ${shape}: ${error} of ${allowed}`);
  }
} else if (mode === "small") {
  for (const dtype of argument ? [argument] : ["bfloat16", "float32"]) {
    for (const name of ["qwen3-tiny", "qwen2-tiny-strong"]) {
      const model = await loadModel({
        directory: `packages/native/lib/selftest/golden/${name}`,
        dtype,
        ...choice,
      });
      for (const kind of ["distance", "logits", "hidden"]) {
        for (const seq_len of [1, 70]) await model.run(job(0, seq_len, seedsOf(3), kind));
      }
      await model.close();
      say(`${name} ${dtype} ran`);
    }
  }
} else if (mode === "stress") {
  const seconds = Number(argument ?? 20);
  for (const [shape, dtype, lengths] of [
    ["qwen3-tiny", "bfloat16", [1, 17, 64, 200, 2100]],
    ["qwen3-tiny", "float32", [5, 64, 130]],
    [BIG, "bfloat16", [64, 256]],
  ]) {
    const { model } = await loadShape({ shape, dtype, ...choice });
    say(`${shape} ${dtype}: ${model.arithmetic} on ${model.device}`);
    const seeds = seedsOf(160);
    const kinds = shape === BIG ? ["distance"] : ["distance", "hidden", "logits"];
    const widths = {};
    const expected = new Map();
    for (const seq_len of lengths)
      for (const kind of kinds)
        for (const parity of kind === "distance" ? [0, 1] : [0]) {
          const bits = bitsOf(await model.run(job(parity, seq_len, seeds, kind)));
          widths[kind] = bits.length / seeds.length;
          expected.set(`${seq_len} ${kind} ${parity}`, bits);
        }
    let id = 10;
    let jobs = 0;
    const until = performance.now() + (1000 * seconds) / 3;
    const random = (n) => Math.floor(Math.random() * n);
    const worker = async () => {
      while (performance.now() < until) {
        const own = id++;
        const seq_len = lengths[random(lengths.length)];
        const kind = kinds[random(kinds.length)];
        const n = 1 + random(random(2) ? 5 : 150);
        const first = random(seeds.length - n + 1);
        const bits = bitsOf(
          await model.run(job(own, seq_len, seeds.slice(first, first + n), kind)),
        );
        const parity = kind === "distance" ? own % 2 : 0;
        const width = widths[kind];
        const right = expected.get(`${seq_len} ${kind} ${parity}`).subarray(first * width);
        jobs++;
        const wrong = bits.findIndex((value, i) => value !== right[i]);
        if (bits.length !== n * width || wrong >= 0) {
          if (bad++ < 10) {
            say(
              `WRONG ${kind} seq_len ${seq_len}, nonce ${Math.floor(wrong / width)} of ${n} at ${first}`,
            );
          }
        }
      }
    };
    await Promise.all(Array.from({ length: 4 }, worker));
    say(`${jobs} jobs at once, ${bad} wrong so far`);
    await model.close();
  }
} else if (mode === "cut") {
  const { model } = await loadShape({ shape: BIG, dtype: "bfloat16", ...choice });
  const seeds = seedsOf(400);
  const right = bitsOf(await model.run(job(0, 64, seeds, "distance")));
  for (let round = 0; round < 6; round++) {
    const jobs = [2, 4, 6, 8].map((each) =>
      model.run(job(each + 10 * round, 64, seeds, "distance")),
    );
    await new Promise((done) => setTimeout(done, 5 + 15 * round));
    const asked = performance.now();
    for (const each of [2, 4, 8]) model.cancel(each + 10 * round);
    const results = await Promise.all(jobs);
    const completed = results.map((one) => one.completed);
    for (const one of results) {
      const bits = bitsOf(one);
      if (bits.length !== one.completed || bits.some((value, i) => value !== right[i])) bad++;
    }
    if (completed[2] !== seeds.length) bad++;
    say(
      `round ${round}: completed ${completed}, all settled ${(performance.now() - asked).toFixed(0)} ms later, ${bad} wrong`,
    );
  }
  await model.close();
} else if (mode === "bench") {
  const [shape, seqLen, batch, repeats] = process.argv.slice(3);
  const numbers = { seqLen: Number(seqLen), batch: Number(batch), repeats: Number(repeats) };
  const result = await benchPrefill({ shape, dtype: "bfloat16", ...numbers, ...choice });
  const stages = Object.entries(result.stages).map(
    ([name, share]) => `${name} ${share.toFixed(1)}`,
  );
  console.log(
    `${shape} seq ${seqLen}: ${result.nonces_per_second.toPrecision(5)} nonces/s, ` +
      `${(result.gflops / 1000).toFixed(1)} of ${(result.peak_gflops / 1000).toFixed(1)} TFLOP/s, ` +
      `${result.percent_of_peak.toFixed(1)} %; ${stages.join(", ")}`,
  );
} else if (mode === "lengths") {
  const { model } = await loadShape({ shape: BIG, dtype: "bfloat16", ...choice });
  for (const seq_len of [16, 32, 64, 128, 256, 512, 1024, 2048]) {
    const n = Math.max(16, Math.ceil(65536 / seq_len));
    const seeds = seedsOf(n);
    for (let i = 0; i < 2; i++) await model.run(job(0, seq_len, seeds, "distance"));
    const from = performance.now();
    await Promise.all(
      [0, 1, 2, 3].map((each) => model.run(job(2 * each, seq_len, seeds, "distance"))),
    );
    const rate = (4 * n) / ((performance.now() - from) / 1000);
    say(
      `seq_len ${seq_len}: ${rate.toFixed(0)} nonces/s, ${(rate * seq_len).toExponential(3)} tokens/s`,
    );
  }
  await model.close();
}
if (mode === "validity") {
  const limit = 1000 * Number(argument ?? 20);
  for (const shape of ["qwen3-tiny-strong", BIG]) {
    for (const dtype of ["bfloat16", "float32"]) {
      await compareValidity({ shape, seq_len: 16, dtype, limit });
    }
  }
} else if (mode === "write") {
  const { writeRandomModel } = await import(at("model/random-model.js"));
  await writeRandomModel({ directory: argument, config: QWEN3_06B, seed: 1 });
  say(`written to ${argument}`);
} else if (mode === "load") {
  for (let i = 0; i < 3; i++) {
    const model = await loadModel({ directory: argument, ...choice, onNotice: say });
    await model.close();
  }
}

/** The same nonces on both devices, as many as the CPU computes in `limit` milliseconds. */
async function compareValidity({ shape, seq_len, dtype, limit }) {
  const directory = `packages/native/lib/selftest/golden/${shape}`;
  const load = async (more) =>
    existsSync(directory)
      ? loadModel({ directory, dtype, ...more })
      : (await loadShape({ shape, dtype, ...more })).model;
  const [cpu, gpu] = [await load({ device: "cpu" }), await load(choice)];
  const ours = [];
  const theirs = [];
  const from = performance.now();
  const each = Number(process.env.PROBE_BATCH ?? 500);
  for (let first = 1; performance.now() - from < limit && first < 50_000; first += each) {
    const seeds = seedsOf(each, first);
    ours.push(...(await cpu.run(job(0, seq_len, seeds, "distance"))).values);
    theirs.push(...(await gpu.run(job(0, seq_len, seeds, "distance"))).values);
  }
  const target = ours.toSorted((a, b) => a - b)[Math.floor(ours.length / 100)];
  const differing = ours.filter((distance, i) => distance < target !== theirs[i] < target).length;
  const errors = ours.map((distance, i) => Math.abs(distance - theirs[i]));
  const rms = Math.sqrt(errors.reduce((sum, error) => sum + error ** 2, 0) / errors.length);
  const most = errors.reduce((a, b) => Math.max(a, b));
  say(
    `${shape} ${dtype}, seq_len ${seq_len}: validity differs for ${differing} of ${ours.length} nonces, ` +
      `${Math.floor(ours.length / 100)} of them valid, below ${target}; distances differ by ` +
      `${rms.toExponential(1)} rms, ${most.toExponential(1)} at most`,
  );
  if (!(most < 6e-3)) bad++;
  await cpu.close();
  await gpu.close();
}

console.log(bad === 0 ? `probe ${mode}: all right` : `probe ${mode}: ${bad} WRONG`);
process.exitCode = bad === 0 ? 0 : 1;
