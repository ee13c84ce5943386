/** What a shell, a container or a machine without much to it does to the command line. */

import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { createPocClient } from "@proofmill/client";
import { notLinux, skipped } from "@proofmill/core/testing";
import { expect, onTestFinished, test } from "vitest";
import {
  BIN,
  environment,
  isRunning,
  poll,
  runCli,
  startServer,
  temporaryFolder,
} from "../helpers.ts";

const ROUND = { block_hash: "a", block_height: 1, public_key: "k", r_target: 2, seq_len: 8 };

test.skipIf(skipped(notLinux))(
  "a terminal that is closed is an orderly stop, of the node and of a round",
  async () => {
    const folder = temporaryFolder();
    const [log, pid] = [join(folder, "log"), join(folder, "pid")];
    const inTerminal = (args: string[]) => {
      const words = [process.execPath, BIN, ...args].map((word) => `'${word}'`).join(" ");
      const command = `sh -c 'echo $$ > ${pid}; exec "$@" > ${log} 2>&1' sh ${words}`;
      const terminal = spawn("script", ["-qec", command, "/dev/null"], { env: environment() });
      onTestFinished(() => void terminal.kill("SIGKILL"));
      return terminal;
    };
    const logged = (text: string) =>
      poll(
        () => {
          try {
            return readFileSync(log, "utf8");
          } catch {
            return "";
          }
        },
        (lines) => lines.includes(text),
      );
    const terminal = inTerminal(["serve", "--port", "0"]);
    await logged('"msg":"model loaded"');
    const node = Number(readFileSync(pid, "utf8"));
    terminal.kill("SIGKILL"); // whoever held the terminal is gone: the kernel says so
    await logged('"msg":"closing"');
    await poll(
      () => isRunning(node),
      (running) => !running,
    );

    const server = await startServer({ args: ["--enable-poc"] });
    onTestFinished(() => void server.process.kill("SIGKILL"));
    const client = createPocClient({ url: server.url });
    const round = ["--block-hash", "a", "--public-key", "k", "--r-target", "1", "--seq-len", "8"];
    const watching = inTerminal(["round", ...round, "--url", server.url]);
    await poll(
      () => client.status(),
      ({ state }) => state === "GENERATING",
    );
    watching.kill("SIGKILL");
    await poll(
      () => client.status(),
      ({ state }) => state === "STOPPED",
    );
  },
);

/** Whether a user of no group may enter all folders above a file. */
function isOpenToOthers(file: string): boolean {
  const folder = dirname(file);
  return (statSync(folder).mode & 1) === 1 && (folder === "/" || isOpenToOthers(folder));
}

/** Why nothing is done as another user; null: it is. */
const alone =
  notLinux ??
  (process.getuid?.() === 0 ? null : "root alone can be another user") ??
  (isOpenToOthers(BIN) ? null : "another user cannot read this checkout");

test.skipIf(skipped(alone))(
  "a user that nobody knows, without a home: what needs none works, the rest is one line",
  async () => {
    const run = async (...args: string[]) => {
      const { HOME, XDG_CACHE_HOME, XDG_DATA_HOME, ...env } = environment();
      const child = spawn(process.execPath, [BIN, ...args], { env, uid: 54_321, gid: 54_321 });
      let output = "";
      for (const stream of [child.stdout, child.stderr]) {
        stream.on("data", (text) => {
          output += text;
        });
      }
      const [code] = await once(child, "close");
      return [code, output];
    };
    expect(await run("--version")).toEqual([0, expect.stringMatching(/^\d+\.\d+\.\d+\n$/)]);
    expect(await run("serve", "--help")).toEqual([0, expect.stringContaining("--data-dir")]);
    expect(await run("serve", "--enable-poc")).toEqual([
      2,
      "proofmill: there is no home folder to keep rounds in; name one with --data-dir\n",
    ]);
    const [code, output] = await run("serve", "--port", "0");
    expect([code, output]).toEqual([1, expect.stringContaining("set HOME or XDG_CACHE_HOME\n")]);
  },
);

