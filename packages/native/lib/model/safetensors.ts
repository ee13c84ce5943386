/** Safetensors files: where each tensor lies. Headers only; no weight passes through JavaScript. */
import { type FileHandle, lstat, readdir } from "node:fs/promises";
import { basename, join, resolve } from "node:path";
import { z } from "zod";
import { insteadOfWeights } from "./instead.ts";
import {
  MAX_INDEX_BYTES,
  openFile,
  parseJson,
  readJsonFile,
  refuseLfsPointer,
} from "./json-file.ts";
import { show } from "./refusal.ts";

/** A tensor inside a file. */
export interface TensorEntry {
  /** As the file spells it: BF16, F16, F32, or one that we cannot use or do not know. */
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
  /** What says which tensors there are: the only file, the index, or the directory. */
  source: string;
  /** Those that were selected. */
  tensors: Map<string, TensorEntry>;
  /** The names of all. */
  names: string[];
}

export const INDEX_FILE = "model.safetensors.index.json";
export const SINGLE_FILE = "model.safetensors";
/** How Hugging Face numbers the files of a model. */
const NUMBERED = /^model-(\d{5})-of-(\d{5})\.safetensors$/;
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

/** Chooses the tensors that matter; `has` says whether there is one of a name. */
export type Select = (has: (name: string) => boolean) => Iterable<string>;

const extent = z.int().min(0);
/** Longer ones, and longer shapes, would only fill an error's text. */
const MAX_NAME = 1000;
const headerEntrySchema = z.object({
  dtype: z.string().max(32),
  shape: z.array(extent).max(64),
  data_offsets: z.tuple([extent, extent]),
});
const indexSchema = z.looseObject({ weight_map: z.record(z.string(), z.unknown()) });

/**
 * The tensors of a model directory: those of `model.safetensors`, else of the shards that
 * `model.safetensors.index.json` names (Hugging Face looks in this order too), else of a whole set
 * of numbered shards.
 *
 * @param select what matters: what an index says of other tensors need not be true; all by default
 * @throws Error naming file, tensor, what was found and what was expected
 */
export async function readTensors(directory: string, select?: Select): Promise<ModelTensors> {
  const source = resolve(directory);
  const single = join(source, SINGLE_FILE);
  if (await isThere(single)) return whole(single, [single]);
  const index = join(source, INDEX_FILE);
  if (await isThere(index)) return readShards(index, select);
  const numbered = numberedShards(await readdir(source).catch(() => []));
  if (numbered.length === 0) {
    throw new Error(
      `${source}: holds neither ${SINGLE_FILE} nor ${INDEX_FILE}${insteadOfWeights(source)}`,
    );
  }
  const files = numbered.map((shard) => join(source, shard));
  return whole(source, files, select);
}

/**
 * The names of all files of a numbered set, of which at least one is among `names`; none where no
 * name is numbered, or sets mix.
 */
export function numberedShards(names: readonly string[]): string[] {
  const counts = new Set(names.flatMap((name) => NUMBERED.exec(name)?.[2] ?? []));
  const [count] = counts;
  if (count === undefined || counts.size > 1) return [];
  return Array.from({ length: Number(count) }, (_, i) => shardName(i + 1, Number(count)));
}

/** The name of one file of a numbered set, the first being 1. */
export function shardName(number: number, count: number): string {
  const digits = (n: number) => String(n).padStart(5, "0");
  return `model-${digits(number)}-of-${digits(count)}.safetensors`;
}

async function whole(
  source: string,
  files: readonly string[],
  select?: Select,
): Promise<ModelTensors> {
  const tensors = new Map<string, TensorEntry>();
  const again = new Map<string, string>();
  for (const file of files) {
    for (const [name, entry] of await readHeader(file)) {
      if (tensors.has(name)) again.set(name, file);
      else tensors.set(name, entry);
    }
  }
  for (const name of select ? select((name) => tensors.has(name)) : tensors.keys()) {
    const file = again.get(name);
    if (file === undefined) continue;
    throw new Error(
      `${file}: holds tensor ${name}, expected it in ${tensors.get(name)?.file} alone`,
    );
  }
  return { source, tensors, names: [...tensors.keys()] };
}

