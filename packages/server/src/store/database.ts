/** The node's database: rounds, finds and what is due for delivery. Synchronous; one thread owns it. */
import { statfsSync, statSync } from "node:fs";
import { basename } from "node:path";
import {
  type DueVerdict,
  type GeneratedBatch,
  InitRequest,
  KEPT_ROUNDS,
  type RoundProgress,
  type RoundRecord,
  type StoredRound,
} from "@proofmill/core";
import Sqlite from "libsql";
import type { Delivery, NextDelivery } from "../callbacks/outbox.ts";
import { inspectJournal, journalOf, missingFile } from "./journal.ts";

/**
 * What makes a database of version n + 1 from one of version n; a new one climbs all of them. What
 * stands here has been used and is not changed any more: a new version adds a rung.
 *
 * A round's finds are due in their order, so `delivered` tells all: those before it are acknowledged
 * or given up. Verdicts are due as they came.
 */
const MIGRATIONS = [
  `
  CREATE TABLE rounds (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    round_id TEXT NOT NULL UNIQUE,
    config TEXT NOT NULL,
    callback_url TEXT,
    position INTEGER NOT NULL DEFAULT 0,
    total_nonfinite INTEGER NOT NULL DEFAULT 0,
    elapsed_seconds REAL NOT NULL DEFAULT 0,
    generating_seconds REAL NOT NULL DEFAULT 0,
    found INTEGER NOT NULL DEFAULT 0,
    delivered INTEGER NOT NULL DEFAULT 0
  ) STRICT;
  CREATE TABLE finds (
    round INTEGER NOT NULL REFERENCES rounds (number),
    place INTEGER NOT NULL,
    nonce INTEGER NOT NULL,
    distance REAL NOT NULL,
    arithmetic INTEGER NOT NULL REFERENCES arithmetics (id),
    found_at INTEGER NOT NULL,
    PRIMARY KEY (round, place)
  ) STRICT, WITHOUT ROWID;
  CREATE TABLE arithmetics (id INTEGER PRIMARY KEY, tag TEXT NOT NULL UNIQUE) STRICT;
  CREATE TABLE verdicts (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    callback_url TEXT NOT NULL,
    body TEXT NOT NULL,
    judged_at INTEGER NOT NULL
  ) STRICT;
  CREATE INDEX rounds_due ON rounds (callback_url, number) WHERE delivered < found;
  CREATE INDEX verdicts_due ON verdicts (callback_url, id);
`,
  // Times were milliseconds since 1970; now they are milliseconds that nodes of this folder were up,
  // which no clock that is set can change. How old a find was nobody can know: it is new again.
  `
  CREATE TABLE uptime (milliseconds INTEGER NOT NULL) STRICT;
  INSERT INTO uptime VALUES (0);
  UPDATE finds SET found_at = 0;
  UPDATE verdicts SET judged_at = 0;
`,
];

interface RoundRow {
  number: number;
  round_id: string;
  config: string;
  callback_url: string | null;
  position: number;
  total_nonfinite: number;
  elapsed_seconds: number;
  generating_seconds: number;
  found: number;
  delivered: number;
}

/** What its finds say of a round. */
interface FindsOfRound {
  stored: number;
  last: number | null;
  least: number | null;
  greatest: number | null;
}

interface FindRow {
  nonce: number;
  distance: number;
  arithmetic: number;
}

/** Why a data folder cannot be used. */
export class DataFolderError extends Error {
  override readonly name = "DataFolderError";
  /** What to do about it. */
  readonly remedy: string;

  constructor(message: string, remedy = "choose another with --data-dir") {
    super(message);
    this.remedy = remedy;
  }
}

/** Room that a disk must have before a store that did not work is said to work again. */
const LEAST_FREE_BYTES = 64 * 1024;
/** A thousand years; no node was up for longer. */
const MAX_UPTIME_MS = 1000 * 366 * 24 * 3_600_000;
const RESTORE =
  "put a backup in its place, with no journal (-wal) beside it, or move it away to begin anew";

export class NodeDatabase {
  readonly #db: Sqlite.Database;
  readonly #now: () => number;
  /** What is added to `now` to get the milliseconds that nodes of this folder were up. */
  readonly #upBefore: number;
  readonly #statements = new Map<string, Sqlite.Statement<unknown[]>>();
  readonly #path: string;
  /** Device and inode of the database and its journal. */
  #files: string;
  /** Their sizes: they grow, and never shrink while they are open. */
  #sizes: number[];
  /** Numbers of the rounds that are left out. */
  readonly #unreadable = new Set<number>();
  /** What the one who opened it should know: each says what has been lost. */
  readonly notices: string[] = [];

