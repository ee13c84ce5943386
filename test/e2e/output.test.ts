/** No state of what a process prints to stops it. */

import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, readFileSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import { createPocClient } from "@proofmill/client";
import { notLinux, skipped } from "@proofmill/core/testing";
import { describe, expect, onTestFinished, test } from "vitest";
import { BIN, environment, isRunning, poll, startServer, temporaryFolder } from "../helpers.ts";

const ROUND = { block_hash: "abc123", block_height: 1, public_key: "node1", r_target: 1.4 };
const FAULT =
  /^proofmill: the log cannot be written \(.+\); the node goes on, and counts lost lines$/;

async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as { port: number };
  await once(server.close(), "close");
  return port;
}

/**
 * Runs `proofmill` in a shell whose own outputs are pipes that nobody reads.
 *
 * @param options.script runs the words `"$@"`; `$E` is the file for what goes to stderr
 * @param options.terminal puts a terminal that nobody reads between the two
 */
function runInShell(options: { script: string; args: string[]; terminal?: boolean }) {
  const { script, args, terminal = false } = options;
  const folder = temporaryFolder();
  const [pid, stderr] = [join(folder, "pid"), join(folder, "stderr")];
  const command = `echo $$ > '${pid}'; E='${stderr}'; ${script}`;
  const words = ["-c", command, "sh", process.execPath, BIN, ...args];
  const quoted = words.map((word) => `'${word.replaceAll("'", "'\\''")}'`).join(" ");
  const child = terminal
    ? spawn("script", ["-qec", `sh ${quoted}`, "/dev/null"], { env: environment() })
    : spawn("sh", words, { env: environment() });
  onTestFinished(() => void child.kill("SIGKILL"));
  return {
    exited: once(child, "exit").then(([code]) => code as number),
    pid: () => Number(readFileSync(pid, "utf8")),
    /** Reads after all: all that comes to where it prints. */
    stdout: () => child.stdout,
    stderr: () => (existsSync(stderr) ? readFileSync(stderr, "utf8") : ""),
  };
}

test.skipIf(skipped(notLinux)).each([
  ["for people", [], /^\[\d\d:\d\d:\d\d\] INFO: listening on http/m],
  ["JSON where that is asked for", ["--log-format", "json"], /^\{"level":30,.*"listening on http/m],
])("on a terminal the log is %s", async (_, more, expected) => {
  const args = ["serve", "--port", "0", ...more];
  const shell = runInShell({ script: 'exec "$@"', args, terminal: true });
  let text = "";
  shell.stdout().on("data", (chunk: Buffer) => {
    text += chunk;
  });
  await poll(
    async () => text,
    (all) => all.includes("model loaded"),
  );
  process.kill(shell.pid(), "SIGTERM");
  await shell.exited;
  // biome-ignore lint/suspicious/noControlCharactersInRegex: colours
  expect(text.replace(/\x1b\[\d+m/g, "").replaceAll("\r", "")).toMatch(expected);
});

describe.skipIf(skipped(notLinux))("a log that cannot be written", () => {
  test.each([
    ["a full disk", 'exec "$@" > /dev/full 2> $E'],
    ["a pipe that nobody reads", 'exec "$@" 2> $E'],
    ["a terminal that is stopped", 'exec "$@" 2> $E'],
  ])("%s: the node answers, says it once, and ends when asked", async (name, script) => {
    const port = await freePort();
    const args = ["serve", "--enable-poc", "--port", `${port}`, "--log-level", "debug"];
    const terminal = name.includes("terminal");
    const data = ["--data-dir", temporaryFolder()];
    const node = runInShell({ script, args: [...args, ...data], terminal });
    const client = createPocClient({ url: `http://127.0.0.1:${port}` });
    await poll(
      () => client.nodeInfo().catch(() => null),
      (info) => info !== null && info.arithmetic !== null,
    );
    // Each request is a line: more than a pipe holds, and more than waits for a reader.
    const request = () => fetch(`http://127.0.0.1:${port}/${"x".repeat(12_000)}`);
    for (let i = 0; i < 15; i++) await Promise.all(Array.from({ length: 10 }, request));
    await client.initGenerate({ ...ROUND, node_id: 0, node_count: 1, seq_len: 32 });
    await poll(
      () => client.status(),
      ({ total_valid }) => total_valid > 0,
    );
    expect((await client.nodeInfo()).lost_log_lines).toBeGreaterThan(0);
    const pid = node.pid();
    process.kill(pid, "SIGTERM");
    await poll(
      () => isRunning(pid),
      (running) => !running,
    );
    if (!terminal) expect(await node.exited).toBe(0);
    expect(node.stderr().split("\n")).toEqual([expect.stringMatching(FAULT), ""]);
  });
});

test.skipIf(skipped(notLinux))(
  "a command's output that cannot be written: one line, exit 1, and what it had to do is done",
  async () => {
    const node = await startServer({ args: ["--enable-poc"] });
    onTestFinished(() => void node.process.kill("SIGKILL"));
    const client = createPocClient({ url: node.url });
    const round = ["round", "--block-hash", "a", "--public-key", "k", "--r-target", "1.4"];
    const limits = ["--seq-len", "32", "--until", "3", "--url", node.url];
    const full = 'exec "$@" > /dev/full 2> $E';
    const run = (script: string, args: string[]) => runInShell({ script, args });
    const results = await Promise.all(
      [
        run(full, ["--version"]),
        run(full, ["serve", "--help"]),
        run(full, [...round, ...limits]),
      ].map(async ({ exited, stderr }) => [await exited, stderr().split("\n").at(-2)]),
    );
    const said = "proofmill: the output cannot be written: ENOSPC: no space left on device, write";
    expect(results).toEqual(results.map(() => [1, said]));
    expect((await client.status()).state).toBe("STOPPED");
    expect((await client.nodeInfo()).lost_log_lines).toBe(0);

    // The live line's reader is gone: the round still ends at its limit, and is reported.
    const gone = run('"$@" 2>&1 > $E | true', [...round, ...limits]);
    expect(await gone.exited).toBe(0);
    expect(gone.stderr()).toMatch(/^state {7}STOPPED\n/);
  },
);