async function readShards(source: string, select: Select | undefined): Promise<ModelTensors> {
  const { shards, names } = readIndex(source, select);
  const tensors = new Map<string, TensorEntry>();
  for (const [shard, held] of shards) {
    const file = resolve(source, "..", shard);
    const header = await readHeader(file);
    for (const name of held) {
      const entry = header.get(name);
      if (!entry) {
        throw new Error(`${file}: has no tensor ${name}, expected it here by ${INDEX_FILE}`);
      }
      tensors.set(name, entry);
    }
  }
  return { source, tensors, names };
}

interface WeightIndex {
  /** The selected tensors of each shard that holds some. */
  shards: Map<string, string[]>;
  /** All tensors that it names. */
  names: string[];
}

/**
 * What an index says.
 *
 * @param select as for `readTensors`
 * @throws Error naming the file, the tensor and what was expected
 */
export function readIndex(path: string, select?: Select): WeightIndex {
  const json = readJsonFile(path, MAX_INDEX_BYTES);
  const parsed = indexSchema.safeParse(json);
  if (!parsed.success) {
    throw new Error(`${path}: is ${show(json)}, expected a weight_map from tensor to file names`);
  }
  const weightMap = new Map(Object.entries(parsed.data.weight_map));
  const shards = new Map<string, string[]>();
  for (const name of select ? select((name) => weightMap.has(name)) : weightMap.keys()) {
    const shard = weightMap.get(name);
    if (
      typeof shard !== "string" ||
      shard !== basename(shard) ||
      shard.includes("\\") ||
      !shard.endsWith(".safetensors")
    ) {
      throw new Error(
        `${path}: tensor ${name} lies in ${show(shard)}, expected the name of a .safetensors file beside it`,
      );
    }
    const held = shards.get(shard);
    if (held) held.push(name);
    else shards.set(shard, [name]);
  }
  return { shards, names: [...weightMap.keys()] };
}

/**
 * Reads and checks the header of one file.
 *
 * @throws Error as `readTensors`
 */
async function readHeader(file: string): Promise<Map<string, TensorEntry>> {
  const path = resolve(file);
  const { handle, size } = await openFile(path).catch(async (cause) => {
    // A link is there, whatever it leads to.
    if (cause.code !== "ENOENT" || (await isThere(path))) throw cause;
    throw new Error(`${path}: is missing, expected a safetensors file`, { cause });
  });
  try {
    const header = await readHeaderBytes(handle, path, size);
    const json = parseJson(header, `${path}: its header`);
    if (typeof json !== "object" || json === null || Array.isArray(json)) {
      throw new Error(`${path}: its header is ${show(json)}, expected a JSON object`);
    }
    const start = 8 + header.length;
    const tensors = new Map<string, TensorEntry>();
    for (const [name, value] of Object.entries(json)) {
      if (name === "__metadata__") continue;
      if (name.length > MAX_NAME) {
        throw new Error(
          `${path}: a tensor's name has ${name.length} characters, expected at most ${MAX_NAME}`,
        );
      }
      tensors.set(name, locate(value, { name, path, start, size }));
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
  const beginning = Buffer.alloc(100);
  await handle.read(beginning, 0, beginning.length, 0);
  refuseLfsPointer(beginning, `${path}:`);
  const length = beginning.readBigUInt64LE();
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
  // Of types that are not known, those of a later version of the format, the extent is believed.
  const expected = itemBytes
    ? shape.reduce((product, extent) => product * extent, itemBytes)
    : Math.max(end - begin, 0);
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

/** Also a pipe, a device, a link that leads nowhere: whoever opens it says so. */
async function isThere(path: string): Promise<boolean> {
  return lstat(path).then(
    (info) => !info.isDirectory(),
    () => false,
  );
}