  /**
   * Opens the file, or makes it, and locks it as long as it is open: the lock is the operating
   * system's and ends with the process, whatever ends that.
   *
   * @param now milliseconds of a clock that runs evenly and is never set
   * @throws DataFolderError when another process has it, a newer proofmill wrote it, the disk is
   *   full, or one of its files is damaged
   */
  constructor(path: string, now: () => number = () => performance.now()) {
    this.#now = now;
    this.#path = path;
    const file = basename(path);
    // Before SQLite opens the files: when it closes them it removes the journal, read or not.
    this.#inspectJournal();
    const missing = missingFile(path);
    if (missing === "database") {
      throw new DataFolderError(
        `${file} is missing or empty, but its journal ${file}-wal is there`,
        "put a backup in its place and remove the journal, or move both away to begin anew",
      );
    }
    let opened: Sqlite.Database | null = null;
    try {
      opened = new Sqlite(path);
      this.#db = opened;
      this.#db.pragma("locking_mode = EXCLUSIVE");
      this.#db.pragma("journal_mode = WAL");
      this.#db.pragma("synchronous = FULL");
      this.#db.exec("BEGIN EXCLUSIVE; COMMIT");
      this.#check();
      this.#migrate();
      this.#upBefore = this.#storedUptime() - now();
      this.#uptime(); // the first write makes the journal
      ({ identity: this.#files, sizes: this.#sizes } = this.#look());
      this.#leaveOutUnreadable();
    } catch (error) {
      this.#statements.clear();
      opened?.close();
      throw asDataFolderError(error, file);
    }
    if (missing === "journal") {
      this.notices.push(`${file}-wal was missing: what it held is lost`);
    }
  }

  #inspectJournal(): void {
    const journal = inspectJournal(this.#path);
    if (journal.state === "whole") return;
    const file = basename(journalOf(this.#path));
    if (journal.state === "damaged") {
      throw new DataFolderError(
        `${file} is damaged (${journal.detail})`,
        "put a backup in the database's place and remove this file, or only move this file away: " +
          "what it held is lost then",
      );
    }
    this.notices.push(`${file} is cut off (${journal.detail}): what was stored last may be lost`);
  }

  #check(): void {
    const [first] = this.#db.pragma("quick_check(1)") as { quick_check: string }[];
    if (first?.quick_check === "ok") return;
    const detail = first?.quick_check.trim().replaceAll(/\s*\n\s*/g, "; ");
    throw new DataFolderError(`${basename(this.#path)} is damaged (${detail})`, RESTORE);
  }

  /**
   * Rounds of which something cannot be, for a disk or a person has changed it: one of them must not
   * keep the node from starting, nor be searched on or sent.
   */
  #leaveOutUnreadable(): void {
    for (const table of ["arithmetics", "verdicts"]) this.#get(`SELECT 1 FROM ${table} LIMIT 1`);
    const rounds = this.#all<RoundRow & FindsOfRound>(
      `SELECT rounds.*, count(place) AS stored, max(place) AS last, min(nonce) AS least,
       max(nonce) AS greatest FROM rounds LEFT JOIN finds ON round = number GROUP BY number`,
    );
    for (const round of rounds) {
      if (readConfig(round.config) && isConsistent(round)) continue;
      this.#unreadable.add(round.number);
      this.notices.push(
        `round ${round.round_id} cannot be read and is left out: its finds are not sent`,
      );
    }
  }

  #configOf({ number, config }: RoundRow): InitRequest | null {
    return this.#unreadable.has(number) ? null : (JSON.parse(config) as InitRequest);
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

  /**
   * Writes, to see whether writing works.
   *
   * @throws Error when it does not
   */
  probe(): void {
    const { blocks, bavail, bfree, bsize } = statfsSync(this.#path);
    const free = (process.getuid?.() === 0 ? bfree : bavail) * bsize;
    // A small write may find room in the journal where the next one does not. Some file systems do
    // not say how large they are.
    if (blocks > 0 && free < LEAST_FREE_BYTES) throw new Error("the disk is full");
    this.#uptime();
  }

  /** Copies all into an empty file. */
  copyTo(file: string): void {
    this.#run("VACUUM INTO ?", file);
  }

  #migrate(): void {
    const version = this.#get<{ user_version: number }>("PRAGMA user_version")?.user_version ?? 0;
    if (version > MIGRATIONS.length) throw new DataFolderError("a newer proofmill wrote it");
    if (version === MIGRATIONS.length) return;
    this.transaction(() => {
      for (const migration of MIGRATIONS.slice(version)) this.#db.exec(migration);
      this.#db.pragma(`user_version = ${MIGRATIONS.length}`);
    });
  }

  /** Everything inside happens, or nothing. */
  transaction<T>(action: () => T): T {
    this.#run("BEGIN");
    try {
      const result = action();
      this.#run("COMMIT");
      return result;
    } catch (error) {
      if (this.#db.inTransaction) this.#run("ROLLBACK");
      throw error;
    }
  }

  create({ round_id, config }: RoundRecord): void {
    this.#run(
      "INSERT INTO rounds (round_id, config, callback_url) VALUES (?, ?, ?)",
      round_id,
      JSON.stringify(config),
      config.callback_url,
    );
    this.#forgetOldRounds();
  }

  /**
   * As `RoundStore.append`: checks first, so that a refusal leaves nothing behind.
   *
   * @returns the URL for which it made something due, or null
   */
  append(roundId: string, progress: RoundProgress): string | null {
    const round = this.#get<RoundRow>("SELECT * FROM rounds WHERE round_id = ?", roundId);
    if (!round) throw new Error(`round ${roundId} is not kept`);
    if (progress.from > round.position) {
      throw new Error(`progress from ${progress.from}, but only ${round.position} is stored`);
    }
    const { counters } = progress;
    const isNew = progress.from === round.position && counters.position > round.position;
    const nonces = isNew ? progress.nonces : [];
    if (nonces.length > 0) {
      const arithmetic = this.#arithmetic(progress.arithmetic);
      const found_at = this.#uptime();
      const insert = this.#statement("INSERT INTO finds VALUES (?, ?, ?, ?, ?, ?)");
      for (const [i, nonce] of nonces.entries()) {
        const distance = progress.distances[i];
        insert.run(round.number, round.found + i, nonce, distance, arithmetic, found_at);
      }
    }
    this.#run(
      `UPDATE rounds SET position = ?, total_nonfinite = ?, elapsed_seconds = ?,
       generating_seconds = ?, found = ? WHERE number = ?`,
      counters.position,
      counters.total_nonfinite,
      counters.elapsed_seconds,
      counters.generating_seconds,
      round.found + nonces.length,
      round.number,
    );
    return nonces.length > 0 ? round.callback_url : null;
  }

