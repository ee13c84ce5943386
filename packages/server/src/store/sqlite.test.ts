import { execFileSync, fork } from "node:child_process";
import { once } from "node:events";
import {
  chmodSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { RoundProgress } from "@proofmill/core";
import { expect, onTestFinished, test } from "vitest";
import { SqliteStore } from "./sqlite.ts";

/** The thread runs what the build made. */

const CONFIG = {
  block_hash: "abc123",
  block_height: 100,
  public_key: "node1",
  r_target: 3,
  fraud_threshold: 0.01,
  node_id: 0,
  node_count: 1,
  batch_size: 32,
  seq_len: 256,
  callback_url: "http://aggregator:9000/pow",
};

const roundOf = (round_id: string) => ({ round_id, scheme: "distance", config: CONFIG });

function temporaryFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), "proofmill-"));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

async function open(folder = temporaryFolder()): Promise<SqliteStore> {
  const store = await SqliteStore.open({ folder });
  onTestFinished(() => store.close());
  return store;
}

const SEARCHED_WITH = {
  ...{ model: "demo", arithmetic: "cpu-1", architecture: "Qwen3ForCausalLM", dtype: "float32" },
  ...{ hidden_size: 8, vocab_size: 16, num_hidden_layers: 1 },
};

const progress = (
  from: number,
  position: number,
  options: { nonces?: number[]; arithmetic?: string } = {},
): RoundProgress => ({
  from,
  nonces: options.nonces ?? [],
  records: (options.nonces ?? []).map((nonce) => Math.fround(nonce / 7)),
  arithmetic: options.arithmetic ?? "cpu-1",
  counters: {
    ...{ position, total_nonfinite: 1, elapsed_seconds: 2.5, generating_seconds: 1.25 },
    searched_with: SEARCHED_WITH,
  },
});

const VERDICT = {
  public_key: "node2",
  block_hash: "abc123",
  block_height: 100,
  nonces: [1, 2],
  dist: [1.25, null],
  node_id: 3,
  round_id: "a",
  received_dist: [1.25, 1.5],
  r_target: 3,
  fraud_threshold: 0.01,
  n_invalid: 0,
  probability_honest: 1,
  fraud_detected: false,
  arithmetic: "cpu-1",
};

/** What an object is due as. */
const DUE = {
  ...{ callback_url: CONFIG.callback_url, scheme: "distance" },
  kind: "validated" as const,
};

const wanted = (kind: "generated" | "validated", after = 0, maxNonces = 100) => ({
  kind,
  callback_url: CONFIG.callback_url,
  after,
  maxNonces,
});

test("a new folder is made and empty", async () => {
  const store = await open(join(temporaryFolder(), "a", "b"));
  expect(await store.recent()).toEqual([]);
  expect(await store.dueUrls()).toEqual([]);
  expect(await store.next(wanted("generated"))).toBe(null);
});

test("rounds come back with every digit after the folder is opened again", async () => {
  const folder = temporaryFolder();
  const first = await SqliteStore.open({ folder });
  await first.create(roundOf("a"));
  const nonces = [0, 7, Number.MAX_SAFE_INTEGER];
  await first.append("a", progress(0, 4, { nonces }));
  await first.append("a", progress(4, 8, { nonces: [9] }));
  await first.close();
  const store = await open(folder);
  expect(await store.recent()).toEqual([
    {
      ...roundOf("a"),
      counters: progress(4, 8).counters,
      nonces: [...nonces, 9],
      records: [...nonces, 9].map((nonce) => Math.fround(nonce / 7)),
    },
  ]);
});

