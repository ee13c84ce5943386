/** Safetensors files: where each tensor lies. Headers only; no weight passes through JavaScript. */
import { type FileHandle, open, readFile, stat } from "node:fs/promises";
import { basename, join, resolve } from "node:path";
import { z } from "zod";

/** A tensor inside a file. */
export interface TensorEntry {
  /** As the file spells it: BF16, F16, F32, or one that we cannot use. */
  dtype: string;
  shape: number[];
  /** Absolute path. */
  file: string;
  /** Bytes from the start of the file. */
  offset: number;
  bytes: number;
}

/** The tensors of a model, which may lie in several files. */
export interface ModelTensors {
  /** The file that says which tensors there are: the only one, or the index. */
  source: string;
  tensors: Map<string, TensorEntry>;
}

const INDEX_FILE = "model.safetensors.index.json";
const SINGLE_FILE = "model.safetensors";
/** The format's own limit. */
const MAX_HEADER_BYTES = 100_000_000;

const ITEM_BYTES = new Map([
  ["F64", 8],
  ["I64", 8],
  ["U64", 8],
  ["F32", 4],
  ["I32", 4],
  ["U32", 4],
  ["BF16", 2],
  ["F16", 2],
  ["I16", 2],
  ["U16", 2],
  ["I8", 1],
  ["U8", 1],
  ["BOOL", 1],
  ["F8_E4M3", 1],
  ["F8_E5M2", 1],
]);

const extent = z.int().min(0);
const headerEntrySchema = z.object({
  dtype: z.string(),
  shape: z.array(extent).max(8),
  data_offsets: z.tuple([extent, extent]),
});
const indexSchema = z.looseObject({ weight_map: z.record(z.string(), z.string()) });

/**
 * The tensors of a model directory: those of `model.safetensors`, else of the shards that
 * `model.safetensors.index.json` names (Hugging Face looks in this order too).
 *
 * @throws Error naming file, tensor, what was found and what was expected
 */
export async function readTensors(directory: string): Promise<ModelTensors> {
  const single = resolve(directory, SINGLE_FILE);
  if (await isFile(single)) return { source: single, tensors: await readHeader(single) };
  const index = resolve(directory, INDEX_FILE);
  if (await isFile(index)) return { source: index, tensors: await readShards(index, directory) };
  throw new Error(`${resolve(directory)}: holds neither ${SINGLE_FILE} nor ${INDEX_FILE}`);
}

async function readShards(index: string, directory: string): Promise<Map<string, TensorEntry>> {
  const weightMap = await readIndex(index);
  const shards = new Map<string, Map<string, TensorEntry>>();
  for (const shard of new Set(weightMap.values())) {
    shards.set(shard, await readHeader(join(directory, shard)));
  }
  const tensors = new Map<string, TensorEntry>();
  for (const [name, shard] of weightMap) {
    const entry = shards.get(shard)?.get(name);
    if (!entry) {
      throw new Error(
        `${resolve(directory, shard)}: has no tensor ${name}, expected it here by ${INDEX_FILE}`,
      );
    }
    tensors.set(name, entry);
  }
  return tensors;
}

async function readIndex(path: string): Promise<Map<string, string>> {
  const json = parseJson(await readFile(path), path);
  const parsed = indexSchema.safeParse(json);
  if (!parsed.success) {
    throw new Error(`${path}: is ${show(json)}, expected a weight_map from tensor to file names`);
  }
  const weightMap = new Map(Object.entries(parsed.data.weight_map));
  for (const [name, shard] of weightMap) {
    if (shard !== basename(shard) || shard.includes("\\") || !shard.endsWith(".safetensors")) {
      throw new Error(
        `${path}: tensor ${name} lies in ${show(shard)}, expected the name of a .safetensors file beside it`,
      );
    }
  }
  return weightMap;
}

/**
 * Reads and checks the header of one file.
 *
 * @throws Error as `readTensors`
 */