  enqueue({ callback_url, batch }: DueVerdict): void {
    this.#run(
      "INSERT INTO verdicts (callback_url, body, judged_at) VALUES (?, ?, ?)",
      callback_url,
      JSON.stringify(batch),
      this.#uptime(),
    );
  }

  /** Of all rounds that are kept, also of those that only owe something; null when there is none. */
  greatestId(): string | null {
    return this.#get<{ id: string | null }>("SELECT max(round_id) AS id FROM rounds")?.id ?? null;
  }

  /** The last two rounds, oldest first. */
  recent(): StoredRound[] {
    const rounds = this.#all<RoundRow>(
      "SELECT * FROM rounds ORDER BY number DESC LIMIT ?",
      KEPT_ROUNDS,
    );
    return rounds.reverse().flatMap((round) => {
      const config = this.#configOf(round);
      if (!config) return [];
      const finds = this.#all<FindRow>(
        "SELECT nonce, distance FROM finds WHERE round = ? ORDER BY place",
        round.number,
      );
      const { round_id, position, total_nonfinite, elapsed_seconds, generating_seconds } = round;
      return {
        round_id,
        config,
        counters: { position, total_nonfinite, elapsed_seconds, generating_seconds },
        nonces: finds.map(({ nonce }) => nonce),
        distances: finds.map(({ distance }) => distance),
      };
    });
  }

  /** Every URL for which something is due. */
  dueUrls(): string[] {
    return this.#all<{ callback_url: string }>(
      `SELECT callback_url FROM rounds WHERE delivered < found AND callback_url IS NOT NULL
       UNION SELECT callback_url FROM verdicts`,
    ).map(({ callback_url }) => callback_url);
  }

  /** How much is due. */
  pending(): { nonces: number; verdicts: number } {
    return {
      nonces:
        this.#get<{ n: number }>(
          `SELECT coalesce(sum(found - delivered), 0) AS n FROM rounds
           WHERE delivered < found AND callback_url IS NOT NULL`,
        )?.n ?? 0,
      verdicts: this.#get<{ n: number }>("SELECT count(*) AS n FROM verdicts")?.n ?? 0,
    };
  }

  /** What to send next; null when nothing of this kind is due for the URL. */
  next(wanted: NextDelivery): Delivery | null {
    const read = wanted.kind === "generated" ? this.#nextFinds : this.#nextVerdict;
    return read.call(this, wanted) ?? read.call(this, { ...wanted, after: 0 });
  }

  /** The receiver has it. */
  acknowledge({ kind, key, upTo }: Pick<Delivery, "kind" | "key" | "upTo">): void {
    if (kind === "validated") {
      this.#run("DELETE FROM verdicts WHERE id = ?", key);
    } else {
      this.#run("UPDATE rounds SET delivered = max(delivered, ?) WHERE number = ?", upTo, key);
      this.#forgetOldRounds();
    }
  }

  /**
   * Drops from delivery what is older; `status` goes on showing it. An age is time that nodes of this
   * folder were up: one that is killed loses what has passed since the last call.
   *
   * @param maxAge milliseconds since the find
   * @returns how much was given up
   */
  giveUp(maxAge: number): { nonces: number; verdicts: number } {
    const before = this.#uptime() - maxAge;
    let nonces = 0;
    const due = this.#all<RoundRow>(
      "SELECT * FROM rounds WHERE delivered < found AND callback_url IS NOT NULL",
    );
    for (const { number, delivered, found } of due) {
      // Finds are in the order of their times.
      const young = this.#get<{ place: number }>(
        "SELECT place FROM finds WHERE round = ? AND place >= ? AND found_at >= ? ORDER BY place LIMIT 1",
        number,
        delivered,
        before,
      );
      const upTo = young?.place ?? found;
      nonces += upTo - delivered;
      if (upTo > delivered) this.acknowledge({ kind: "generated", key: number, upTo });
    }
    const { changes } = this.#run("DELETE FROM verdicts WHERE judged_at < ?", before);
    return { nonces, verdicts: changes };
  }

  /** Lets go of the file and of its lock. */
  close(): void {
    try {
      this.#uptime();
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
  }

  /**
   * Milliseconds that nodes of this folder were up. It is stored with what is dated by it, so that no
   * time lies ahead when the folder is opened again.
   */
  #uptime(): number {
    const uptime = Math.round(this.#upBefore + this.#now());
    this.#run("UPDATE uptime SET milliseconds = ?", uptime);
    return uptime;
  }

  #storedUptime(): number {
    const uptime = this.#get<{ milliseconds: number }>("SELECT milliseconds FROM uptime");
    const milliseconds = uptime?.milliseconds ?? 0;
    if (milliseconds >= 0 && milliseconds < MAX_UPTIME_MS) return milliseconds;
    const detail = `it was up for ${milliseconds} ms`;
    throw new DataFolderError(`${basename(this.#path)} is damaged (${detail})`, RESTORE);
  }

  #nextFinds(wanted: NextDelivery): Delivery | null {
    const { callback_url, after, maxNonces } = wanted;
    const round = this.#get<RoundRow>(
      `SELECT * FROM rounds WHERE callback_url = ? AND number > ? AND delivered < found
       ORDER BY number LIMIT 1`,
      callback_url,
      after,
    );
    if (!round) return null;
    const rows = this.#all<FindRow>(
      `SELECT nonce, distance, arithmetic FROM finds WHERE round = ? AND place >= ?
       ORDER BY place LIMIT ?`,
      round.number,
      round.delivered,
      maxNonces,
    );
    // One request speaks of one arithmetic.
    const other = rows.findIndex(({ arithmetic }) => arithmetic !== rows[0]?.arithmetic);
    const finds = other < 0 ? rows : rows.slice(0, other);
    const config = this.#configOf(round);
    if (!config) return this.#nextFinds({ ...wanted, after: round.number });
    const { public_key, block_hash, block_height, node_id, r_target } = config;
    const { tag } = this.#get<{ tag: string }>(
      "SELECT tag FROM arithmetics WHERE id = ?",
      finds[0]?.arithmetic,
    ) ?? { tag: "" };
    const batch: GeneratedBatch = {
      public_key,
      block_hash,
      block_height,
      nonces: finds.map(({ nonce }) => nonce),
      dist: finds.map(({ distance }) => distance),
      node_id,
      arithmetic: tag,
      round_id: round.round_id,
      r_target,
    };
    return {
      kind: "generated",
      key: round.number,
      upTo: round.delivered + finds.length,
      count: finds.length,
      body: JSON.stringify(batch),
    };
  }

  #nextVerdict({ callback_url, after }: NextDelivery): Delivery | null {
    const verdict = this.#get<{ id: number; body: string }>(
      "SELECT id, body FROM verdicts WHERE callback_url = ? AND id > ? ORDER BY id LIMIT 1",
      callback_url,
      after,
    );
    if (!verdict) return null;
    return { kind: "validated", key: verdict.id, upTo: 0, count: 1, body: verdict.body };
  }

  /** Rounds that nobody reads any more and that owe nothing to anybody. */
  #forgetOldRounds(): void {
    const old = this.#all<{ number: number }>(
      `SELECT number FROM rounds WHERE (callback_url IS NULL OR delivered = found)
       AND number NOT IN (SELECT number FROM rounds ORDER BY number DESC LIMIT ?)`,
      KEPT_ROUNDS,
    );
    for (const { number } of old) {
      this.#run("DELETE FROM finds WHERE round = ?", number);
      this.#run("DELETE FROM rounds WHERE number = ?", number);
    }
  }

  #arithmetic(tag: string): number {
    this.#run("INSERT OR IGNORE INTO arithmetics (tag) VALUES (?)", tag);
    return this.#get<{ id: number }>("SELECT id FROM arithmetics WHERE tag = ?", tag)?.id ?? 0;
  }

  #statement(sql: string): Sqlite.Statement<unknown[]> {
    let statement = this.#statements.get(sql);
    if (!statement) {
      statement = this.#db.prepare(sql);
      this.#statements.set(sql, statement);
    }
    return statement;
  }

  #run(sql: string, ...values: unknown[]): Sqlite.RunResult {
    return this.#statement(sql).run(...values);
  }

  #get<T>(sql: string, ...values: unknown[]): T | undefined {
    return this.#statement(sql).get(...values) as T | undefined;
  }

  #all<T>(sql: string, ...values: unknown[]): T[] {
    return this.#statement(sql).all(...values) as T[];
  }
}

