/**
 * Whether the journal beside a database can be read. SQLite goes by the first frame that it cannot
 * read and drops the rest without a word, and without any journal it takes the database as it is:
 * right after a power cut, a loss of finds where a disk has damaged the file.
 *
 * https://www.sqlite.org/fileformat2.html#the_write_ahead_log
 */
import { closeSync, existsSync, fstatSync, openSync, readSync, statSync } from "node:fs";
import { basename } from "node:path";
import { DataFolderError } from "./faults.ts";

type Journal =
  | { state: "whole" }
  /** It ends in what may have been under way when the machine went down. */
  | { state: "cut"; detail: string }
  /** Something that had been stored cannot be read. */
  | { state: "damaged"; detail: string };

const HEADER_BYTES = 32;
const FRAME_HEADER_BYTES = 24;
const MAGIC = 0x377f0682;
/** Byte of the database's header that says whether a journal belongs to it. */
const VERSION_OFFSET = 18;
const USES_JOURNAL = 2;

export function journalOf(database: string): string {
  return `${database}-wal`;
}

/** To be asked before SQLite opens the database: it removes what it cannot read when it closes it. */
export function inspectJournal(database: string): Journal {
  if (sizeOf(journalOf(database)) === 0) return { state: "whole" };
  const file = openSync(journalOf(database), "r");
  try {
    const journal = new JournalFile(file);
    if (journal.holdsNothing()) return { state: "cut", detail: "it holds nothing" };
    const header = readHeader(journal.read(0, HEADER_BYTES));
    if (!header) return { state: "damaged", detail: "its header cannot be read" };
    return inspectFrames(journal, header);
  } finally {
    closeSync(file);
  }
}

/** Read piece by piece: after one large change it is larger than what Node reads at once. */
class JournalFile {
  /** Bytes. */
  readonly length: number;
  readonly #file: number;

  constructor(file: number) {
    this.#file = file;
    this.length = fstatSync(file).size;
  }