test("the same progress twice adds no finds; a gap and an unknown round are refused alone", async () => {
  const store = await open();
  await store.create(roundOf("a"));
  const results = await Promise.allSettled([
    store.append("a", progress(0, 4, { nonces: [1] })),
    store.append("a", progress(8, 12, { nonces: [8] })),
    store.append("b", progress(0, 4, { nonces: [1] })),
    store.append("a", progress(0, 4, { nonces: [1] })),
    store.append("a", progress(4, 8, { nonces: [5] })),
  ]);
  expect(
    results.map((result) => (result.status === "rejected" ? result.reason.message : "")),
  ).toEqual(["", "progress from 8, but only 4 is stored", "round b is not kept", "", ""]);
  expect(await store.recent()).toMatchObject([{ nonces: [1, 5], counters: { position: 8 } }]);
});

test("two rounds stay readable; an older one stays as long as something of it is due", async () => {
  const store = await open();
  for (const round_id of ["a", "b", "c", "d"]) {
    await store.create(roundOf(round_id));
    if (round_id === "a") await store.append("a", progress(0, 4, { nonces: [3] }));
  }
  expect((await store.recent()).map(({ round_id }) => round_id)).toEqual(["c", "d"]);
  const due = await store.next(wanted("generated"));
  expect(JSON.parse(due?.body ?? "")).toMatchObject({ nonces: [3], block_hash: "abc123" });
  if (due) await store.acknowledge(due);
  expect(await store.next(wanted("generated"))).toBe(null);
  await expect(store.append("a", progress(4, 8))).rejects.toThrow("not kept");
});

test("a round without a callback owes nobody anything", async () => {
  const store = await open();
  await store.create({ ...roundOf("a"), config: { ...CONFIG, callback_url: null } });
  const told: string[] = [];
  store.onDue((url) => told.push(url));
  await store.append("a", progress(0, 4, { nonces: [1] }));
  expect(await store.pending()).toEqual({ nonces: 0, verdicts: 0 });
  expect(told).toEqual([]);
});

test("finds are due in order, in portions of one arithmetic, until they are acknowledged", async () => {
  const store = await open();
  const told: string[] = [];
  store.onDue((url) => told.push(url));
  await store.create(roundOf("a"));
  await store.append("a", progress(0, 4, { nonces: [0, 1, 2] }));
  await store.append("a", progress(4, 8, { nonces: [4, 5], arithmetic: "cpu-2" }));
  expect(told).toEqual([CONFIG.callback_url, CONFIG.callback_url]);
  expect(await store.dueUrls()).toEqual([CONFIG.callback_url]);
  const seen: unknown[] = [];
  for (;;) {
    const due = await store.next(wanted("generated", 0, 2));
    if (!due) break;
    expect(await store.next(wanted("generated", 0, 2))).toEqual(due); // until it is acknowledged
    seen.push(JSON.parse(due.body));
    await store.acknowledge(due);
    await store.acknowledge(due);
  }
  const fields = {
    ...{ public_key: "node1", block_hash: "abc123", block_height: 100, node_id: 0 },
    ...{ round_id: "a", r_target: 3 },
  };
  const dist = (...nonces: number[]) => nonces.map((nonce) => Math.fround(nonce / 7));
  expect(seen).toEqual([
    { ...fields, nonces: [0, 1], dist: dist(0, 1), arithmetic: "cpu-1" },
    { ...fields, nonces: [2], dist: dist(2), arithmetic: "cpu-1" },
    { ...fields, nonces: [4, 5], dist: dist(4, 5), arithmetic: "cpu-2" },
  ]);
});

test("verdicts are due one by one, and those behind a key come first", async () => {
  const store = await open();
  await store.enqueue({ ...DUE, batch: VERDICT });
  await store.enqueue({ ...DUE, batch: { ...VERDICT, node_id: 4 } });
  expect(await store.pending()).toEqual({ nonces: 0, verdicts: 2 });
  const first = await store.next(wanted("validated"));
  expect(JSON.parse(first?.body ?? "")).toEqual(VERDICT);
  const second = await store.next(wanted("validated", first?.key));
  expect(JSON.parse(second?.body ?? "")).toMatchObject({ node_id: 4 });
  expect(await store.next(wanted("validated", second?.key))).toEqual(first);
  if (first) await store.acknowledge(first);
  expect(await store.next(wanted("validated"))).toEqual(second);
  expect(second).toMatchObject({ path: "validated", round: null, maxRefusals: null });
});