test.skipIf(skipped(notLinux))("a folder that cannot be made is refused in one line", async () => {
  const { code, stderr } = await runCli(["serve", "--enable-poc", "--data-dir", "/proc/a/b"]);
  expect([code, stderr]).toEqual([
    1,
    "proofmill: cannot use the data folder /proc/a/b: ENOENT: no such file or directory, " +
      "mkdir '/proc/a'; choose another with --data-dir\n",
  ]);
});

test("with too few files that it may open it says so, and how to have more", async () => {
  for (const limit of [32, 64, 96]) {
    const words = ["-c", `ulimit -n ${limit}; exec "$@"`, "sh", process.execPath, BIN, "serve"];
    const child = spawn("sh", words, { env: environment() });
    let output = "";
    child.stderr.on("data", (text) => {
      output += text;
    });
    expect(await once(child, "close")).toEqual([1, null]);
    expect(output).toMatch(/^proofmill: only \d+ more files can be opened; raise the limit, .+\n$/);
  }
});

test("from a folder that was removed: a version, and else one line", async () => {
  const run = async (args: string[]) => {
    const words = [process.execPath, BIN, ...args, "--data-dir", temporaryFolder()];
    const shell = ["-c", 'rmdir "$PWD"; "$@" 2>&1', "sh", ...words];
    const child = spawn("sh", shell, { env: environment(), cwd: temporaryFolder() });
    let output = "";
    child.stdout.on("data", (text) => {
      output += text;
    });
    const [code] = await once(child, "close");
    return [code, output];
  };
  const refusal = "the current folder cannot be used any more (ENOENT); go to another first";
  for (const command of ["serve", "backup"]) {
    expect(await run([command, "file"])).toEqual([1, `proofmill: ${refusal}\n`]);
  }
  expect(await run(["--version"])).toEqual([0, expect.stringMatching(/^\d+\.\d+\.\d+\n$/)]);
});

test("a stored callback address that is none keeps nobody from starting; a folder that is removed is said", async () => {
  const folder = temporaryFolder();
  const args = ["--enable-poc", "--data-dir", folder];
  const first = await startServer({ args });
  const client = createPocClient({ url: first.url });
  const round = { ...ROUND, node_id: 0, node_count: 1, callback_url: "http://127.0.0.1:1/x" };
  await client.initGenerate(round);
  const { total_valid } = await poll(
    () => client.status(),
    (status) => status.total_valid > 0,
  );
  await first.stop();
  const database = JSON.stringify(join(folder, "proofmill.db"));
  const change = `const db = new (require("libsql"))(${database});
    db.exec("UPDATE rounds SET callback_url = 'no address'"); db.close();`;
  execFileSync(process.execPath, ["-e", change], { cwd: dirname(BIN) });
  const second = await startServer({ args });
  await second.log("a stored callback address is none");
  const status = await createPocClient({ url: second.url }).status();
  expect(status.total_valid).toBeGreaterThanOrEqual(total_valid);

  rmSync(folder, { recursive: true });
  expect((await second.post("/api/v1/pow/init", ROUND)).status).toBe(503);
  const health = await second.get("/health");
  expect(health.status).toBe(503);
  expect(await health.json()).toMatchObject({
    detail: expect.stringContaining("was removed or replaced while the node ran"),
    reasons: [{ code: "STORE_FAILED" }],
  });
  expect((await second.post("/api/v1/pow/phase/generate")).status).toBe(503);
  expect(await second.stop()).toBe(0);
});