  /** Fewer bytes where it ends before. */
  read(begin: number, length: number): Buffer {
    const bytes = Buffer.alloc(length);
    return bytes.subarray(0, readSync(this.#file, bytes, 0, length, begin));
  }

  holdsNothing(): boolean {
    const zeros = Buffer.alloc(2 ** 20);
    for (let at = 0; at < this.length; at += zeros.length) {
      const piece = this.read(at, zeros.length);
      if (!piece.equals(zeros.subarray(0, piece.length))) return false;
    }
    return true;
  }
}

/**
 * What of the two files is missing although the other says that it was there; a database that is empty
 * is, too. An empty journal is what a start leaves that ended before it wrote anything. To be asked
 * before SQLite opens the database: it would remove a journal without one, and this opens and closes
 * the file, which would end the locks of this process on it.
 */
export function missingFile(database: string): "database" | "journal" | null {
  const journal = journalOf(database);
  if (sizeOf(database) === 0) return sizeOf(journal) > 0 ? "database" : null;
  return !existsSync(journal) && usesJournal(database) ? "journal" : null;
}

/**
 * Reads the database and its journal once. libsql takes a read that fails for a page that is damaged, or
 * for the journal's end, and removes the journal then. To be asked before it opens them.
 *
 * @returns the database, open; null where there is none. To be closed after SQLite has closed it: that
 *   ends all locks of this process on it, those of another connection too
 * @throws DataFolderError that names the file of which something cannot be read
 */
export function assertReads(database: string): number | null {
  const journal = journalOf(database);
  if (existsSync(journal)) closeSync(readThrough(journal));
  return existsSync(database) ? readThrough(database) : null;
}

function readThrough(path: string): number {
  const piece = Buffer.alloc(2 ** 20);
  const file = openSync(path, "r");
  try {
    while (readSync(file, piece) > 0);
  } catch (error) {
    closeSync(file);
    throw new DataFolderError(
      `${basename(path)} cannot be read (${(error as Error).message})`,
      "put a backup on another disk (proofmill restore), or choose another folder with --data-dir",
    );
  }
  return file;
}

function sizeOf(file: string): number {
  return statSync(file, { throwIfNoEntry: false })?.size ?? 0;
}

function usesJournal(database: string): boolean {
  const version = Buffer.alloc(1);
  const file = openSync(database, "r");
  try {
    return readSync(file, version, 0, 1, VERSION_OFFSET) === 1 && version[0] === USES_JOURNAL;
  } finally {
    closeSync(file);
  }
}

interface Header {
  readonly pageSize: number;
  /** What frames of this journal bear; those of an earlier one that it overwrites bear another. */
  readonly salt: Buffer;
  readonly sum: Checksum;
}

function readHeader(bytes: Buffer): Header | null {
  if (bytes.length < HEADER_BYTES) return null; // it ends before
  const magic = bytes.readUInt32BE(0);
  if (magic !== MAGIC && magic !== MAGIC + 1) return null;
  const pageSize = bytes.readUInt32BE(8);
  if (pageSize < 512 || pageSize > 65_536) return null;
  const sum = new Checksum(magic === MAGIC + 1);
  sum.add(bytes.subarray(0, 24));
  return sum.is(bytes.subarray(24, 32)) ? { pageSize, salt: bytes.subarray(16, 24), sum } : null;
}

function inspectFrames(journal: JournalFile, { pageSize, salt, sum }: Header): Journal {
  const size = FRAME_HEADER_BYTES + pageSize;
  const count = Math.floor((journal.length - HEADER_BYTES) / size);
  const frameAt = (i: number, length = size) => journal.read(HEADER_BYTES + i * size, length);
  /** First frame that cannot be read. */
  let bad: number | null = null;
  for (let i = 0; i < count; i++) {
    const frame = frameAt(i);
    const isOurs = saltOf(frame).equals(salt);
    if (bad !== null) {
      if (isOurs && followsCommit(frameAt(i - 1), frame, sum)) {
        return { state: "damaged", detail: `frame ${bad + 1} of ${count} cannot be read` };
      }
    } else if (!isOurs) {
      // The frames of an earlier journal; where some of this one follow, its own header is damaged.
      const isOfThis = (at: number) => saltOf(frameAt(at, FRAME_HEADER_BYTES)).equals(salt);
      let next = i + 1;
      while (next < count && !isOfThis(next)) next++;
      if (next >= count) return { state: "whole" };
      bad = i;
    } else {
      sum.add(frame.subarray(0, 8));
      sum.add(frame.subarray(FRAME_HEADER_BYTES));
      if (!sum.is(sumOf(frame))) bad = i;
    }
  }
  const isWhole = bad === null && HEADER_BYTES + count * size === journal.length;
  return isWhole ? { state: "whole" } : { state: "cut", detail: "its end cannot be read" };
}

const saltOf = (frame: Buffer) => frame.subarray(8, 16);
const sumOf = (frame: Buffer) => frame.subarray(16, 24);

/**
 * Whether a frame was written after a commit that succeeded: what is bad before both was stored. What a
 * full disk refused is written over from its first frame on, so that its other frames may still be there,
 * a commit among them; but nothing was ever written after that.
 */
function followsCommit(before: Buffer, frame: Buffer, like: Checksum): boolean {
  if (!saltOf(before).equals(saltOf(frame)) || before.readUInt32BE(4) === 0) return false;
  const sum = like.from(sumOf(before));
  sum.add(frame.subarray(0, 8));
  sum.add(frame.subarray(FRAME_HEADER_BYTES));
  return sum.is(sumOf(frame));
}

/** Of everything so far; frames are chained. */
class Checksum {
  readonly #isBigEndian: boolean;
  #a = 0;
  #b = 0;

  constructor(isBigEndian: boolean) {
    this.#isBigEndian = isBigEndian;
  }

  /** Another that goes on from this sum. */
  from(sum: Buffer): Checksum {
    const other = new Checksum(this.#isBigEndian);
    other.#a = sum.readUInt32BE(0);
    other.#b = sum.readUInt32BE(4);
    return other;
  }

  add(bytes: Buffer): void {
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    const isLittle = !this.#isBigEndian;
    for (let i = 0; i < bytes.length; i += 8) {
      this.#a = (this.#a + view.getUint32(i, isLittle) + this.#b) >>> 0;
      this.#b = (this.#b + view.getUint32(i + 4, isLittle) + this.#a) >>> 0;
    }
  }

  is(sum: Buffer): boolean {
    return sum.readUInt32BE(0) === this.#a && sum.readUInt32BE(4) === this.#b;
  }
}
