// Run with the bundle's Node from the bundle's folder: bin/node PATH/probe.mjs MODE
//   ops [bfloat16|float32]   every operation against the CPU's, each row printed
//   small [bfloat16|float32]  two golden models, a few jobs (for sanitizers)
//   stress [seconds]         jobs of mixed lengths, kinds and sizes under way at once: the same bits
//   cut                      cancelled jobs leave the right prefix, and the next job is right
//   chat [seconds [questions [tokens]]]  token sessions at once, some cancelled, beside search jobs:
//                            each has the bits that it has alone
//   digest [nonces [seq_len,…]]  one hash over distances, artifacts and answers, to compare two cards
//   steady SHAPE SEQ SECONDS  nonces/s each second of a search alone, clocks, power, joules a nonce
//   bench SHAPE SEQ BATCH REPEATS   as `proofmill bench prefill`, of PROBE_LIBRARY
//   lengths                  nonces/s of qwen3-0.6b by seq_len
//   validity [seconds [bfloat16|float32]]  how many nonces' validity the CPU and the GPU see
//                            differently, 1 in 100 being valid; so many seconds of the CPU each
//   write DIRECTORY          a model of qwen3-0.6b's shape on disk, random weights, that can be chatted with
//   load DIRECTORY           how fast a model on disk is loaded; the last load counts
//
// PROBE_DEVICE=cpu tries a mode out without a GPU; PROBE_SMALL and PROBE_BIG name smaller models, a
// shape or golden/NAME; PROBE_LIBRARY is the CUDA library.
import { chat } from "./probe/chat.mjs";
import * as common from "./probe/common.mjs";
import { digest } from "./probe/digest.mjs";
import { steady } from "./probe/steady.mjs";

const { BIG, bitsOf, choice, job, open, QuietSearch, SMALL, say, seedsOf, wrong } = common;
const { addon } = await common.native("binding.js");
const { benchPrefill } = await common.native("bench.js");
const { resolveDevice } = await common.native("device.js");
const { loadModel } = await common.native("index.js");

const PRECISIONS = ["bfloat16", "float32"];

const MODES = {
  async ops(dtype = "bfloat16") {
    const { cuda } = resolveDevice(choice);
    const options = { dtype, threads: 1, ...(cuda ? { cuda } : {}) };
    for (const row of await addon.compareOperations(options)) {
      const { operation, shape, error, allowed, holds } = row;
      const text = `${operation} ${shape}: ${error} of ${allowed}`;
      console.log(`${holds ? "ok  " : "BAD "} ${text}`);
      if (!holds) wrong(text);
    }
  },

  async small(only) {
    for (const dtype of only ? [only] : PRECISIONS) {
      for (const name of ["qwen3-tiny", "qwen2-tiny-strong"]) {
        const runner = await open({ model: `golden/${name}`, dtype });
        const layers = runner.info.num_hidden_layers;
        for (const kind of ["distance", "artifact", "logits", "hidden"]) {
          for (const seq_len of [1, 70]) {
            await runner.run(job({ id: 0, seq_len, seeds: seedsOf(3), kind, layers }));
          }
        }
        await runner.close();
        say(`${name} ${dtype} ran`);
      }
    }
  },

  async stress(seconds = 20) {
    for (const [model, dtype, lengths] of [
      [SMALL, "bfloat16", [1, 17, 64, 200, 2100]],
      [SMALL, "float32", [5, 64, 130]],
      [BIG, "bfloat16", [64, 256]],
    ]) {
      const runner = await open({ model, dtype });
      say(`${model} ${dtype}: ${runner.info.arithmetic} on ${runner.info.device}`);
      const proofs = ["distance", "artifact"];
      const kinds = model === BIG ? proofs : [...proofs, "hidden", "logits"];
      const quiet = await QuietSearch.of(runner, { lengths, kinds, nonces: 160 });
      const until = performance.now() + (1000 * seconds) / 3;
      let jobs = 0;
      const worker = async () => {
        while (performance.now() < until) {
          await quiet.runSome();
          jobs++;
        }
      };
      await Promise.all(Array.from({ length: 4 }, worker));
      say(`${jobs} jobs at once, ${common.wrongSoFar()} wrong so far`);
      await runner.close();
    }
  },

  async cut() {
    const runner = await open({ model: BIG, dtype: "bfloat16" });
    const seeds = seedsOf(400);
    const run = (id) => runner.run(job({ id, seq_len: 64, seeds, kind: "distance" }));
    const right = bitsOf(await run(0));
    for (let round = 0; round < 6; round++) {
      const jobs = [2, 4, 6, 8].map((each) => run(each + 10 * round));
      await new Promise((done) => setTimeout(done, 5 + 15 * round));
      const asked = performance.now();
      for (const each of [2, 4, 8]) runner.cancel(each + 10 * round);
      const results = await Promise.all(jobs);
      const completed = results.map((one) => one.completed);
      for (const one of results) {
        const bits = bitsOf(one);
        const isRight = bits.every((value, i) => value === right[i]);
        if (bits.length !== one.completed || !isRight) wrong(`a job's prefix in round ${round}`);
      }
      if (completed[2] !== seeds.length) wrong(`a job that nobody cancelled, in round ${round}`);
      const milliseconds = (performance.now() - asked).toFixed(0);
      say(`round ${round}: completed ${completed}, all settled ${milliseconds} ms later`);
    }
    await runner.close();
  },

  chat: (seconds = 20, questions, most_tokens) => chat(seconds, { questions, most_tokens }),
  digest: (nonces, lengths) => digest(nonces, lengths?.split(",").map(Number)),
  steady,

  async bench(shape, seqLen, batch, repeats) {
    const numbers = { seqLen, batch, repeats };
    const result = await benchPrefill({ shape, dtype: "bfloat16", ...numbers, ...choice });
    const stages = Object.entries(result.stages).map(
      ([name, share]) => `${name} ${share.toFixed(1)}`,
    );
    console.log(
      `${shape} seq ${seqLen}: ${result.nonces_per_second.toPrecision(5)} nonces/s, ` +
        `${(result.gflops / 1000).toFixed(1)} of ${(result.peak_gflops / 1000).toFixed(1)} TFLOP/s, ` +
        `${result.percent_of_peak.toFixed(1)} %; ${stages.join(", ")}`,
    );
  },

  async lengths() {
    const runner = await open({ model: BIG, dtype: "bfloat16" });
    for (const seq_len of [16, 32, 64, 128, 256, 512, 1024, 2048]) {
      const n = Math.max(16, Math.ceil(65536 / seq_len));
      const seeds = seedsOf(n);
      const run = (id) => runner.run(job({ id, seq_len, seeds, kind: "distance" }));
      for (let i = 0; i < 2; i++) await run(0);
      const from = performance.now();
      await Promise.all([0, 2, 4, 6].map(run));
      const rate = (4 * n) / ((performance.now() - from) / 1000);
      const tokens = (rate * seq_len).toExponential(3);
      say(`seq_len ${seq_len}: ${rate.toFixed(0)} nonces/s, ${tokens} tokens/s`);
    }
    await runner.close();
  },

  async validity(seconds = 20, only = undefined) {
    for (const model of ["golden/qwen3-tiny-strong", BIG]) {
      for (const dtype of only ? [only] : PRECISIONS) {
        await compareValidity({ model, seq_len: 16, dtype, limit: 1000 * seconds });
      }
    }
  },

  async write(directory) {
    const { writeChatModel } = await common.ofWorkingFolder("test/bench/chat-model.mjs");
    await writeChatModel(directory, "qwen3-0.6b");
    say(`written to ${directory}`);
  },

  async load(directory) {
    for (let i = 0; i < 3; i++) {
      const model = await loadModel({ directory, ...choice, onNotice: say });
      await model.close();
    }
  },
};

