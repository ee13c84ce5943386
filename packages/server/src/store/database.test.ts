import { copyFileSync, mkdtempSync, readFileSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import Sqlite from "libsql";
import { expect, onTestFinished, test, vi } from "vitest";
import { NodeDatabase } from "./database.ts";

const MINUTE = 60_000;
const DAY = 24 * 60 * MINUTE;
const URL_DUE = "http://aggregator:9000/pow";
const ROUND = {
  round_id: "01JH0000000000000000000009",
  scheme: "distance",
  config: {
    ...{ block_hash: "abc123", block_height: 100, public_key: "node1", r_target: 3 },
    ...{ fraud_threshold: 0.01, node_id: 0, node_count: 1, batch_size: 32, seq_len: 256 },
    callback_url: URL_DUE,
  },
};

function temporaryFile(): string {
  const folder = mkdtempSync(join(tmpdir(), "proofmill-"));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  return join(folder, "proofmill.db");
}

/** Finds the nonces from `from` to `position`, all of them valid. */
function find(database: NodeDatabase, from: number, position: number): void {
  const nonces = Array.from({ length: position - from }, (_, i) => from + i);
  database.append(ROUND.round_id, {
    ...{ from, nonces, records: nonces.map(() => 1.25), arithmetic: "cpu-1" },
    counters: {
      position,
      total_nonfinite: 0,
      elapsed_seconds: 1,
      generating_seconds: 1,
      searched_with: null,
    },
  });
}

test("an age is time that nodes were up, over restarts, and the clock may be set as it likes", () => {
  const path = temporaryFile();
  vi.useFakeTimers({ toFake: ["Date"] });
  onTestFinished(() => void vi.useRealTimers());
  let up = 5000; // each process's clock begins where it likes
  const first = new NodeDatabase(path, { now: () => up });
  first.create(ROUND);
  find(first, 0, 2);
  up += 10 * MINUTE;
  find(first, 2, 3);
  for (const step of [30 * DAY, -60 * DAY]) {
    vi.setSystemTime(Date.now() + step);
    expect(first.giveUp(DAY)).toEqual({ nonces: 0, verdicts: 0 });
  }
  up += 5 * MINUTE;
  first.close();
  up = 700;
  const second = new NodeDatabase(path, { now: () => up });
  onTestFinished(() => second.close());
  up += 4 * MINUTE; // of the two 19 minutes, of the third 9
  expect(second.giveUp(19 * MINUTE)).toEqual({ nonces: 0, verdicts: 0 });
  expect(second.giveUp(19 * MINUTE - 1)).toEqual({ nonces: 2, verdicts: 0 });
  expect(second.giveUp(9 * MINUTE)).toEqual({ nonces: 0, verdicts: 0 });
  expect(second.giveUp(9 * MINUTE - 1)).toEqual({ nonces: 1, verdicts: 0 });
});

test("what asks how much is due writes nothing: it is asked when the disk is full", () => {
  const path = temporaryFile();
  let up = 0;
  const database = new NodeDatabase(path, { now: () => up });
  onTestFinished(() => database.close());
  database.create(ROUND);
  find(database, 0, 2);
  up += MINUTE;
  const files = () => [path, `${path}-wal`].map((file) => statSync(file, { bigint: true }).mtimeNs);
  const before = files();
  expect([database.pending(), database.oldestAge()]).toEqual([{ nonces: 2, verdicts: 0 }, MINUTE]);
  database.dueUrls();
  database.next({ kind: "generated", callback_url: URL_DUE, after: 0, maxNonces: 9 });
  database.recent();
  database.jobs();
  expect(files()).toEqual(before);
});

test("no stored time lies ahead, however the process ends", () => {
  const path = temporaryFile();
  let up = 0;
  const database = new NodeDatabase(path, { now: () => up });
  onTestFinished(() => database.close());
  database.create(ROUND);
  up = 3 * DAY;
  find(database, 0, 1);
  // What another process would read if this one ended here.
  const file = temporaryFile();
  for (const end of ["", "-wal"]) copyFileSync(path + end, file + end);
  const next = new NodeDatabase(file, { now: () => 0 });
  onTestFinished(() => next.close());
  expect(next.giveUp(1)).toEqual({ nonces: 0, verdicts: 0 });
  expect(next.giveUp(-1)).toEqual({ nonces: 1, verdicts: 0 });
});

test("a database of a later version is refused", () => {
  const path = temporaryFile();
  new NodeDatabase(path).close();
  const raw = new Sqlite(path);
  raw.pragma("user_version = 99");
  raw.close();
  expect(() => new NodeDatabase(path)).toThrow("a newer proofmill wrote it");
  // It is left as the later version had it: nothing of a journal is missing then.
  expect(readFileSync(path)[18]).toBe(1);
});

test("the greatest id is that of all rounds that are kept, not of the last ones", () => {
  const database = new NodeDatabase(temporaryFile());
  onTestFinished(() => database.close());
  expect(database.greatestId()).toBe(null);
  database.create(ROUND);
  find(database, 0, 1); // due, so it stays
  for (const end of ["1", "2", "3"]) {
    database.create({ ...ROUND, round_id: `01JH000000000000000000000${end}` });
  }
  expect(database.recent()).toHaveLength(2);
  expect(database.greatestId()).toBe(ROUND.round_id);
});