test("a stopped node's folder is copied into one file, and restored from it", async () => {
  const folder = temporaryFolder();
  const backup = join(temporaryFolder(), "backup.db");
  const args = ["--enable-poc", "--data-dir", folder];
  const copy = (file: string, from = folder) => runCli(["backup", file, "--data-dir", from]);
  const node = await startServer({ args });
  const client = createPocClient({ url: node.url });
  await client.initGenerate({ ...ROUND, node_id: 0, node_count: 1 });
  await poll(
    () => client.status(),
    ({ total_valid }) => total_valid > 0,
  );
  const { pow_status } = await client.stop();
  expect(await copy(backup)).toMatchObject({
    code: 1,
    stderr:
      `proofmill: cannot copy the data folder ${folder}: another node is using it; ` +
      "stop that node, or choose another with --data-dir\n",
  });
  // Without a terminal SIGHUP changes nothing, nor does what else is sent to have a log opened anew.
  let said = "";
  node.process.stderr?.on("data", (text) => {
    said += text;
  });
  const { runner_pid } = await node.log("model loaded");
  for (const signal of ["SIGHUP", "SIGUSR1", "SIGUSR2"]) {
    for (const pid of [node.process.pid, runner_pid]) process.kill(Number(pid), signal);
  }
  for (let asked = 0; asked < 3; asked++) {
    expect((await node.get("/health")).status).toBe(200);
  }
  expect(said).toBe("");
  node.process.kill("SIGKILL"); // what is in the journal goes along
  await node.exited;
  const nowhere = join(folder, "nowhere");
  expect((await copy(join(nowhere, "a.db"))).stderr).toBe(
    `proofmill: there is no folder ${nowhere} to put the backup into\n`,
  );
  expect(await copy(backup)).toEqual({
    code: 0,
    stdout: expect.stringMatching(/backup\.db, \d+ bytes\n$/),
    stderr: "",
  });
  expect((await copy(backup)).stderr).toBe(
    `proofmill: ${backup} is there already; choose another name\n`,
  );
  const journal = join(folder, "proofmill.db-journal");
  expect((await copy(journal)).stderr).toBe(
    `proofmill: ${journal} would be taken for the database's own; choose another name\n`,
  );
  const empty = temporaryFolder();
  expect((await copy(`${backup}2`, empty)).stderr).toBe(
    `proofmill: there is no proofmill.db in ${empty}; name the folder with --data-dir\n`,
  );

  const restored = temporaryFolder();
  writeFileSync(join(restored, "proofmill.db"), readFileSync(backup));
  const again = await startServer({ args: ["--enable-poc", "--data-dir", restored] });
  const status = await createPocClient({ url: again.url }).status();
  expect(status).toMatchObject({
    round_id: pow_status.round_id,
    valid_nonces: pow_status.valid_nonces,
    state: "STOPPED",
  });
  expect(await again.stop()).toBe(0);
});

/** Makes fsync and fdatasync wait as long as the file `flag` is there. */
function slowDisk(flag: string, milliseconds: number): Record<string, string> {
  const folder = temporaryFolder();
  const [source, library] = [join(folder, "slow.c"), join(folder, "slow.so")];
  const wrapped = ["fsync", "fdatasync"].map(
    (name) =>
      `int ${name}(int fd) { if (access("${flag}", F_OK) == 0) usleep(${milliseconds * 1000}); ` +
      `return ((int (*)(int))dlsym(RTLD_NEXT, "${name}"))(fd); }`,
  );
  const head = "#define _GNU_SOURCE\n#include <dlfcn.h>\n#include <unistd.h>\n";
  writeFileSync(source, head + wrapped.join("\n"));
  execFileSync("cc", ["-shared", "-fPIC", "-o", library, source, "-ldl"]);
  return { LD_PRELOAD: library };
}

test.skipIf(skipped(notLinux))(
  "a disk that takes seconds for each write delays no end",
  async () => {
    const folder = temporaryFolder();
    const flag = join(folder, "slow");
    const node = await startServer({ args: ["--enable-poc"], env: slowDisk(flag, 2500) });
    const client = createPocClient({ url: node.url });
    await client.initGenerate({ ...ROUND, node_id: 0, node_count: 1 });
    await poll(
      () => client.status(),
      ({ total_valid }) => total_valid > 0,
    );
    writeFileSync(flag, "");
    const begin = performance.now();
    // An exit would wait for the disk: the process becomes another one, or a signal ends it.
    expect(await node.stop()).toBe("execve" in process ? 0 : "SIGTERM");
    expect(node.logged("the disk is too slow to close the data folder in time")).toHaveLength(1);
    expect(performance.now() - begin).toBeLessThan(5000);
  },
);
