/**
 * Files of a model as they may lie on anybody's disk: kind and size are looked at before anything is
 * read, depth and number of values before JSON is parsed. Never loads the addon.
 */
import {
  type BigIntStats,
  closeSync,
  constants,
  fstatSync,
  openSync,
  readlinkSync,
  readSync,
  statSync,
} from "node:fs";
import { type FileHandle, open } from "node:fs/promises";

/** Above any config.json: the largest hold tables of labels, or names of modules. */
export const MAX_CONFIG_BYTES = 10_000_000;
/** Above any index; a model of a trillion weights has one of 15 MB. */
export const MAX_INDEX_BYTES = 100_000_000;
/** Six times what the deepest of these files need. */
const MAX_DEPTH = 32;
/** Enough for 250,000 tensors in one header; parsed they take some hundred MiB. */
const MAX_VALUES = 2_000_000;

/**
 * Answers in plain numbers come in an array that Node 20's module loader reads too: after one about
 * a pipe or a socket it resolves no symbolic link any more. Answers in BigInts have another array.
 */
const AS_BIGINT = { bigint: true } as const;
/** Opening a pipe must not wait for whoever writes to it. */
const OPEN_FLAGS = constants.O_RDONLY | (constants.O_NONBLOCK ?? 0);
const LFS_POINTER = /^(?:\xef\xbb\xbf)?version https:\/\/(git-lfs|hawser)\.github\.com\/spec\//;

/**
 * The JSON in a file; a byte-order mark before it is dropped.
 *
 * @throws Error in one line that begins with the path: not there, no regular file, more than
 *   `maxBytes`, a git-lfs pointer, not JSON in UTF-8, nested too deep or of too many values. Its
 *   `code` is the file system's where that refused.
 */
export function readJsonFile(
  path: string,
  maxBytes: number,
  maxValues: number = MAX_VALUES,
): unknown {
  return parseJson(readBounded(path, maxBytes), `${path}:`, maxValues);
}

/**
 * The bytes of a regular file, at most `maxBytes`.
 *
 * @throws Error as `readJsonFile`
 */
export function readBounded(path: string, maxBytes: number): Buffer {
  try {
    fileSize(path, statSync(path, AS_BIGINT));
    const descriptor = openSync(path, OPEN_FLAGS);
    try {
      // Asked again: another file may have taken its place.
      const size = fileSize(path, fstatSync(descriptor, AS_BIGINT));
      if (size > maxBytes) {
        throw new Error(`${path}: has ${size} bytes, expected at most ${maxBytes}`);
      }
      const bytes = Buffer.alloc(size);
      let read = 0;
      for (let part = 1; read < size && part > 0; read += part) {
        part = readSync(descriptor, bytes, read, size - read, read);
      }
      return bytes.subarray(0, read);
    } finally {
      closeSync(descriptor);
    }
  } catch (error) {
    throw explained(error, path);
  }
}

/**
 * Opens a regular file to read.
 *
 * @throws Error as `readJsonFile`
 */
export async function openFile(path: string): Promise<{ handle: FileHandle; size: number }> {
  try {
    fileSize(path, statSync(path, AS_BIGINT));
    const handle = await open(path, OPEN_FLAGS);
    try {
      return { handle, size: fileSize(path, await handle.stat(AS_BIGINT)) };
    } catch (error) {
      await handle.close();
      throw error;
    }
  } catch (error) {
    throw explained(error, path);
  }
}

/**
 * Parses JSON that somebody else wrote.
 *
 * @param what an error's first words: `model/config.json:`
 * @throws Error as `readJsonFile`
 */
export function parseJson(
  bytes: Uint8Array,
  what: string,
  maxValues: number = MAX_VALUES,
): unknown {
  refuseLfsPointer(bytes, what);
  refuseUnbounded(bytes, what, maxValues);
  try {
    return JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
  } catch (cause) {
    // V8 quotes what it stumbled over, with its line breaks.
    const fault = (cause as Error).message.replace(/\s+/g, " ");
    throw new Error(`${what} is not JSON in UTF-8: ${fault}`, { cause });
  }
}

/** @throws Error for what git leaves in a file's place where git-lfs is not installed */
export function refuseLfsPointer(bytes: Uint8Array, what: string): void {
  if (!LFS_POINTER.test(Buffer.from(bytes.subarray(0, 100)).toString("latin1"))) return;
  throw new Error(
    `${what} is a git-lfs pointer, not the file itself; fetch that with "git lfs pull"`,
  );
}

/** Parsing takes many times a text's size where that is all brackets. */
function refuseUnbounded(bytes: Uint8Array, what: string, maxValues: number): void {
  let depth = 0;
  let values = 0;
  let isInString = false;
  for (let i = 0; i < bytes.length; i++) {
    const byte = bytes[i];
    if (byte === 0x22) isInString = !isInString;
    else if (isInString) {
      if (byte === 0x5c) i++; // a backslash and what it escapes
    } else if (byte === 0x5b || byte === 0x7b) {
      depth++;
      values++;
      if (depth > MAX_DEPTH) throw new Error(`${what} nests deeper than ${MAX_DEPTH} levels`);
    } else if (byte === 0x5d || byte === 0x7d) depth--;
    else if (byte === 0x2c) values++;
    if (values > maxValues) throw new Error(`${what} holds more than ${maxValues} values`);
  }
}

/** Bytes of a regular file. */
function fileSize(path: string, info: BigIntStats): number {
  if (info.isFile()) return Number(info.size);
  const kind = info.isDirectory()
    ? "a directory"
    : info.isFIFO()
      ? "a pipe"
      : info.isSocket()
        ? "a socket"
        : "a device";
  throw new Error(`${path}: is ${kind}, expected a regular file`);
}

/** The file system's refusals in one line, with their code. */
function explained(error: unknown, path: string): unknown {
  const { code } = error as NodeJS.ErrnoException;
  if (code === undefined) return error;
  const fault =
    code === "ENOENT"
      ? missing(path)
      : code === "ENOTDIR"
        ? "is not there"
        : code === "EACCES" || code === "EPERM"
          ? `this user may not read it (${code})`
          : `cannot be read: ${code}`;
  return Object.assign(new Error(`${path}: ${fault}`, { cause: error }), { code });
}

function missing(path: string): string {
  try {
    return `is a link to ${readlinkSync(path)}, which is not there`;
  } catch {
    return "is not there";
  }
}