/** Every default has been filled in when it was stored. */
const StoredConfig = InitRequest({ defaults: { batch_size: 1, seq_len: 1 } });
const FILLED_IN = ["fraud_threshold", "node_id", "node_count", "batch_size", "seq_len"];

/** Null where the text is no round's configuration. */
function readConfig(text: string): InitRequest | null {
  try {
    const config = JSON.parse(text) as InitRequest;
    const { callback_url: url, ...rest } = config;
    // An address that cannot be called keeps nobody from reading the round.
    const isComplete =
      (url === null || typeof url === "string") && FILLED_IN.every((name) => name in rest);
    return isComplete && StoredConfig.safeParse(rest).success ? config : null;
  } catch {
    return null;
  }
}

/** Whether the finds are those that the round counts, and nothing is what it can never be. */
function isConsistent(round: RoundRow & FindsOfRound): boolean {
  const { position, total_nonfinite, elapsed_seconds, generating_seconds, found, delivered } =
    round;
  const counts = [position, total_nonfinite, found, delivered];
  const seconds = [elapsed_seconds, generating_seconds];
  return (
    counts.every((count) => Number.isSafeInteger(count) && count >= 0) &&
    seconds.every((time) => Number.isFinite(time) && time >= 0) &&
    delivered <= found &&
    found <= position &&
    found === round.stored &&
    found === (round.last ?? -1) + 1 &&
    (round.least ?? 0) >= 0 &&
    Number.isSafeInteger(round.greatest ?? 0)
  );
}

