/** The open database file: its lock, its journal, whether it is still in its place, and statements. */
import { isUtf8 } from "node:buffer";
import { closeSync, existsSync, realpathSync, statfsSync, statSync } from "node:fs";
import { basename } from "node:path";
import Sqlite from "libsql";
import { asDataFolderError, DataFolderError, FolderInUseError, RESTORE } from "./faults.ts";
import { assertReads, inspectJournal, journalOf, missingFile } from "./journal.ts";

/** Room that a disk must have before a store that did not work is said to work again. */
const LEAST_FREE_BYTES = 64 * 1024;

type PageSize = { readonly page_size: number };
/** A text as its bytes. */
type Said = { readonly bytes: Uint8Array };

export class Connection {
  readonly #db: Sqlite.Database;
  readonly #statements = new Map<string, Sqlite.Statement<unknown[]>>();
  readonly #path: string;
  /** The file beside SQLite's own, from `assertReads`. */
  #read: number | null;
  /** Device and inode of the database and its journal. */
  #files = "";
  /** Their sizes: they grow, and never shrink while they are open. */
  #sizes: number[] = [];
  /** What was found lost when it was opened, in a line each. */
  readonly notices: readonly string[];

  /**
   * Opens the file, or makes it, and locks it as long as it is open: the lock is the operating
   * system's and ends with the process, whatever ends that.
   *
   * @throws DataFolderError when another process has it, the disk is full, or it is damaged
   */
  constructor(named: string) {
    // SQLite has the journal beside the file itself, wherever links to it stand.
    const path = existsSync(named) ? realpathSync(named) : named;
    this.#path = path;
    this.#read = assertReads(path);
    let opened: Sqlite.Database | null = null;
    try {
      const notices: string[] = [];
      // Before SQLite opens the files: when it closes them it removes the journal, read or not.
      const cutOff = noticeOfJournal(path);
      if (cutOff) notices.push(cutOff);
      const missing = missingFile(path);
      if (missing === "database") {
        throw new DataFolderError(
          `${this.file} is missing or empty, but its journal ${this.file}-wal is there`,
          "put a backup in its place and remove the journal, or move both away to begin anew",
        );
      }
      if (missing === "journal") notices.push(`${this.file}-wal was missing: what it held is lost`);
      this.notices = notices;
      opened = new Sqlite(path);
      this.#db = opened;
      this.#db.pragma("locking_mode = EXCLUSIVE");
      this.#db.pragma("journal_mode = WAL");
      this.#db.pragma("synchronous = FULL");
      this.#db.exec("BEGIN EXCLUSIVE; COMMIT");
      this.#db.pragma("wal_checkpoint"); // a page that was half written comes whole from the journal
      this.#check();
    } catch (error) {
      opened?.close();
      const refusal = asDataFolderError(error, this.file);
      // Whoever has it may be in this process, and would lose his lock.
      if (!(refusal instanceof FolderInUseError)) this.#closeRead();
      throw refusal;
    }
  }

  /** The database's name in its folder. */
  get file(): string {
    return basename(this.#path);
  }

  /** @throws DataFolderError when something of the database is not as SQLite has written it */
  #check(): void {
    const damaged = (detail: string) =>
      new DataFolderError(`${this.file} is damaged (${detail})`, RESTORE);
    const { size } = statSync(this.#path);
    const [{ page_size } = { page_size: 1 }] = this.#db.pragma("page_size") as PageSize[];
    // SQLite takes what is missing of the last page for zeros.
    if (size % page_size !== 0) throw damaged(`its end is cut off, after ${size} bytes`);
    // What is no UTF-8 ends the process where it is read as a text, and so do names of columns.
    const names = this.all<Said>(
      "SELECT CAST(type || name || tbl_name || coalesce(sql, '') AS BLOB) AS bytes FROM sqlite_schema",
    );
    for (const { bytes } of names) if (!isUtf8(bytes)) throw damaged("a table's name is not UTF-8");
    // Indexes hold copies of texts, which a quick check does not compare.
    const check = "SELECT CAST(integrity_check AS BLOB) AS bytes FROM pragma_integrity_check(1)";
    const said = Buffer.from(this.get<Said>(check)?.bytes ?? []).toString();
    if (said !== "ok") throw damaged(said.trim().replaceAll(/\s*\n\s*/g, "; "));
  }

  #look(): { identity: string; sizes: number[] } {
    const files = [this.#path, journalOf(this.#path)].map((file) =>
      statSync(file, { throwIfNoEntry: false }),
    );
    return {
      identity: files.map((stat) => `${stat?.dev}:${stat?.ino}`).join(" "),
      sizes: files.map((stat) => stat?.size ?? 0),
    };
  }