test("what a large job has computed is written piece by piece, and stored before the folder is let go", async () => {
  const folder = temporaryFolder();
  const store = await open(folder);
  const artifacts = Array.from({ length: 20_000 }, (_, nonce) => ({ nonce, vector_b64: "AAAA" }));
  const batch = { request_id: "a", artifacts };
  await store.keepJob({ id: "a", body: "{}" });
  const ended = store.endJob("a", { ...DUE, kind: "generated", batch });
  await Promise.all([store.close(), ended]);
  const again = await open(folder);
  expect(await again.jobs()).toEqual([]);
  expect(JSON.parse((await again.next(wanted("validated")))?.body ?? "")).toEqual(batch);
});

test("what is too old is given up, and still shown", async () => {
  const store = await open();
  await store.create(roundOf("a"));
  await store.append("a", progress(0, 4, { nonces: [0, 1] }));
  await store.enqueue({ ...DUE, batch: VERDICT });
  expect(await store.giveUp(60_000)).toEqual({ nonces: 0, verdicts: 0 });
  expect(await store.giveUp(-1)).toEqual({ nonces: 2, verdicts: 1 });
  expect(await store.pending()).toEqual({ nonces: 0, verdicts: 0 });
  expect(await store.recent()).toMatchObject([{ nonces: [0, 1] }]);
  await store.append("a", progress(4, 8, { nonces: [5] }));
  expect(JSON.parse((await store.next(wanted("generated")))?.body ?? "").nonces).toEqual([5]);
});

test("one folder, one node: the second is refused until the first lets go", async () => {
  const folder = temporaryFolder();
  const first = await open(folder);
  const refused = SqliteStore.open({ folder });
  await expect(refused).rejects.toThrow(
    `cannot use the data folder ${folder}: another node is using it; stop that node, or choose another with --data-dir`,
  );
  // Nor does the first lose its lock by that, which another process would see.
  const built = new URL("../../dist/store/sqlite.js", import.meta.url);
  const script = `import { SqliteStore } from ${JSON.stringify(built.href)};
    await SqliteStore.open({ folder: ${JSON.stringify(folder)} }).catch((e) => console.log(e.message));`;
  const other = ["--input-type=module", "--eval", script];
  expect(execFileSync(process.execPath, other).toString()).toContain("another node is using it");
  await first.close();
  expect(await (await open(folder)).recent()).toEqual([]);
});

test("the lock ends with a process that is killed, and what was promised is there", async () => {
  const folder = temporaryFolder();
  const script = join(folder, "child.mjs");
  const built = new URL("../../dist/store/sqlite.js", import.meta.url);
  writeFileSync(
    script,
    `import { SqliteStore } from ${JSON.stringify(built.href)};
     const store = await SqliteStore.open({ folder: ${JSON.stringify(folder)} });
     await store.create(${JSON.stringify(roundOf("a"))});
     for (let i = 0; ; i++) {
       await store.append("a", { ...${JSON.stringify(progress(0, 0, { nonces: [1] }))},
         from: i, nonces: [i], counters: { position: i + 1, total_nonfinite: 0, elapsed_seconds: 0, generating_seconds: 0, searched_with: null } });
       process.send(i);
     }`,
  );
  const child = fork(script, { execArgv: [] });
  let promised = -1;
  child.on("message", (i) => {
    promised = i as number;
  });
  while (promised < 20) await once(child, "message");
  await expect(SqliteStore.open({ folder })).rejects.toThrow("another node is using it");
  child.kill("SIGKILL");
  await once(child, "exit");
  const [round] = await (await open(folder)).recent();
  expect(round?.nonces.length).toBeGreaterThan(promised);
  expect(round?.nonces).toEqual(round?.nonces.map((_, i) => i));
});