export async function readHeader(file: string): Promise<Map<string, TensorEntry>> {
  const path = resolve(file);
  // Asked first: opening a pipe would wait for its writer.
  if (!(await isFile(path))) throw new Error(`${path}: is missing, expected a safetensors file`);
  let handle: FileHandle;
  try {
    handle = await open(path, "r");
  } catch (cause) {
    throw new Error(`${path}: cannot be opened: ${(cause as Error).message}`, { cause });
  }
  try {
    const { size } = await handle.stat();
    const header = await readHeaderBytes(handle, path, size);
    const json = parseJson(header, `${path}: its header`);
    if (typeof json !== "object" || json === null || Array.isArray(json)) {
      throw new Error(`${path}: its header is ${show(json)}, expected a JSON object`);
    }
    const start = 8 + header.length;
    const tensors = new Map<string, TensorEntry>();
    for (const [name, value] of Object.entries(json)) {
      if (name !== "__metadata__") tensors.set(name, locate(value, { name, path, start, size }));
    }
    refuseOverlaps(tensors, path);
    return tensors;
  } finally {
    await handle.close();
  }
}

async function readHeaderBytes(handle: FileHandle, path: string, size: number): Promise<Buffer> {
  const room = Math.min(size - 8, MAX_HEADER_BYTES);
  if (room < 0) {
    throw new Error(`${path}: has ${size} bytes, expected the 8 of a header's length: it is cut`);
  }
  const prefix = Buffer.alloc(8);
  await handle.read(prefix, 0, 8, 0);
  const length = prefix.readBigUInt64LE();
  if (length > BigInt(room)) {
    throw new Error(
      `${path}: says that its header has ${length} bytes, expected at most ${room} in a file of ${size}: it is truncated or no safetensors file`,
    );
  }
  const header = Buffer.alloc(Number(length));
  const { bytesRead } = await handle.read(header, 0, header.length, 8);
  if (bytesRead < header.length) {
    throw new Error(`${path}: has ${bytesRead} bytes of its header, expected ${header.length}`);
  }
  return header;
}

function locate(
  value: unknown,
  at: { name: string; path: string; start: number; size: number },
): TensorEntry {
  const { name, path, start, size } = at;
  const parsed = headerEntrySchema.safeParse(value);
  if (!parsed.success) {
    throw new Error(
      `${path}: tensor ${name}: its header entry is ${show(value)}, expected dtype, shape and data_offsets [begin, end] in whole numbers ≥ 0`,
    );
  }
  const { dtype, shape } = parsed.data;
  const [begin, end] = parsed.data.data_offsets;
  const itemBytes = ITEM_BYTES.get(dtype);
  if (itemBytes === undefined) {
    const known = [...ITEM_BYTES.keys()].join(", ");
    throw new Error(`${path}: tensor ${name}: dtype is ${show(dtype)}, expected one of ${known}`);
  }
  const expected = shape.reduce((product, extent) => product * extent, itemBytes);
  if (!Number.isSafeInteger(expected) || end - begin !== expected) {
    throw new Error(
      `${path}: tensor ${name}: data_offsets [${begin}, ${end}] hold ${end - begin} bytes, expected ${expected} for ${dtype} [${shape.join(", ")}]`,
    );
  }
  if (start + end > size) {
    throw new Error(
      `${path}: tensor ${name}: ends at byte ${start + end}, expected at most ${size}, the size of the file: it is truncated`,
    );
  }
  return { dtype, shape, file: path, offset: start + begin, bytes: expected };
}

function refuseOverlaps(tensors: Map<string, TensorEntry>, path: string): void {
  const sorted = [...tensors]
    .filter(([, t]) => t.bytes > 0)
    .sort(([, a], [, b]) => a.offset - b.offset);
  for (const [i, [name, tensor]] of sorted.entries()) {
    const previous = sorted[i - 1];
    if (previous && previous[1].offset + previous[1].bytes > tensor.offset) {
      throw new Error(
        `${path}: tensor ${name} begins at byte ${tensor.offset}, expected it after ${previous[0]}, which ends at ${previous[1].offset + previous[1].bytes}`,
      );
    }
  }
}

function parseJson(bytes: Buffer, what: string): unknown {
  try {
    return JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
  } catch (cause) {
    throw new Error(`${what} is not JSON in UTF-8: ${(cause as Error).message}`, { cause });
  }
}

async function isFile(path: string): Promise<boolean> {
  return stat(path).then(
    (info) => info.isFile(),
    () => false,
  );
}

function show(value: unknown): string {
  const text = JSON.stringify(value);
  return text.length > 100 ? `${text.slice(0, 100)}…` : text;
}
