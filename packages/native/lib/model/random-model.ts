/**
 * Models with random weights, on disk in Hugging Face layout: for demonstration, tests and benches.
 *
 * The same bytes come out on every machine: integers, and floating point only in operations that
 * IEEE 754 rounds correctly. Never loads the addon.
 */
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { parseConfig } from "./config.ts";
import { INDEX_FILE, SINGLE_FILE, shardName } from "./safetensors.ts";
import { requiredTensors } from "./weights.ts";

interface RandomModelOptions {
  /** Made if it is not there; files of the same names are replaced. */
  directory: string;
  /** A Hugging Face config, written to config.json as it is. */
  config: Readonly<Record<string, unknown>>;
  /** uint32 */
  seed: number;
  /** A shard ends before the tensor that would exceed this; all in one file by default. */
  maxShardBytes?: number;
}

/** Hugging Face's `initializer_range`, the same in all architectures here. */
const STANDARD_DEVIATION = 0.02;
const BF16_BYTES = 2;
const BF16_ONE = 0x3f80;
/** A multiple of 2: large enough for the disk, small enough not to hold up the event loop. */
const CHUNK_BYTES = 1 << 20;

interface PlannedTensor {
  name: string;
  shape: number[];
  bytes: number;
}

/**
 * Writes config.json and bfloat16 safetensors: norms are 1, everything else is close to normal with
 * a deviation of 0.02. A tensor depends on seed, name and size alone, not on how files are cut.
 *
 * Every file is flushed to the disk. After an error the directory may hold some of the files.
 *
 * @throws Error naming the key, when the config is not one that `loadModel` takes; RangeError for a
 * seed that is no uint32
 */
export async function writeRandomModel(options: RandomModelOptions): Promise<void> {
  const { directory, config, seed } = options;
  if (seed !== seed >>> 0) throw new RangeError(`seed must be a uint32, not ${seed}`);
  const shards = cutShards(plan(config, directory), options.maxShardBytes ?? Infinity);
  await mkdir(directory, { recursive: true });
  const weightMap: Record<string, string> = {};
  for (const [i, shard] of shards.entries()) {
    const file = shards.length === 1 ? SINGLE_FILE : shardName(i + 1, shards.length);
    await writeFile(join(directory, file), shardContent(shard, seed), { flush: true });
    for (const { name } of shard) weightMap[name] = file;
  }
  if (shards.length > 1) {
    await writeJson(join(directory, INDEX_FILE), {
      metadata: { total_size: sizeOf(shards.flat()) },
      weight_map: weightMap,
    });
  }
  await writeJson(join(directory, "config.json"), config);
}

/** What the forward pass reads, and the embedding table that such files always hold. */
function plan(config: Readonly<Record<string, unknown>>, directory: string): PlannedTensor[] {
  const model = parseConfig(config, join(directory, "config.json"));
  const shapes = new Map([["model.embed_tokens.weight", [model.vocab_size, model.hidden_size]]]);
  for (const [name, shape] of requiredTensors(model)) shapes.set(name, shape);
  return Array.from(shapes, ([name, shape]) => ({
    name,
    shape,
    bytes: shape.reduce((product, extent) => product * extent, BF16_BYTES),
  }));
}

function cutShards(tensors: PlannedTensor[], maxShardBytes: number): PlannedTensor[][] {
  const shards: PlannedTensor[][] = [];
  let bytes = 0;
  for (const tensor of tensors) {
    if (bytes + tensor.bytes > maxShardBytes || shards.length === 0) {
      shards.push([]);
      bytes = 0;
    }
    shards.at(-1)?.push(tensor);
    bytes += tensor.bytes;
  }
  return shards;
}

/** The bytes of one file. A chunk is valid until the next one is asked for. */
function* shardContent(tensors: PlannedTensor[], seed: number): Generator<Uint8Array> {
  yield header(tensors);
  const chunk = new Uint8Array(CHUNK_BYTES);
  const view = new DataView(chunk.buffer);
  for (const { name, bytes } of tensors) {
    const next = name.endsWith("norm.weight") ? () => BF16_ONE : normalBits(seed, name);
    for (let begin = 0; begin < bytes; begin += CHUNK_BYTES) {
      const length = Math.min(CHUNK_BYTES, bytes - begin);
      for (let i = 0; i < length; i += BF16_BYTES) view.setUint16(i, next(), true);
      yield chunk.subarray(0, length);
    }
  }
}

function header(tensors: PlannedTensor[]): Uint8Array {
  const entries: Record<string, unknown> = { __metadata__: { format: "pt" } };
  let begin = 0;
  for (const { name, shape, bytes } of tensors) {
    entries[name] = { dtype: "BF16", shape, data_offsets: [begin, begin + bytes] };
    begin += bytes;
  }
  const json = Buffer.from(JSON.stringify(entries));
  const length = Math.ceil(json.length / 8) * 8; // the data begins aligned
  const bytes = Buffer.alloc(8 + length, " ");
  bytes.writeBigUInt64LE(BigInt(length));
  json.copy(bytes, 8);
  return bytes;
}

/**
 * bf16 bits of close-to-normal numbers: the sum of the four bytes of a random word, centred and
 * scaled. One table lookup for each number: a model of a gigabyte takes seconds.
 */
function normalBits(seed: number, name: string): () => number {
  const word = randomWords(seed, name);
  return () => {
    const w = word();
    return SUM_TO_BF16[(w & 255) + ((w >>> 8) & 255) + ((w >>> 16) & 255) + (w >>> 24)] as number;
  };
}

/** [4 · 255 + 1] for each sum of four bytes */
const SUM_TO_BF16 = Uint16Array.from({ length: 4 * 255 + 1 }, (_, sum) => {
  const deviationOfSum = Math.sqrt((4 * (256 ** 2 - 1)) / 12);
  return toBf16((STANDARD_DEVIATION * (sum - 4 * 127.5)) / deviationOfSum);
});

/** Rounds a finite number to float32, then to bfloat16, nearest even. */
function toBf16(value: number): number {
  const view = new DataView(new ArrayBuffer(4));
  view.setFloat32(0, value);
  const bits = view.getUint32(0);
  return (bits + 0x7fff + ((bits >>> 16) & 1)) >>> 16;
}

/** sfc32 (Chris Doty-Humphrey), a stream of its own for each name. */
function randomWords(seed: number, name: string): () => number {
  let a = seed | 0;
  let b = fnv1a(name);
  let c = 0;
  let counter = 1;
  const next = () => {
    const word = (a + b + counter) | 0;
    counter = (counter + 1) | 0;
    a = b ^ (b >>> 9);
    b = (c + (c << 3)) | 0;
    c = (((c << 21) | (c >>> 11)) + word) | 0;
    return word >>> 0;
  };
  for (let i = 0; i < 15; i++) next(); // lets every bit of the seed reach every word
  return next;
}

function fnv1a(text: string): number {
  return Buffer.from(text).reduce((hash, byte) => Math.imul(hash ^ byte, 0x01000193), 0x811c9dc5);
}

function sizeOf(tensors: PlannedTensor[]): number {
  return tensors.reduce((sum, { bytes }) => sum + bytes, 0);
}

async function writeJson(path: string, value: unknown): Promise<void> {
  await writeFile(path, `${JSON.stringify(value, null, 2)}\n`, { flush: true });
}
