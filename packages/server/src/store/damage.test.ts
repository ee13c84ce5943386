/** What damage of the data folder's files comes to. */
import {
  copyFileSync,
  existsSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { notLinux, skipped } from "@proofmill/core/testing";
import Sqlite from "libsql";
import { describe, expect, onTestFinished, test } from "vitest";
import { NodeDatabase } from "./database.ts";
import { SqliteStore } from "./sqlite.ts";

const CONFIG = {
  ...{ block_hash: "abc123", block_height: 100, public_key: "node1", r_target: 3 },
  ...{ fraud_threshold: 0.01, node_id: 0, node_count: 1, batch_size: 32, seq_len: 256 },
  callback_url: "http://aggregator:9000/pow",
};
const DUE = {
  ...{ kind: "generated" as const, callback_url: CONFIG.callback_url },
  ...{ after: 0, maxNonces: 9 },
};
const roundOf = (round_id: string) => ({ round_id, scheme: "distance", config: CONFIG });
const FRAME_BYTES = 24 + 4096;

/** A folder as a node leaves it that was killed: rounds a and b in the database, c in the journal. */
function killedFolder(): string {
  const running = temporaryFolder();
  const database = new NodeDatabase(join(running, "proofmill.db"));
  const folder = temporaryFolder();
  for (const round_id of ["a", "b"]) database.create(roundOf(round_id));
  database.close();
  const again = new NodeDatabase(join(running, "proofmill.db"));
  onTestFinished(() => again.close());
  again.create(roundOf("c"));
  find(again, "c", 0);
  for (const suffix of ["", "-wal"]) {
    copyFileSync(join(running, `proofmill.db${suffix}`), join(folder, `proofmill.db${suffix}`));
  }
  return folder;
}

function find(database: NodeDatabase, round: string, nonce: number): void {
  const counters = {
    ...{ position: nonce + 1, total_nonfinite: 0 },
    ...{ elapsed_seconds: 0, generating_seconds: 0, searched_with: null },
  };
  const progress = { from: nonce, nonces: [nonce], records: [1], arithmetic: "cpu-1", counters };
  database.transaction(() => database.append(round, progress));
}

function temporaryFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), "proofmill-"));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

/** Writes over some bytes of a file. */
function damage(file: string, at: number, length = 16): void {
  const bytes = readFileSync(file);
  bytes.fill(0xa5, at, at + length);
  writeFileSync(file, bytes);
}

function open(folder: string): { rounds: string[]; notices: readonly string[] } {
  const database = new NodeDatabase(join(folder, "proofmill.db"));
  const rounds = database.recent().map(({ round_id }) => round_id);
  database.close();
  return { rounds, notices: database.notices };
}

/** As a node does, which lets each round's scheme look at it. */
async function openStore(folder: string): Promise<SqliteStore> {
  const store = await SqliteStore.open({ folder });
  onTestFinished(() => store.close());
  return store;
}

function refusalOf(folder: string): string {
  try {
    open(folder);
  } catch (error) {
    const { message, remedy } = error as Error & { remedy: string };
    return `${message}; ${remedy}`;
  }
  return "";
}

