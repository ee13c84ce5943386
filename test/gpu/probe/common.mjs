// What the probe's modes share: the built packages of the working folder, the device, models, jobs and
// their bits.
import { existsSync, readFileSync } from "node:fs";
import { resolve } from "node:path";
import { pathToFileURL } from "node:url";

/** A file of the working folder, imported. */
export const ofWorkingFolder = (file) => import(pathToFileURL(resolve(file)).href);
export const native = (file) => ofWorkingFolder(`packages/native/dist/${file}`);

const { loadShape } = await native("bench.js");
const { loadModel } = await native("index.js");
const { parseConfig } = await native("model/config.js");
const { PAGE_TOKENS } = await native("model/memory.js");
const { shapeFile } = await native("model/shapes.js");
const { NativeRunner } = await native("runner.js");

const cudaLibrary = process.env.PROBE_LIBRARY;
/** The device under test, as the packages' options name it. */
export const choice = {
  device: process.env.PROBE_DEVICE ?? "cuda",
  ...(cudaLibrary ? { cudaLibrary } : {}),
};
/** The models that most modes run; smaller ones try the probe out. */
export const SMALL = process.env.PROBE_SMALL ?? "qwen3-tiny";
export const BIG = process.env.PROBE_BIG ?? "qwen3-0.6b";

const started = performance.now();
export const say = (text) =>
  console.log(`${((performance.now() - started) / 1000).toFixed(1)} s  ${text}`);

let count = 0;
/** Notes that something is not as it must be; the first few are shown. */
export function wrong(text) {
  if (count++ < 10) say(`WRONG ${text}`);
}
export const wrongSoFar = () => count;

export const random = (n) => Math.floor(Math.random() * n);

/** Sessions that run at once, where there is room for any. */
export const MAX_SESSIONS = 16;

/**
 * A runner of `golden/NAME`, a golden model, or of a shape with random weights.
 *
 * @param {object} options
 * @param {string} options.model
 * @param {"bfloat16" | "float32"} options.dtype
 * @param {number} [options.pages] of the cache of token sessions; none by default
 * @param {object} [options.on] the device; the one under test by default
 */
export async function open({ model: name, dtype, pages = 0, on = choice }) {
  const directory = `packages/native/lib/selftest/${name}`;
  const isGolden = existsSync(directory);
  const file = isGolden
    ? JSON.parse(readFileSync(`${directory}/config.json`, "utf8"))
    : shapeFile(name);
  const config = parseConfig(file, name);
  const { num_hidden_layers, num_key_value_heads, head_dim } = config;
  if (isGolden) {
    const numbers = 2 * num_hidden_layers * PAGE_TOKENS * num_key_value_heads * head_dim;
    const kvCacheMemory = pages * numbers * (dtype === "bfloat16" ? 2 : 4);
    const sessions = pages > 0 ? { kvCacheMemory, maxNumSeqs: MAX_SESSIONS } : undefined;
    return loadModel({ directory, dtype, sessions, ...on });
  }
  const { model } = await loadShape({ shape: name, dtype, embedsTokens: pages > 0, ...on });
  const { arithmetic, device, preferredTokens } = model;
  const context = { max_seq_len: config.max_position_embeddings };
  const info = { ...config, ...context, arithmetic, device, preferred_tokens: preferredTokens };
  const limits = { max_sessions: MAX_SESSIONS, max_len: pages * PAGE_TOKENS };
  if (pages > 0) model.openSessions({ ...limits, pages, step_rows: model.stepRows });
  const sessions = pages > 0 ? { ...limits, kv_cache_tokens: limits.max_len } : null;
  return new NativeRunner(model, info, { memory: null, sessions });
}

export const seedsOf = (n, first = 1) =>
  Uint32Array.from({ length: n }, (_, i) => Math.imul(i + first, 0x9e3779b9) >>> 0);
export const bitsOf = ({ values }) =>
  new Uint32Array(values.buffer, values.byteOffset, values.length);

const K_DIM = 12;

/** A job of one of two rounds, which its id's parity tells apart. */
export function job({ id, seq_len, seeds, kind, layers }) {
  const round = id % 2;
  const outputs = {
    distance: { permutation_seeds: seeds, target_seed: 7 + round },
    artifact: {
      k_dim: K_DIM,
      layer_seeds: Uint32Array.from({ length: layers }, (_, i) => 100 * round + i),
      pick_seeds: seeds,
      rotation_seeds: Uint32Array.from([...seeds].flatMap((seed) => [...seedsOf(K_DIM - 1, seed)])),
    },
  };
  return { id, seq_len, input_seeds: seeds, output: { kind, ...outputs[kind] } };
}

/** What a quiet device computes of some nonces, to compare with what it computes while much goes on. */
export class QuietSearch {
  #runner;
  #lengths;
  #kinds;
  #seeds;
  /** By length, kind and round: the bits of all nonces, and how many numbers each has. */
  #expected = new Map();
  #nextId = 10;

  static async of(runner, { lengths, kinds, nonces }) {
    const quiet = new QuietSearch();
    quiet.#runner = runner;
    quiet.#lengths = lengths;
    quiet.#kinds = kinds;
    quiet.#seeds = seedsOf(nonces);
    for (const seq_len of lengths) {
      for (const kind of kinds) {
        for (const id of [0, 1]) {
          const bits = bitsOf(await runner.run(quiet.#job({ id, seq_len, kind })));
          const width = bits.length / nonces;
          quiet.#expected.set(`${seq_len} ${kind} ${id}`, { bits, width });
        }
      }
    }
    return quiet;
  }

  /** Runs some of the nonces again and compares; `isCut`: the job is cancelled on its way. */
  async runSome(isCut = false) {
    const id = this.#nextId++;
    const seq_len = this.#lengths[random(this.#lengths.length)];
    const kind = this.#kinds[random(this.#kinds.length)];
    const n = 1 + random(random(2) ? 5 : this.#seeds.length - 1);
    const first = random(this.#seeds.length - n + 1);
    const seeds = this.#seeds.slice(first, first + n);
    const running = this.#runner.run(this.#job({ id, seq_len, kind, seeds }));
    if (isCut) setTimeout(() => this.#runner.cancel(id), random(20));
    const result = await running;
    const bits = bitsOf(result);
    const { bits: all, width } = this.#expected.get(`${seq_len} ${kind} ${id % 2}`);
    const differing = bits.findIndex((value, i) => value !== all[first * width + i]);
    const isWhole = bits.length === result.completed * width && (isCut || result.completed === n);
    if (differing >= 0 || !isWhole) {
      const at = Math.floor(differing / width);
      wrong(`${kind} seq_len ${seq_len}: ${result.completed} of ${n} at ${first}, nonce ${at}`);
    }
  }

  #job({ id, seq_len, kind, seeds = this.#seeds }) {
    return job({ id, seq_len, seeds, kind, layers: this.#runner.info.num_hidden_layers });
  }
}