/** Modes of a folder and of what is in it. */
function modes(folder: string): Record<string, string> {
  const octal = (path: string) => (statSync(path).mode & 0o7777).toString(8);
  const files = readdirSync(folder).map((name) => [name, octal(join(folder, name))]);
  return { ".": octal(folder), ...Object.fromEntries(files) };
}

test("what is stored is its user's alone, whatever the mask", async () => {
  const mask = process.umask(0);
  onTestFinished(() => void process.umask(mask));
  const folder = join(temporaryFolder(), "made", "too");
  const store = await open(folder);
  await store.create(roundOf("a"));
  await store.append("a", progress(0, 1, { nonces: [0] }));
  expect(store.isPrivate).toBe(true);
  expect(modes(folder)).toEqual({ ".": "700", "proofmill.db": "600", "proofmill.db-wal": "600" });
  expect(modes(join(folder, ".."))).toMatchObject({ ".": "700" });
});

test("a folder and files of before are closed to others, and go on as they were", async () => {
  const folder = temporaryFolder();
  const before = await open(folder);
  await before.create(roundOf("a"));
  await before.close();
  mkdirSync(join(folder, "other"));
  writeFileSync(join(folder, "note"), "somebody else's");
  writeFileSync(join(folder, "proofmill.db-journal"), "");
  for (const name of [".", "proofmill.db", "proofmill.db-journal", "note"]) {
    chmodSync(join(folder, name), name === "." ? 0o755 : 0o644);
  }
  const after = await open(folder);
  expect((await after.recent()).map(({ round_id }) => round_id)).toEqual(["a"]);
  await after.create(roundOf("b"));
  const { note, other, ...ours } = modes(folder);
  expect(note).toBe("644");
  expect(ours["."]).toBe("700");
  for (const mode of Object.values(ours).slice(1)) expect(mode).toBe("600");
  expect(Object.keys(ours)).toContain("proofmill.db-wal");
});

test("a folder with other things in it, or for all, stays open to those who use it", async () => {
  const [others, forAll] = [temporaryFolder(), temporaryFolder()];
  writeFileSync(join(others, "note"), "somebody else's");
  chmodSync(others, 0o755);
  chmodSync(forAll, 0o1777);
  for (const [folder, mode] of [
    [others, "755"],
    [forAll, "1777"],
  ] as const) {
    // At later starts too, when the database is there.
    for (let start = 0; start < 2; start++) {
      const store = await open(folder);
      expect(store.isPrivate).toBe(true);
      expect(modes(folder)).toMatchObject({ ".": mode, "proofmill.db": "600" });
      await store.close();
    }
  }
});

test("what has a file's name and is none is refused as it is", async () => {
  const other = join(temporaryFolder(), "device");
  execFileSync("mkfifo", [other]);
  chmodSync(other, 0o666);
  for (const name of ["proofmill.db", "proofmill.db-wal", "proofmill.db-journal"]) {
    const folder = temporaryFolder();
    symlinkSync(other, join(folder, name));
    await expect(SqliteStore.open({ folder })).rejects.toThrow(
      `cannot use the data folder ${folder}: ${name} is not a file; choose another`,
    );
  }
  expect(statSync(other).mode & 0o777).toBe(0o666);
});

test("a folder that cannot be made or read is named", async () => {
  const file = join(temporaryFolder(), "file");
  writeFileSync(file, "no folder");
  await expect(SqliteStore.open({ folder: join(file, "x") })).rejects.toThrow(
    /cannot use the data folder .*ENOTDIR/,
  );
  const folder = temporaryFolder();
  writeFileSync(
    join(folder, "proofmill.db"),
    "this is not a database, whatever its name says".repeat(50),
  );
  await expect(SqliteStore.open({ folder })).rejects.toThrow(/not a database/);
});

test("calls after the end are refused", async () => {
  const store = await open();
  await store.close();
  await store.close();
  await expect(store.recent()).rejects.toThrow("the store is closed");
});