/** The same nonces on both devices, as many as the CPU computes in `limit` milliseconds. */
async function compareValidity({ model, seq_len, dtype, limit }) {
  const cpu = await open({ model, dtype, on: { device: "cpu" } });
  const gpu = await open({ model, dtype });
  const ours = [];
  const theirs = [];
  const from = performance.now();
  const each = Number(process.env.PROBE_BATCH ?? 100);
  for (let first = 1; performance.now() - from < limit && first < 50_000; first += each) {
    const asked = job({ id: 0, seq_len, seeds: seedsOf(each, first), kind: "distance" });
    ours.push(...(await cpu.run(asked)).values);
    theirs.push(...(await gpu.run(asked)).values);
  }
  const target = ours.toSorted((a, b) => a - b)[Math.floor(ours.length / 100)];
  const differing = ours.filter((distance, i) => distance < target !== theirs[i] < target).length;
  const errors = ours.map((distance, i) => Math.abs(distance - theirs[i]));
  const rms = Math.sqrt(errors.reduce((sum, error) => sum + error ** 2, 0) / errors.length);
  const most = errors.reduce((a, b) => Math.max(a, b));
  say(
    `${model} ${dtype}, seq_len ${seq_len}: validity differs for ${differing} of ${ours.length} nonces, ` +
      `${Math.floor(ours.length / 100)} of them valid, below ${target}; distances differ by ` +
      `${rms.toExponential(1)} rms, ${most.toExponential(1)} at most`,
  );
  if (!(most < 6e-3)) wrong(`distances of ${model} differ by ${most}`);
  await cpu.close();
  await gpu.close();
}

const [mode, ...given] = process.argv.slice(2);
if (!MODES[mode]) {
  throw new Error(`mode is ${mode}, expected one of ${Object.keys(MODES).join(", ")}`);
}
await MODES[mode](...given.map((text) => (/^[\d.]+$/.test(text) ? Number(text) : text)));
const bad = common.wrongSoFar();
console.log(bad === 0 ? `probe ${mode}: all right` : `probe ${mode}: ${bad} WRONG`);
process.exitCode = bad === 0 ? 0 : 1;