function asDataFolderError(error: unknown, file: string): DataFolderError {
  if (error instanceof DataFolderError) return error;
  const { code = "" } = error as { code?: string };
  if (code === "SQLITE_BUSY") {
    const remedy = "stop that node, or choose another with --data-dir";
    return new DataFolderError("another node is using it", remedy);
  }
  if (code === "SQLITE_FULL") {
    return new DataFolderError("the disk is full", "free some, or choose another with --data-dir");
  }
  const reason = explain(error);
  // SQLITE_ERROR: the tables are not those that a version of proofmill makes.
  const isDamaged =
    code.startsWith("SQLITE_CORRUPT") || ["SQLITE_NOTADB", "SQLITE_ERROR"].includes(code);
  return new DataFolderError(`${file}: ${reason}`, isDamaged ? RESTORE : undefined);
}

/** What a fault of the database means to whoever runs the node. */
export function explain(error: unknown): string {
  const { code = "", message } = error as { code?: string; message: string };
  if (code === "SQLITE_FULL") return "the disk is full";
  if (code.startsWith("SQLITE_CORRUPT")) return `the database is damaged (${message})`;
  if (code.startsWith("SQLITE_IOERR")) return `the disk fails (${message})`;
  if (code.startsWith("SQLITE_READONLY")) return `the database cannot be written (${message})`;
  return message;
}