describe("the journal", () => {
  test("that is whole is used without a word", () => {
    expect(open(killedFolder())).toEqual({ rounds: ["b", "c"], notices: [] });
  });

  test.each([
    ["its header", 0],
    ["a frame's header", 32],
    ["a frame's page", 32 + 24 + 100],
    ["a frame in the middle", 32 + 3 * FRAME_BYTES + 24 + 4000],
  ])(
    "that is damaged in %s: the start is refused, with the file, the fault and the remedy",
    (_, at) => {
      const folder = killedFolder();
      damage(join(folder, "proofmill.db-wal"), at);
      expect(refusalOf(folder)).toMatch(
        /^proofmill\.db-wal is damaged \(.+\); put a backup in the database's place .+ or only move this file away: what it held is lost then$/,
      );
      // Moving it away is a way on, and is said too.
      rmSync(join(folder, "proofmill.db-wal"));
      const lost = "proofmill.db-wal was missing: what it held is lost";
      expect(open(folder)).toEqual({ rounds: ["a", "b"], notices: [lost] });
      expect(open(folder).notices).toEqual([]);
    },
  );

  test.each([
    ["cut off in its last frame", (file: string) => truncateSync(file, statSync(file).size - 100)],
    ["damaged in its last frame", (file: string) => damage(file, statSync(file).size - 100)],
    ["nothing but zeros", (file: string) => writeFileSync(file, Buffer.alloc(statSync(file).size))],
  ])("that is %s, as after a power cut: it starts, and says so", (_, change) => {
    const folder = killedFolder();
    change(join(folder, "proofmill.db-wal"));
    const { notices } = open(folder);
    expect(notices).toEqual([expect.stringMatching(/^proofmill\.db-wal is cut off \(.+\): what/)]);
  });

  test("that is larger than what Node reads at once is read all the same", () => {
    const folder = killedFolder();
    truncateSync(join(folder, "proofmill.db-wal"), 2 ** 31 + 1); // most of it takes no room
    expect(open(folder)).toEqual({ rounds: ["b", "c"], notices: [] });
  }, 60_000);

  test("that a start has left which ended before it wrote anything was not lost", () => {
    const folder = killedFolder();
    open(folder); // takes the journal in
    const file = join(folder, "proofmill.db");
    const started = new Sqlite(file);
    onTestFinished(() => {
      started.close();
    });
    started.exec(
      "PRAGMA locking_mode = EXCLUSIVE; PRAGMA journal_mode = WAL; BEGIN EXCLUSIVE; COMMIT",
    );
    const killed = temporaryFolder();
    for (const end of ["", "-wal"]) copyFileSync(file + end, join(killed, `proofmill.db${end}`));
    expect(open(killed)).toEqual({ rounds: ["b", "c"], notices: [] });
  });

  test("is found where its database is a link to one elsewhere", () => {
    const killed = killedFolder();
    const linked = temporaryFolder();
    symlinkSync(join(killed, "proofmill.db"), join(linked, "proofmill.db"));
    damage(join(killed, "proofmill.db-wal"), 32 + 24 + 100);
    expect(refusalOf(linked)).toMatch(/^proofmill\.db-wal is damaged/);

    const whole = killedFolder();
    const other = temporaryFolder();
    symlinkSync(join(whole, "proofmill.db"), join(other, "proofmill.db"));
    expect(open(other)).toEqual({ rounds: ["b", "c"], notices: [] });
  });

  test("that holds what a full disk refused is used: nothing was promised of that", () => {
    const [folder, running] = [temporaryFolder(), temporaryFolder()];
    const database = new NodeDatabase(join(running, "proofmill.db"));
    onTestFinished(() => database.close());
    const files = () =>
      ["", "-wal"].map((suffix) => readFileSync(join(running, `proofmill.db${suffix}`)));
    for (const round_id of ["a", "b", "c"]) database.create(roundOf(round_id));
    const [, stored] = files() as [Buffer, Buffer];
    find(database, "c", 0); // as if refused at its end, and written over by a piece of another
    const [main, more] = files() as [Buffer, Buffer];
    more.fill(0xa5, stored.length + 1000, stored.length + FRAME_BYTES);
    // Still another was longer: of it there are frames behind, as of every commit.
    const behind = stored.subarray(32, 32 + 3 * FRAME_BYTES);
    writeFileSync(join(folder, "proofmill.db"), main);
    writeFileSync(join(folder, "proofmill.db-wal"), Buffer.concat([more, behind]));
    const { rounds, notices } = open(folder);
    expect(rounds).toEqual(["b", "c"]);
    expect(notices).toEqual([expect.stringMatching(/^proofmill\.db-wal is cut off/)]);
  });

  test("without its database is not thrown away", () => {
    for (const empty of [false, true]) {
      const folder = killedFolder();
      if (empty) truncateSync(join(folder, "proofmill.db"), 0);
      else rmSync(join(folder, "proofmill.db"));
      expect(refusalOf(folder)).toContain("proofmill.db is missing or empty, but its journal");
      expect(statSync(join(folder, "proofmill.db-wal")).size).toBeGreaterThan(0);
    }
  });
});

