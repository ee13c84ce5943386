/**
 * Whether blobs of the cache are what their names say: another tool, a full disk or a bad one may have
 * left them cut or changed. What was found right is remembered, until the file changes.
 */
import { createHash, type Hash } from "node:crypto";
import { renameSync, statSync, writeFileSync } from "node:fs";
import { type FileHandle, open } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { readBounded } from "@proofmill/native/model/json-file";
import { makeFolder } from "../platform/folders.ts";

const FILE = "checked-blobs.json";
const MAX_FILE_BYTES = 1 << 20;
/** More are forgotten, oldest first. */
const MAX_BLOBS = 1000;
const READ_BYTES = 1 << 20;

/** The hash that a name states: SHA-256 of the content, or git's SHA-1. */
const HASH = /^([0-9a-f]{64}|[0-9a-f]{40})$/;

export class BlobChecks {
  readonly #file: string | null;
  /** Path of a blob → its inode and times when it was right. */
  readonly #right: Map<string, string>;

  /** @param folder where to remember; null: nowhere */
  constructor(folder: string | null) {
    this.#file = folder && join(folder, FILE);
    this.#right = new Map(this.#file ? readEntries(this.#file) : []);
  }

  /** Whether its content would have to be read. */
  isKnown(blob: string): boolean {
    return this.#right.get(blob) === stampOf(blob);
  }

  /**
   * Whether the content is what the name says. A name that is no hash is believed.
   *
   * @throws Error of the file system
   */
  async isRight(blob: string, signal: AbortSignal): Promise<boolean> {
    if (!HASH.test(basename(blob)) || this.isKnown(blob)) return true;
    const stamp = stampOf(blob);
    if ((await hashOf(blob, signal)) !== basename(blob)) return false;
    if (stamp !== null && stamp === stampOf(blob)) this.#remember(blob, stamp);
    return true;
  }

  /** It has just been written, and its hash was right. */
  add(blob: string): void {
    const stamp = stampOf(blob);
    if (stamp !== null) this.#remember(blob, stamp);
  }

  #remember(blob: string, stamp: string): void {
    this.#right.delete(blob);
    this.#right.set(blob, stamp);
    for (const oldest of this.#right.keys()) {
      if (this.#right.size <= MAX_BLOBS) break;
      this.#right.delete(oldest);
    }
    if (this.#file === null) return;
    try {
      makeFolder(dirname(this.#file), 0o700);
      const made = `${this.#file}.${process.pid}.tmp`;
      writeFileSync(made, JSON.stringify(Object.fromEntries(this.#right)), { mode: 0o600 });
      renameSync(made, this.#file);
    } catch {
      // It will be read again at the next start.
    }
  }
}

function readEntries(file: string): [string, string][] {
  try {
    const entries = Object.entries(JSON.parse(readBounded(file, MAX_FILE_BYTES).toString("utf8")));
    return entries.filter((entry): entry is [string, string] => typeof entry[1] === "string");
  } catch {
    return [];
  }
}

/** Changes whenever the content may have; null where there is no file. */
function stampOf(path: string): string | null {
  const stat = statSync(path, { bigint: true, throwIfNoEntry: false });
  return stat ? [stat.ino, stat.size, stat.mtimeNs, stat.ctimeNs].join(" ") : null;
}

async function hashOf(blob: string, signal: AbortSignal): Promise<string> {
  const handle = await open(blob);
  try {
    const { size } = await handle.stat();
    const hash = newHash({ size, isLarge: basename(blob).length === 64 });
    await hashFile(hash, handle, { size, signal });
    return hash.digest("hex");
  } finally {
    await handle.close();
  }
}

/**
 * Hashes the first `size` bytes of a file, or what there is of them.
 *
 * @returns how many there are
 */
export async function hashFile(
  hash: Hash,
  handle: FileHandle,
  { size, signal }: { size: number; signal: AbortSignal },
): Promise<number> {
  const buffer = Buffer.alloc(READ_BYTES);
  let position = 0;
  while (position < size) {
    signal.throwIfAborted();
    const length = Math.min(READ_BYTES, size - position);
    const { bytesRead } = await handle.read(buffer, 0, length, position);
    if (bytesRead === 0) break;
    hash.update(buffer.subarray(0, bytesRead));
    position += bytesRead;
  }
  return position;
}

/** git hashes a file behind a header with its length. */
export function newHash({ size, isLarge }: { size: number; isLarge: boolean }): Hash {
  return isLarge ? createHash("sha256") : createHash("sha1").update(`blob ${size}\0`);
}
