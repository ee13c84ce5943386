/** `proofmill doctor` and `proofmill restore`, as an operator runs them. */
import {
  chownSync,
  copyFileSync,
  existsSync,
  readFileSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { createServer } from "node:http";
import { join } from "node:path";
import { createPocClient } from "@proofmill/client";
import { expect, test } from "vitest";
import { listen, poll, runCli, startServer, temporaryFolder } from "../helpers.ts";

const ROUND = { block_hash: "a", block_height: 1, public_key: "k", r_target: 2, seq_len: 8 };

interface Report {
  ok: boolean;
  checks: { name: string; state: string; detail: string }[];
}

test("a doctor looks at a real device, and finds what was faster before", async () => {
  const folder = temporaryFolder();
  const url = `${await listen(createServer((_, response) => response.end("{}")))}/pow`;
  const args = ["doctor", "--enable-poc", "--data-dir", folder, "--port", "0"];
  const all = [...args, "--poc-seq-len", "32", "--seconds", "1", "--callback-url", url, "--json"];
  const first = await runCli(all);
  const report: Report = JSON.parse(first.stdout);
  expect(report.checks.filter(({ state }) => state === "failed")).toEqual([]);
  expect(report.checks.map(({ name }) => name)).toEqual([
    ...["disk", "open files", "address", "access", "TLS", "callback", "clock"],
    ...["self-test", "model", "memory", "bits", "rate"],
  ]);
  expect([first.code, report.ok]).toEqual([0, true]);

  const kept = join(folder, "doctor-rates.json");
  const rates: Record<string, number> = JSON.parse(readFileSync(kept, "utf8"));
  const faster = Object.entries(rates).map(([key, rate]) => [key, 100 * rate]);
  writeFileSync(kept, JSON.stringify(Object.fromEntries(faster)));
  const second = await runCli([...args, "--poc-seq-len", "32", "--seconds", "1"]);
  expect(second.code).toBe(1);
  expect(second.stdout).toMatch(/^FAILED {2}rate .* nonces\/s, this device reached \d+ before/m);
  expect(second.stdout).toMatch(/^1 failed\n$/m);
});

test("a doctor plays the broker, on paths as it writes them; a node that takes no artifacts is found", async () => {
  const broker = createServer((_, response) => {
    response.writeHead(400).end("block_height is not the active PoC stage");
  });
  const url = `${await listen(broker)}/v2/poc-batches/Qwen%252FQwen3-0.6B`;
  const folder = temporaryFolder();
  const args = [
    ...["doctor", "--v2", "--enable-poc", "--data-dir", folder, "--port", "0", "--json"],
    ...["--poc-seq-len", "32", "--seconds", "1", "--callback-url", url],
    ...["--callback-allow", "127.0.0.1", "--node-version", "v3.0.13", "--base-path", "/node-1"],
  ];
  const { code, stdout } = await runCli(args);
  const { checks }: Report = JSON.parse(stdout);
  expect(checks.filter(({ state }) => state === "failed")).toEqual([]);
  const known = Object.fromEntries(checks.map(({ name, detail }) => [name, detail]));
  expect(known.callback).toBe("the broker knows that no such block is at work");
  expect(known["self-test"]).toContain(
    "golden artifacts, bfloat16: 180 vectors of 6 models: within",
  );
  expect(checks.slice(-5).map(({ name, state }) => [name, state])).toEqual(
    ["init", "callback", "artifacts", "porosity", "validation"].map((name) => [`v2 ${name}`, "ok"]),
  );
  expect(known["v2 validation"]).toMatch(/ were computed again: the spoiled one was found/);
  expect(code).toBe(0);
  expect(Object.keys(JSON.parse(readFileSync(join(folder, "doctor-rates.json"), "utf8")))).toEqual([
    expect.stringMatching(/^proofmill-demo, .*, seq_len 32$/),
    expect.stringMatching(/^proofmill-demo, .*, seq_len 32, artifacts$/),
  ]);

  const other = await runCli([...args, "--protocol", "v1"]);
  const [init, callback] = (JSON.parse(other.stdout) as Report).checks.slice(-5);
  expect(init).toMatchObject({
    state: "failed",
    detail: "--protocol v1 takes no rounds of artifacts",
  });
  expect(callback).toMatchObject({ state: "skipped", detail: "no round began" });
  expect(other.code).toBe(1);
});

test("a backup is restored in place of what is there, never under a node", async () => {
  const folder = temporaryFolder();
  const backup = join(temporaryFolder(), "backup.db");
  const data = ["--data-dir", folder];
  const restore = (file = backup) => runCli(["restore", file, ...data]);
  const args = ["--enable-poc", ...data];
  const first = await startServer({ args });
  const client = createPocClient({ url: first.url });
  await client.initGenerate({ ...ROUND, node_id: 0, node_count: 1 });
  await poll(
    () => client.status(),
    ({ total_valid }) => total_valid > 0,
  );
  const { pow_status } = await client.stop();
  await first.stop();
  expect((await runCli(["backup", backup, ...data])).code).toBe(0);

  const second = await startServer({ args });
  await createPocClient({ url: second.url }).initGenerate({
    ...{ ...ROUND, block_hash: "another" },
    ...{ node_id: 0, node_count: 1 },
  });
  expect(await restore()).toEqual({
    code: 1,
    stdout: "",
    stderr:
      `proofmill: ${backup} was not restored: ${folder}: another node is using it; ` +
      "stop that node, or choose another with --data-dir\n",
  });
  await second.stop();

  const nothing = join(temporaryFolder(), "nothing.db");
  expect((await restore(nothing)).stderr).toBe(`proofmill: there is no file ${nothing}\n`);
  writeFileSync(nothing, "this is no database");
  expect((await restore(nothing)).stderr).toContain(
    `${nothing} was not restored: ${nothing} is no`,
  );
  // SQLite would take an empty file for a new database.
  writeFileSync(nothing, "");
  const { ino } = statSync(join(folder, "proofmill.db"));
  expect(await restore(nothing)).toMatchObject({
    code: 1,
    stderr: expect.stringContaining("is no database of proofmill"),
  });
  expect((await restore("/dev/null")).stderr).toBe("proofmill: /dev/null is not a file\n");
  const partial = join(folder, "proofmill.db.partial");
  expect(existsSync(partial)).toBe(false);
  copyFileSync(backup, partial);
  expect((await restore(partial)).code).toBe(1);
  expect(existsSync(partial)).toBe(true);
  expect(statSync(join(folder, "proofmill.db")).ino).toBe(ino);

  // What is damaged is replaced too: that is what a backup is for.
  writeFileSync(join(folder, "proofmill.db-wal"), "this is no journal");
  // Root restores for the folder's user, as whom the node runs.
  const isRoot = process.getuid?.() === 0;
  if (isRoot) chownSync(folder, 4242, 4242);
  expect(await restore()).toMatchObject({
    code: 0,
    stdout: `${backup} is in ${folder} now\n`,
  });
  const restored = statSync(join(folder, "proofmill.db"));
  expect([restored.mode & 0o777, restored.uid]).toEqual([0o600, statSync(folder).uid]);
  if (isRoot) chownSync(folder, 0, 0);
  expect(existsSync(join(folder, "proofmill.db.replaced"))).toBe(true);
  const third = await startServer({ args });
  const { round_id, valid_nonces, valid_distances } = await createPocClient({
    url: third.url,
  }).status();
  expect({ round_id, valid_nonces, valid_distances }).toEqual({
    round_id: pow_status.round_id,
    valid_nonces: pow_status.valid_nonces,
    valid_distances: pow_status.valid_distances,
  });
  await third.stop();
});