test.skipIf(skipped(notLinux)).each(["proofmill.db", "proofmill.db-wal"])(
  "%s on a disk that fails is refused as that, and stays as it is",
  (name) => {
    const folder = killedFolder();
    const [file, whole] = [join(folder, name), join(folder, "whole")];
    renameSync(file, whole);
    symlinkSync("/proc/self/mem", file); // nobody can read its beginning
    expect(refusalOf(folder)).toMatch(/cannot be read \(EIO: i\/o error, read\); put a backup/);
    renameSync(whole, file);
    expect(open(folder)).toEqual({ rounds: ["b", "c"], notices: [] });
  },
);

describe("the database", () => {
  test.each([100, 4096 + 2, 2 * 4096 + 5, 5 * 4096 + 3])(
    "that is damaged at byte %i is refused in one line",
    (at) => {
      const folder = killedFolder();
      open(folder); // takes the journal in
      damage(join(folder, "proofmill.db"), at, 400);
      expect(refusalOf(folder)).toMatch(
        /^proofmill\.db(: the database| is) (is )?damaged \([^\n]+\); restore a backup \(proofmill restore\), or move it and its journal \(-wal\) away to begin anew$/,
      );
    },
  );

  test.each([3 * 4096, -4096, -1, -10, -200])("that is cut at byte %i is refused", (at) => {
    const folder = killedFolder();
    open(folder); // takes the journal in
    const file = join(folder, "proofmill.db");
    truncateSync(file, at < 0 ? statSync(file).size + at : at);
    expect(refusalOf(folder)).toMatch(/^proofmill\.db.* damaged .*restore a backup/);
  });

  test("of which a page is half written, as by a full disk, is whole with its journal", () => {
    const folder = killedFolder();
    const file = join(folder, "proofmill.db");
    truncateSync(file, statSync(file).size + 100);
    const running = new NodeDatabase(file);
    find(running, "c", 1); // a page more than there was, in the journal
    const killed = temporaryFolder();
    copyFileSync(`${file}-wal`, join(killed, "proofmill.db-wal"));
    copyFileSync(file, join(killed, "proofmill.db"));
    running.close();
    expect(open(killed)).toEqual({ rounds: ["b", "c"], notices: [] });
    expect(statSync(join(killed, "proofmill.db")).size % 4096).toBe(0);
  });

  // Read as a text it ends the process: every copy of it is looked at before, those in indexes too.
  test.each([
    ["a round's id", "round-of-one-bit", 2],
    ["an address", "aggregator:9000", 2],
    ["a table's name", "CREATE TABLE rounds", 1],
    ["a column's name", "total_nonfinite", 1],
    ["an index's name", "rounds_due", 2],
  ])("with another bit in %s is refused, whichever copy of it that is", (_, text, copies) => {
    const folder = killedFolder();
    const file = join(folder, "proofmill.db");
    const running = new NodeDatabase(file);
    running.create(roundOf("round-of-one-bit"));
    find(running, "round-of-one-bit", 0); // due, so that its address is in an index too
    running.close();
    const whole = readFileSync(file);
    let refused = 0;
    for (let at = whole.indexOf(text); at !== -1; at = whole.indexOf(text, at + 1)) {
      const bytes = Buffer.from(whole);
      bytes[at + 2] = (bytes[at + 2] ?? 0) ^ 0x80;
      const other = temporaryFolder();
      writeFileSync(join(other, "proofmill.db"), bytes);
      const refusal = refusalOf(other);
      if (refusal === "") continue; // in room that is free
      expect(refusal).toMatch(/^proofmill\.db.* damaged .*restore a backup/);
      refused++;
    }
    expect(refused).toBeGreaterThanOrEqual(copies);
  });

  test("is another's", () => {
    const other = temporaryFolder();
    writeFileSync(join(other, "proofmill.db"), "text ".repeat(2000));
    expect(refusalOf(other)).toMatch(/not a database; restore a backup/);
    const foreign = temporaryFolder();
    const database = new Sqlite(join(foreign, "proofmill.db"));
    database.exec("CREATE TABLE notes (text)");
    database.close();
    expect(refusalOf(foreign)).toMatch(/no database of proofmill; restore a backup/);
  });

  test.each([
    ["counts finds that are not there", "found = 1"],
    ["has a configuration that is none", "config = '{'"],
    ["proves what nobody knows", "scheme = 'colour'"],
  ])("with a round that %s: the others are there, and nobody stumbles over it", async (_, part) => {
    const store = await openStore(changedFolder(`UPDATE rounds SET ${part} WHERE round_id = 'b'`));
    expect((await store.recent()).map(({ round_id }) => round_id)).toEqual(["c"]);
    expect(store.notices).toEqual([
      "round b cannot be read and is left out: its finds are not sent",
    ]);
    expect((await store.next(DUE))?.body).toContain('"round_id":"c"');
  });
});

