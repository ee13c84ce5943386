/** Safetensors files: where each tensor lies. Headers only; no weight passes through JavaScript. */
import { type FileHandle, open, readFile, stat } from "node:fs/promises";
import { basename, join } from "node:path";
import { z } from "zod";

/** A tensor inside a file. */
export interface TensorEntry {
  /** As the file spells it: BF16, F16, F32, or one that we cannot use. */
  dtype: string;
  shape: number[];
  file: string;
  /** Bytes from the start of the file. */
  offset: number;
  bytes: number;
}

const INDEX_FILE = "model.safetensors.index.json";
const SINGLE_FILE = "model.safetensors";
/** The format's own limit. */
const MAX_HEADER_BYTES = 100_000_000;

const ITEM_BYTES: Record<string, number> = {
  F64: 8,
  I64: 8,
  U64: 8,
  F32: 4,
  I32: 4,
  U32: 4,
  BF16: 2,
  F16: 2,
  I16: 2,
  U16: 2,
  I8: 1,
  U8: 1,
  BOOL: 1,
  F8_E4M3: 1,
  F8_E5M2: 1,
};

const extent = z.int().min(0);
const headerEntrySchema = z.object({
  dtype: z.string(),
  shape: z.array(extent).max(8),
  data_offsets: z.tuple([extent, extent]),
});
const indexSchema = z.looseObject({ weight_map: z.record(z.string(), z.string()) });

/**
 * The tensors of a model directory: `model.safetensors`, or the shards that
 * `model.safetensors.index.json` names.
 *
 * @throws Error naming file, tensor, what was found and what was expected
 */
export async function readTensors(directory: string): Promise<Map<string, TensorEntry>> {
  const indexPath = join(directory, INDEX_FILE);
  if (!(await exists(indexPath))) {
    const single = join(directory, SINGLE_FILE);
    if (!(await exists(single))) {
      throw new Error(`${directory}: holds neither ${SINGLE_FILE} nor ${INDEX_FILE}`);
    }
    return readHeader(single);
  }
  const weightMap = await readIndex(indexPath);
  const shards = new Map<string, Map<string, TensorEntry>>();
  for (const shard of new Set(weightMap.values())) {
    shards.set(shard, await readHeader(join(directory, shard)));
  }
  const tensors = new Map<string, TensorEntry>();
  for (const [name, shard] of weightMap) {
    const entry = shards.get(shard)?.get(name);
    if (!entry) {
      throw new Error(
        `${join(directory, shard)}: has no tensor ${name}, where ${INDEX_FILE} puts it`,
      );
    }
    tensors.set(name, entry);
  }
  return tensors;
}

async function readIndex(path: string): Promise<Map<string, string>> {
  const parsed = indexSchema.safeParse(parseJson(await readFile(path, "utf8"), path));
  if (!parsed.success) throw new Error(`${path}: expected a weight_map of tensor to file names`);
  const weightMap = new Map(Object.entries(parsed.data.weight_map));
  for (const [name, shard] of weightMap) {
    if (shard !== basename(shard) || shard.includes("\\") || !shard.endsWith(".safetensors")) {
      throw new Error(
        `${path}: tensor ${name} lies in ${JSON.stringify(shard)}, expected a .safetensors file beside it`,
      );
    }
  }
  return weightMap;
}

/** Reads and checks the header of one file. */
export async function readHeader(path: string): Promise<Map<string, TensorEntry>> {
  let file: FileHandle;
  try {
    file = await open(path, "r");
  } catch (cause) {
    throw new Error(`${path}: cannot be opened: ${(cause as Error).message}`, { cause });
  }
  try {
    const { size } = await file.stat();
    const header = await readHeaderText(file, path, size);
    const json = parseJson(header, path);
    if (typeof json !== "object" || json === null || Array.isArray(json)) {
      throw new Error(`${path}: its header is not a JSON object`);
    }
    const start = 8 + Buffer.byteLength(header);
    const tensors = new Map<string, TensorEntry>();
    for (const [name, value] of Object.entries(json)) {
      if (name !== "__metadata__") tensors.set(name, locate(value, { name, path, start, size }));
    }
    refuseOverlaps(tensors, path);
    return tensors;
  } finally {
    await file.close();
  }
}

async function readHeaderText(file: FileHandle, path: string, size: number): Promise<string> {
  const prefix = Buffer.alloc(8);
  const { bytesRead } = await file.read(prefix, 0, 8, 0);
  const length = bytesRead === 8 ? prefix.readBigUInt64LE() : 0n;
  if (bytesRead < 8 || length > BigInt(Math.min(size - 8, MAX_HEADER_BYTES))) {
    throw new Error(
      `${path}: is truncated or no safetensors file: a header of ${length} bytes does not fit its ${size} bytes`,
    );
  }
  const header = Buffer.alloc(Number(length));
  const read = await file.read(header, 0, header.length, 8);
  if (read.bytesRead < header.length) throw new Error(`${path}: is truncated inside its header`);
  return new TextDecoder("utf-8", { ignoreBOM: true, fatal: true }).decode(header);
}

function locate(
  value: unknown,
  at: { name: string; path: string; start: number; size: number },
): TensorEntry {
  const { name, path, start, size } = at;
  const parsed = headerEntrySchema.safeParse(value);
  if (!parsed.success) {
    throw new Error(
      `${path}: tensor ${name}: its header entry is malformed, expected dtype, shape and data_offsets`,
    );
  }
  const { dtype, shape } = parsed.data;
  const [begin, end] = parsed.data.data_offsets;
  const itemBytes = ITEM_BYTES[dtype];
  if (itemBytes === undefined) {
    throw new Error(`${path}: tensor ${name}: dtype ${dtype} is unknown`);
  }
  const expected = shape.reduce((product, extent) => product * extent, itemBytes);
  if (!Number.isSafeInteger(expected) || end - begin !== expected) {
    throw new Error(
      `${path}: tensor ${name}: data_offsets [${begin}, ${end}] hold ${end - begin} bytes, expected ${expected} for ${dtype} [${shape.join(", ")}]`,
    );
  }
  if (start + end > size) {
    throw new Error(
      `${path}: tensor ${name}: ends at byte ${start + end}, past the end of the file at ${size}: it is truncated`,
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
      throw new Error(`${path}: tensors ${previous[0]} and ${name} overlap`);
    }
  }
}

function parseJson(text: string, path: string): unknown {
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new Error(`${path}: is not JSON where JSON is expected: ${(cause as Error).message}`, {
      cause,
    });
  }
}

async function exists(path: string): Promise<boolean> {
  return stat(path).then(
    (info) => info.isFile(),
    () => false,
  );
}
