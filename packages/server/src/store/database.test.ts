import { copyFileSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import Sqlite from "libsql";
import { expect, onTestFinished, test, vi } from "vitest";
import { NodeDatabase } from "./database.ts";

const MINUTE = 60_000;
const DAY = 24 * 60 * MINUTE;
const URL_DUE = "http://aggregator:9000/pow";
const ROUND = {
  round_id: "01JH0000000000000000000009",
  config: {
    ...{ block_hash: "abc123", block_height: 100, public_key: "node1", r_target: 3 },
    ...{ fraud_threshold: 0.01, node_id: 0, node_count: 1, batch_size: 32, seq_len: 256 },
    callback_url: URL_DUE,
  },
};
const wanted = { callback_url: URL_DUE, after: 0, maxNonces: 100 };

function temporaryFile(): string {
  const folder = mkdtempSync(join(tmpdir(), "proofmill-"));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  return join(folder, "proofmill.db");
}

/** Finds the nonces from `from` to `position`, all of them valid. */
function find(database: NodeDatabase, from: number, position: number): void {
  const nonces = Array.from({ length: position - from }, (_, i) => from + i);
  database.append(ROUND.round_id, {
    ...{ from, nonces, distances: nonces.map(() => 1.25), arithmetic: "cpu-1" },
    counters: { position, total_nonfinite: 0, elapsed_seconds: 1, generating_seconds: 1 },
  });
}

test("an age is time that nodes were up, over restarts, and the clock may be set as it likes", () => {
  const path = temporaryFile();
  vi.useFakeTimers({ toFake: ["Date"] });
  onTestFinished(() => void vi.useRealTimers());
  let up = 5000; // each process's clock begins where it likes
  const first = new NodeDatabase(path, () => up);
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
  const second = new NodeDatabase(path, () => up);
  onTestFinished(() => second.close());
  up += 4 * MINUTE; // of the two 19 minutes, of the third 9
  expect(second.giveUp(19 * MINUTE)).toEqual({ nonces: 0, verdicts: 0 });
  expect(second.giveUp(19 * MINUTE - 1)).toEqual({ nonces: 2, verdicts: 0 });
  expect(second.giveUp(9 * MINUTE)).toEqual({ nonces: 0, verdicts: 0 });
  expect(second.giveUp(9 * MINUTE - 1)).toEqual({ nonces: 1, verdicts: 0 });
});

test("no stored time lies ahead, however the process ends", () => {
  const path = temporaryFile();
  let up = 0;
  const database = new NodeDatabase(path, () => up);
  onTestFinished(() => database.close());
  database.create(ROUND);
  up = 3 * DAY;
  find(database, 0, 1);
  // What another process would read if this one ended here.
  const file = temporaryFile();
  for (const end of ["", "-wal"]) copyFileSync(path + end, file + end);
  const next = new NodeDatabase(file, () => 0);
  onTestFinished(() => next.close());
  expect(next.giveUp(1)).toEqual({ nonces: 0, verdicts: 0 });
  expect(next.giveUp(-1)).toEqual({ nonces: 1, verdicts: 0 });
});

test("a database of version 1 is taken over: nothing is lost, nothing is too old", () => {
  const path = temporaryFile();
  copyFileSync(fileURLToPath(new URL("test-data/version-1.db", import.meta.url)), path);
  const database = new NodeDatabase(path);
  const ids = database.recent().map(({ round_id }) => round_id);
  expect(ids).toEqual(["01JH0000000000000000000002", "01JH0000000000000000000003"]);
  expect(database.greatestId()).toBe("01JH0000000000000000000003");
  expect(database.recent()).toMatchObject([{ nonces: [0, 1, 2, 5] }, { nonces: [0, 1, 2, 5] }]);
  expect(database.giveUp(MINUTE)).toEqual({ nonces: 0, verdicts: 0 });
  expect(database.pending()).toEqual({ nonces: 10, verdicts: 1 });
  const due = database.next({ ...wanted, kind: "generated" });
  expect(JSON.parse(due?.body ?? "")).toMatchObject({ block_hash: "abc120", nonces: [2] });
  expect(JSON.parse(database.next({ ...wanted, kind: "validated" })?.body ?? "")).toMatchObject({
    ...{ nonces: [1, 2], node_id: 3 },
  });
  database.create(ROUND);
  find(database, 0, 4);
  expect(database.pending().nonces).toBe(14);
  database.close();
  // It is of the present version now, and is opened as it is.
  const again = new NodeDatabase(path);
  expect(again.pending().nonces).toBe(14);
  again.close();
  const raw = new Sqlite(path);
  expect(raw.prepare("PRAGMA user_version").get()).toMatchObject({ user_version: 2 });
  raw.close();
});

test("a database of a later version is refused", () => {
  const path = temporaryFile();
  new NodeDatabase(path).close();
  const raw = new Sqlite(path);
  raw.pragma("user_version = 99");
  raw.close();
  expect(() => new NodeDatabase(path)).toThrow("a newer proofmill wrote it");
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