  /** Remembers which files it has. To be called after the first write, which makes the journal. */
  markPlace(): void {
    const { identity, sizes } = this.#look();
    this.#files = identity;
    this.#sizes = sizes;
  }

  /**
   * Whether what is stored now could be found later.
   *
   * @throws Error when the files were removed or cut, or others are in their place
   */
  assertInPlace(): void {
    const { identity, sizes } = this.#look();
    if (identity !== this.#files) {
      throw new Error(`${this.#path} was removed or replaced while the node ran; start it again`);
    }
    if (sizes.some((size, i) => size < (this.#sizes[i] ?? 0))) {
      throw new Error(
        `${this.#path} or its journal was cut while the node ran; stop it and put a backup in its place`,
      );
    }
    this.#sizes = sizes;
  }

  /** @throws Error when the disk has next to no room */
  assertRoom(): void {
    const { blocks, bavail, bfree, bsize } = statfsSync(this.#path);
    const free = (process.getuid?.() === 0 ? bfree : bavail) * bsize;
    // A small write may find room in the journal where the next one does not. Some file systems do
    // not say how large they are.
    if (blocks > 0 && free < LEAST_FREE_BYTES) throw new Error("the disk is full");
  }

  /** Everything inside happens, or nothing. */
  transaction<T>(action: () => T): T {
    this.run("BEGIN");
    try {
      const result = action();
      this.run("COMMIT");
      return result;
    } catch (error) {
      if (this.#db.inTransaction) this.run("ROLLBACK");
      throw error;
    }
  }

  /** Runs several statements, which have no values. */
  execute(sql: string): void {
    this.#db.exec(sql);
  }

  /** The statement, prepared once. */
  statement(sql: string): Sqlite.Statement<unknown[]> {
    let statement = this.#statements.get(sql);
    if (!statement) {
      statement = this.#db.prepare(sql);
      this.#statements.set(sql, statement);
    }
    return statement;
  }

  run(sql: string, ...values: unknown[]): Sqlite.RunResult {
    return this.statement(sql).run(...values);
  }

  get<T>(sql: string, ...values: unknown[]): T | undefined {
    return this.statement(sql).get(...values) as T | undefined;
  }

  all<T>(sql: string, ...values: unknown[]): T[] {
    return this.statement(sql).all(...values) as T[];
  }

  /** Row by row: all of them together could be more than fits into memory. */
  each<T>(sql: string, ...values: unknown[]): IterableIterator<T> {
    return this.statement(sql).iterate(...values) as IterableIterator<T>;
  }

  /** Lets go of the file and of its lock, whether it could be used or not. */
  close(): void {
    try {
      this.#statements.clear();
      // Leaving WAL folds the log into the file; only then can the lock be dropped at once, instead
      // of whenever the last statement is collected.
      this.#db.pragma("journal_mode = DELETE");
      this.#db.pragma("locking_mode = NORMAL");
      this.#db.exec("BEGIN; SELECT count(*) FROM rounds; COMMIT");
    } catch {
      // The disk is full, or the files are gone: what was promised is in the journal, or lost.
    }
    this.#db.close();
    this.#closeRead();
  }

  #closeRead(): void {
    if (this.#read !== null) closeSync(this.#read);
    this.#read = null;
  }
}

/** What was lost of the journal; null where it is whole. */
function noticeOfJournal(path: string): string | null {
  const journal = inspectJournal(path);
  if (journal.state === "whole") return null;
  const file = basename(journalOf(path));
  if (journal.state === "damaged") {
    throw new DataFolderError(
      `${file} is damaged (${journal.detail})`,
      "put a backup in the database's place and remove this file, or only move this file away: " +
        "what it held is lost then",
    );
  }
  return `${file} is cut off (${journal.detail}): what was stored last may be lost`;
}
