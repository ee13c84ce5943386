/**
 * One file into the cache, from wherever an earlier attempt got to, and never under its own name
 * before its hash was right.
 *
 * Several nodes may fetch the same file at once, without a lock: each writes the same bytes at the
 * same places, starting no later than where the file then ends, so that it never has holes.
 */
import type { Hash } from "node:crypto";
import { constants } from "node:fs";
import { type FileHandle, open, rename, rm, stat } from "node:fs/promises";
import { dirname } from "node:path";
import { makeFolder } from "../platform/folders.ts";
import { type BlobChecks, hashFile, newHash } from "./checks.ts";
import { type HubFetch, type HubFile, PassingFault, reasonOf } from "./hub.ts";
import { type RetryOptions, retrying } from "./retry.ts";

interface BlobDownload {
  url: string;
  file: HubFile;
  /** Absolute path of the finished blob. */
  blob: string;
  fetch: HubFetch;
  /** Called with the number of bytes that are there; it can fall when an attempt begins anew. */
  onPosition: (bytes: number) => void;
  retry: RetryOptions;
  checks: BlobChecks;
}

/** A connection that brings nothing for so many milliseconds is given up. */
const STALL_MS = 30_000;

/**
 * Downloads a blob unless it is there and right.
 *
 * @throws Error in one line; an attempt that ends so, or with its process, is resumed by the next
 */
export async function downloadBlob(download: BlobDownload): Promise<void> {
  const { blob, file } = download;
  const incomplete = `${blob}.incomplete`;
  if (await isWhole(blob, file.size)) {
    if (await download.checks.isRight(blob, download.retry.signal)) {
      return download.onPosition(file.size);
    }
    await rename(blob, incomplete);
  }
  makeFolder(dirname(blob));
  const first = await fill(incomplete, download);
  if (!first.isRight) {
    await rm(incomplete, { force: true });
    // What lay there before may have been at fault: other tools leave files with holes.
    const second = first.wasResumed ? await fill(incomplete, download) : first;
    if (!second.isRight) {
      await rm(incomplete, { force: true });
      throw new Error(
        `${file.name} from ${new URL(download.url).origin} is not what the hub says it is (its ` +
          "hash is wrong) and was removed; try again, or use another HF_ENDPOINT",
      );
    }
  }
  try {
    await rename(incomplete, blob);
  } catch (error) {
    if (!(await isWhole(blob, file.size))) throw error; // else another node was faster
  }
  download.checks.add(blob);
}

/** Brings the file to its full size. */
async function fill(
  path: string,
  download: BlobDownload,
): Promise<{ isRight: boolean; wasResumed: boolean }> {
  const { file, retry, onPosition } = download;
  const handle = await open(path, constants.O_RDWR | constants.O_CREAT, 0o644);
  try {
    const { size } = await handle.stat();
    if (size > file.size) await handle.truncate(0);
    const writer = new Writer(handle, file);
    if (size <= file.size) await writer.takeUp(size, retry.signal);
    const wasResumed = writer.position > 0;
    onPosition(writer.position);
    await retrying(() => receive(writer, download), { ...retry, progress: () => writer.position });
    await handle.sync();
    return { isRight: writer.digest() === file.hash, wasResumed };
  } finally {
    await handle.close();
  }
}

/** One request for what is missing. */
async function receive(writer: Writer, download: BlobDownload): Promise<void> {
  const { url, file, fetch, onPosition } = download;
  if (writer.position === file.size) return;
  const stall = new AbortController();
  const timer = setTimeout(() => stall.abort(), STALL_MS);
  try {
    const response = await fetch(url, {
      headers: { "accept-encoding": "identity", range: `bytes=${writer.position}-` },
      signal: stall.signal,
    });
    // A server without ranges sends all of it.
    if (response.status !== 206) writer.restart();
    else checkRange(response, writer.position);
    for await (const chunk of chunksOf(response, download.retry.signal)) {
      timer.refresh();
      await writer.write(chunk);
      onPosition(writer.position);
    }
  } finally {
    clearTimeout(timer);
    stall.abort(); // ends a response that is not read to its end
  }
  if (writer.position < file.size) {
    throw new PassingFault(`${new URL(url).origin} broke off ${file.name}`);
  }
}

function checkRange(response: Response, position: number): void {
  const range = response.headers.get("content-range");
  if (range?.startsWith(`bytes ${position}-`)) return;
  throw new Error(`${new URL(response.url).origin} sends another part than asked (${range})`);
}

async function* chunksOf(response: Response, signal: AbortSignal): AsyncGenerator<Uint8Array> {
  const reader = response.body?.getReader();
  while (reader) {
    const { done, value } = await reader.read().catch((error) => {
      signal.throwIfAborted();
      throw new PassingFault(`${new URL(response.url).origin} broke off (${reasonOf(error)})`);
    });
    if (done) return;
    yield value;
  }
}

/** Writes a file from front to back and hashes it on the way. */
class Writer {
  position = 0;
  readonly #handle: FileHandle;
  readonly #file: HubFile;
  #hash: Hash;

  constructor(handle: FileHandle, file: HubFile) {
    this.#handle = handle;
    this.#file = file;
    this.#hash = newHash(file);
  }

  /** Goes on behind the bytes that the file holds. */
  async takeUp(size: number, signal: AbortSignal): Promise<void> {
    this.position = await hashFile(this.#hash, this.#handle, { size, signal });
  }

  restart(): void {
    this.position = 0;
    this.#hash = newHash(this.#file);
  }

  async write(chunk: Uint8Array): Promise<void> {
    if (this.position + chunk.length > this.#file.size) {
      throw new Error(
        `${this.#file.name} is longer than the ${this.#file.size} bytes that the hub says; try again`,
      );
    }
    for (let written = 0; written < chunk.length; ) {
      const { bytesWritten } = await this.#handle.write(
        chunk,
        written,
        chunk.length - written,
        this.position + written,
      );
      written += bytesWritten;
    }
    this.#hash.update(chunk);
    this.position += chunk.length;
  }

  digest(): string {
    return this.#hash.digest("hex");
  }
}

async function isWhole(path: string, size: number): Promise<boolean> {
  return stat(path).then(
    (info) => info.isFile() && info.size === size,
    () => false,
  );
}