/** A closed folder with rounds b and c, whose database somebody has changed. */
function changedFolder(sql: string): string {
  const folder = killedFolder();
  open(folder);
  const file = new Sqlite(join(folder, "proofmill.db"));
  file.exec(sql);
  file.close();
  return folder;
}

const setConfig = (part: string) =>
  `UPDATE rounds SET config = json_set(config, ${part}) WHERE round_id = 'c'`;
const setRound = (part: string) => `UPDATE rounds SET ${part} WHERE round_id = 'c'`;
/** Read as a text it ends the process: a start that meets it would fail for ever, without a word. */
const NO_UTF8 = "CAST(x'7bff' AS TEXT)";
const verdictWith = (body: string, url = "'http://aggregator:9000/pow'") =>
  `INSERT INTO verdicts (callback_url, body, judged_at) VALUES (${url}, ${body}, 0)`;

test("a round that is left out is neither counted as due nor given up", async () => {
  const most = "9223372036854775807";
  const sql = `UPDATE rounds SET found = ${most}, position = ${most}, delivered = 0`;
  const store = await openStore(changedFolder(sql));
  expect(await store.recent()).toEqual([]);
  expect(await store.pending()).toEqual({ nonces: 0, verdicts: 0 });
  expect(await store.giveUp(0)).toEqual({ nonces: 0, verdicts: 0 });
});

describe("a round that says what cannot be is left out, with a word:", () => {
  test.each([
    setConfig("'$.node_count', 0"),
    setConfig("'$.node_id', 5"),
    setConfig("'$.seq_len', -3"),
    setConfig("'$.batch_size', 0"),
    setConfig("'$.block_height', 'high'"),
    setConfig("'$.callback_url', 17"),
    "UPDATE rounds SET config = json_remove(config, '$.node_count') WHERE round_id = 'c'",
    setRound("position = -5"),
    setRound("position = 9007199254740993"),
    setRound("found = 100, position = 100"),
    setRound("found = 0"),
    setRound("delivered = 7"),
    setRound("elapsed_seconds = 9e999"),
    setRound("scheme = ''"),
    "DELETE FROM finds",
    "UPDATE finds SET record = 'near'",
    "UPDATE finds SET record = x'00'",
    "UPDATE finds SET record = 9e999",
    "UPDATE finds SET nonce = -1",
    "UPDATE finds SET place = 3",
  ])("%s", async (sql) => {
    const store = await openStore(changedFolder(sql));
    expect((await store.recent()).map(({ round_id }) => round_id)).toEqual(["b"]);
    expect(store.notices).toEqual([
      "round c cannot be read and is left out: its finds are not sent",
    ]);
    expect(await store.next(DUE)).toBeNull();
  });

  test("but for its callback_url alone it is not", async () => {
    const store = await openStore(changedFolder(setConfig("'$.callback_url', 'nowhere'")));
    expect((await store.recent()).map(({ round_id }) => round_id)).toEqual(["b", "c"]);
    expect(store.notices).toEqual([]);
  });
});

