/**
 * Artifacts by docs/protocol-v2.md §1 and nothing else, in float64, and no addon: what tests compare
 * with. Seeds and random numbers are written out here too, so that it shares no mistake.
 */
import { createHash } from "node:crypto";
import { Float64Model, reflect } from "./float64-model.ts";
import type { Precision } from "./model/precision.ts";

/** 2π as the protocol has it, a float32. */
const TWO_PI = Math.fround(2 * Math.PI);

/** Of which nonce, and how it is computed. */
interface Float64Artifact {
  block_hash: string;
  public_key: string;
  nonce: number;
  /** Positions. */
  seq_len: number;
  /** Numbers of an artifact. */
  k_dim: number;
  /** What the inputs are rounded to. */
  dtype: Precision;
  /** Whether the inputs are drawn by the stronger generator. */
  poc_stronger_rng?: boolean;
}

export class Float64Artifacts {
  readonly #model: Float64Model;

  private constructor(model: Float64Model) {
    this.#model = model;
  }

  /** @throws Error as `loadModel` */
  static async load(directory: string): Promise<Float64Artifacts> {
    return new Float64Artifacts(await Float64Model.load(directory));
  }

  /** [k_dim], of length 1, not rounded to half precision. */
  of(one: Float64Artifact): Float64Array {
    const { block_hash, public_key, nonce, k_dim } = one;
    const { layers, hiddenSize } = this.#model;
    const reflections = Array.from({ length: layers }, (_, i) =>
      unit(normals(word(`${block_hash}_layer_${i}_householder`), hiddenSize)),
    );
    const hidden = unit(this.#model.hidden(this.#inputs(one), reflections));
    const of = `${block_hash}_${public_key}_nonce_${nonce}`;
    const picked = picks(word(`${of}_pick_${k_dim}`), hiddenSize, k_dim);
    const x = Float64Array.from(picked, (index) => hidden[index] ?? Number.NaN);
    for (let j = 0; j < k_dim - 1; j++) {
      reflect(x, unit(normals(word(`${of}_haar_hh_${k_dim}_${j}`), k_dim)));
    }
    return unit(x);
  }

  /** [seq_len, hidden_size] */
  #inputs(one: Float64Artifact): Float64Array {
    const { block_hash, public_key, nonce, seq_len, dtype, poc_stronger_rng = false } = one;
    const count = seq_len * this.#model.hiddenSize;
    const seeds = words(`${block_hash}_${public_key}_nonce${nonce}`);
    const all = new Float64Array(count);
    const length = poc_stronger_rng ? Math.ceil(count / seeds.length) : count;
    for (let start = 0, i = 0; start < count; start += length, i++) {
      all.set(normals(seeds[i] ?? Number.NaN, Math.min(length, count - start)), start);
    }
    return all.map(dtype === "bfloat16" ? toBfloat16 : Math.fround);
  }
}

/** The digest's 8 words, big-endian. */
function words(text: string): number[] {
  const digest = createHash("sha256").update(text, "utf8").digest();
  return Array.from({ length: 8 }, (_, i) => digest.readUInt32BE(4 * i));
}

function word(text: string): number {
  return words(text)[0] ?? Number.NaN;
}

/** MurmurHash3 of one block, without the length (docs/protocol.md §1, step 2). */
function hash(i: number, seed: number): number {
  const rotated = (x: number, by: number) => (x << by) | (x >>> (32 - by));
  let h = seed ^ Math.imul(rotated(Math.imul(i, 0xcc9e2d51), 15), 0x1b873593);
  h = Math.imul(rotated(h, 13), 5) + 0xe6546b64;
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return (h ^ (h >>> 16)) >>> 0;
}

/** docs/protocol.md §1, steps 3 and 4, ln, sin and cos exact. */
function normals(seed: number, count: number): Float64Array {
  const half = Math.ceil(count / 2);
  const uniform = (i: number) => Math.fround(hash(i, seed)) / 2 ** 32;
  const values = new Float64Array(2 * half);
  for (let j = 0; j < half; j++) {
    const radius = Math.sqrt(-2 * Math.log(Math.max(uniform(j), 1e-10)));
    const angle = Math.fround(TWO_PI * uniform(half + j));
    values[j] = radius * Math.cos(angle);
    values[half + j] = radius * Math.sin(angle);
  }
  return values.subarray(0, count);
}

/** The indices with the smallest hashes: all but the last of them ascending, then that one. */
function picks(seed: number, size: number, k: number): number[] {
  const all = Array.from({ length: size }, (_, i) => i);
  const smallest = all.sort((a, b) => hash(a, seed) - hash(b, seed)).slice(0, k);
  const last = smallest.slice(-1);
  return [...smallest.slice(0, -1).sort((a, b) => a - b), ...last];
}

function unit(x: Float64Array): Float64Array {
  const length = Math.hypot(...x);
  return x.map((value) => value / length);
}

/** The nearest, the even one of two that are as near. */
function toBfloat16(value: number): number {
  const view = new DataView(new ArrayBuffer(4));
  view.setFloat32(0, value);
  const bits = view.getUint32(0);
  view.setUint32(0, ((bits + 0x7fff + ((bits >>> 16) & 1)) & 0xffff0000) >>> 0);
  return view.getFloat32(0);
}
