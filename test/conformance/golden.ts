/** Golden numbers and models, typed as far as the tests here read them. */
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

export const MODELS = [
  "qwen3-tiny",
  "llama-tiny",
  "qwen2-tiny",
  "qwen3-tiny-strong",
  "llama-tiny-strong",
  "qwen2-tiny-strong",
] as const;

export interface ExpectedCase {
  /** Index into `meta.pairs`. */
  pair: number;
  nonce: number;
  seq_len: number;
  input_dtype: "float32" | "bfloat16";
  A: {
    last_hidden_first8: number[];
    logits_first8: number[];
    logits_norm: number;
    logits_argmax: number;
    distance: number;
  };
  B: {
    picked_cuda: number[];
    vector: { cuda: number[] };
    b64: { cuda: string };
    fp16_margin_abs: { cuda: number };
  };
}

export interface Expected {
  meta: { pairs: { block_hash: string; public_key: string }[] };
  cases: ExpectedCase[];
}

const NUMBERS = new URL("../golden/", import.meta.url);
/** The self-test needs them, so they stand where it does. */
const MODEL_FOLDERS = new URL("../../packages/native/lib/selftest/golden/", import.meta.url);

/** What a file of test/golden holds. */
export function golden<T>(name: string): T {
  return JSON.parse(readFileSync(new URL(name, NUMBERS), "utf8")) as T;
}

/** A golden model's folder. */
export function goldenModel(name: string): string {
  return fileURLToPath(new URL(name, MODEL_FOLDERS));
}

/** What the reference implementation computes with it. */
export function expected(model: string): Expected {
  return JSON.parse(readFileSync(`${goldenModel(model)}/expected.json`, "utf8")) as Expected;
}

/** Of an array's bytes; the digests in the golden data are of little-endian ones. */
export function sha256(array: Float32Array | Uint32Array): string {
  return createHash("sha256")
    .update(new Uint8Array(array.buffer, array.byteOffset, array.byteLength))
    .digest("hex");
}

/** Bit patterns: unlike numbers these compare −0, and NaN with itself. */
export function bitsOf(values: Float32Array): number[] {
  return Array.from(new Uint32Array(values.buffer, values.byteOffset, values.length));
}

/** Eight hexadecimal digits of a float32. */
export function hexOf(value: number): string {
  const view = new DataView(new ArrayBuffer(4));
  view.setFloat32(0, value);
  return view.getUint32(0).toString(16).padStart(8, "0");
}

/** The greatest |a − b|, NaN when one of them is. */
export function maxDifference(a: ArrayLike<number>, b: ArrayLike<number>): number {
  if (a.length !== b.length) throw new Error(`lengths differ: ${a.length} and ${b.length}`);
  let greatest = 0;
  for (let i = 0; i < a.length; i++) {
    greatest = Math.max(greatest, Math.abs(Number(a[i]) - Number(b[i])));
  }
  return greatest;
}