test.each([
  ["DROP TABLE finds", "no such table: finds"],
  ["DROP TABLE verdicts", "no such table: verdicts"],
  ["ALTER TABLE rounds RENAME config TO bonfig", "no such column: config"],
  ["ALTER TABLE finds RENAME found_at TO found_av", "no such column: found_at"],
  ["ALTER TABLE verdicts RENAME judged_at TO nudged_at", "no such column: judged_at"],
  ["ALTER TABLE jobs RENAME body TO bodx", "no such column: body"],
  ["PRAGMA user_version = 0", "is no database of proofmill"],
  ["UPDATE uptime SET milliseconds = 9223372036854775807", "was up for 9223372036854776000 ms"],
  ["UPDATE uptime SET milliseconds = -5", "was up for -5 ms"],
  ["DELETE FROM uptime", "does not say for how long it was up"],
  ["UPDATE rounds SET number = 9007199254740993 WHERE round_id = 'b'", "rounds are numbered up to"],
  ["UPDATE sqlite_sequence SET seq = 9223372036854775807", "rounds are numbered up to"],
  [verdictWith("'{'"), "a verdict is no JSON"],
  [verdictWith(NO_UTF8), "a text in verdicts.body is not UTF-8"],
  [verdictWith("'{}'", NO_UTF8), "a text in verdicts.callback_url is not UTF-8"],
  [setRound(`config = ${NO_UTF8}`), "a text in rounds.config is not UTF-8"],
  [setRound(`round_id = ${NO_UTF8}`), "a text in rounds.round_id is not UTF-8"],
  [setRound(`callback_url = ${NO_UTF8}`), "a text in rounds.callback_url is not UTF-8"],
  [setRound(`scheme = ${NO_UTF8}`), "a text in rounds.scheme is not UTF-8"],
  [`UPDATE finds SET record = ${NO_UTF8}`, "a text in finds.record is not UTF-8"],
  [`UPDATE arithmetics SET tag = ${NO_UTF8}`, "a text in arithmetics.tag is not UTF-8"],
])("after %s the start is refused, with the file, the fault and the remedy", (sql, fault) => {
  const refusal = refusalOf(changedFolder(sql));
  expect(refusal).toMatch(
    /^proofmill\.db.*; restore a backup \(proofmill restore\), or move it .*away/,
  );
  expect(refusal).toContain(fault);
});

test("files that are cut while it is open: nothing more is promised", () => {
  for (const file of ["proofmill.db", "proofmill.db-wal"]) {
    const folder = killedFolder();
    const database = new NodeDatabase(join(folder, "proofmill.db"));
    onTestFinished(() => database.close());
    find(database, "c", 1);
    database.assertInPlace();
    truncateSync(join(folder, file), 100);
    expect(() => database.assertInPlace()).toThrow("was cut while the node ran");
  }
});

test("a copy is a whole database, and leaves the folder as it was", () => {
  const folder = killedFolder();
  const copied = temporaryFolder();
  writeFileSync(join(copied, "proofmill.db"), "");
  const database = new NodeDatabase(join(folder, "proofmill.db"));
  database.copyTo(join(copied, "proofmill.db"));
  database.close();
  expect(open(copied)).toEqual({ rounds: ["b", "c"], notices: [] });
  expect(open(folder)).toEqual({ rounds: ["b", "c"], notices: [] });
});

test("files that are removed or replaced while it is open: nothing more is promised", () => {
  for (const file of ["proofmill.db", "proofmill.db-wal"]) {
    const folder = temporaryFolder();
    const database = new NodeDatabase(join(folder, "proofmill.db"));
    onTestFinished(() => database.close());
    database.assertInPlace();
    rmSync(join(folder, file));
    expect(() => database.assertInPlace()).toThrow("was removed or replaced while the node ran");
    writeFileSync(join(folder, file), "");
    expect(() => database.assertInPlace()).toThrow("was removed or replaced while the node ran");
    expect(existsSync(folder)).toBe(true);
  }
});
