/** What a supervisor hears of a node, and how long its end may take. */

import { chmodSync, existsSync, readFileSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import { join } from "node:path";
import { createPocClient } from "@proofmill/client";
import { notLinux, skipped } from "@proofmill/core/testing";
import { expect, onTestFinished, test } from "vitest";
import { listen, poll, runCli, startServer, temporaryFolder } from "../helpers.ts";

/** A `systemd-notify` that keeps what it was told, and then does what `script` says. */
function notifier(script = ""): { env: Record<string, string>; said: () => string[] } {
  const folder = temporaryFolder();
  const file = join(folder, "said");
  const program = join(folder, "systemd-notify");
  writeFileSync(file, "");
  const keep = `SAID=${file}\nshift\nfor each in "$@"; do echo "$each" >> $SAID; done`;
  writeFileSync(program, `#!/bin/sh\n${keep}\n${script}\n`);
  chmodSync(program, 0o755);
  const env = { PATH: `${folder}:${process.env.PATH}`, NOTIFY_SOCKET: "@there" };
  return { env, said: () => readFileSync(file, "utf8").trim().split("\n") };
}

const hears = (said: () => string[], what: string) =>
  poll(said, (lines) => lines.some((line) => line.startsWith(what)));

test.skipIf(skipped(notLinux))(
  "systemd hears that the node is ready, that it lives while its runner does, and that it stops",
  async () => {
    const { env, said } = notifier();
    const node = await startServer({
      args: ["--enable-poc", "--runner-max-restarts", "0"],
      env: { ...env, WATCHDOG_USEC: "400000" },
      until: "listening",
    });
    onTestFinished(() => void node.process.kill("SIGKILL"));
    expect((await node.get("/livez")).status).toBe(200); // also while it loads
    await hears(said, "READY=1");
    await hears(said, "WATCHDOG=1");
    const client = createPocClient({ url: node.url });
    process.kill((await client.nodeInfo()).runners[0]?.pid ?? 0, "SIGKILL");
    await hears(said, "STATUS=Runner is not available");
    const signs = () => said().filter((line) => line === "WATCHDOG=1").length;
    const before = signs();
    const { code, stdout } = await runCli(["status", "--url", node.url]);
    expect(code).toBe(5);
    expect(stdout).toMatch(/^not ready {3}Runner is not available: .*SIGKILL$/m);
    expect(signs() - before).toBeLessThan(2); // one may have been on its way
    expect(await node.stop()).toBe(0);
    expect(said()).toContain("STOPPING=1");
  },
);

test.skipIf(skipped(notLinux))(
  "a program that hangs while systemd is told is not left behind",
  async () => {
    const { env, said } = notifier("echo pid=$$ >> $SAID; exec sleep 1000");
    const node = await startServer({ args: ["--enable-poc"], env, until: "listening" });
    onTestFinished(() => void node.process.kill("SIGKILL"));
    await hears(said, "pid=");
    expect(await node.stop()).toBe(0);
    for (const line of said().filter((each) => each.startsWith("pid="))) {
      await poll(
        () => existsSync(`/proc/${line.slice("pid=".length)}/exe`),
        (isThere) => !isThere,
      );
    }
  },
);

test("an end sends the callbacks that are due, and waits for no aggregator that hangs", async () => {
  const bodies: number[][] = [];
  let hangs = false;
  const url = await listen(
    createServer(async (request, response) => {
      let text = "";
      for await (const piece of request.setEncoding("utf8")) text += piece;
      if (hangs) return;
      bodies.push((JSON.parse(text) as { nonces: number[] }).nonces);
      response.end("{}");
    }),
  );
  const args = ["--enable-poc", "--shutdown-timeout", "1s", "--callback-interval", "1h"];
  for (hangs of [false, true]) {
    bodies.length = 0;
    const node = await startServer({ args });
    onTestFinished(() => void node.process.kill("SIGKILL"));
    const client = createPocClient({ url: node.url });
    await client.initGenerate({
      ...{ block_hash: "abc123", block_height: 1, public_key: "node1", r_target: 2 },
      ...{ node_id: 0, node_count: 1, seq_len: 32, callback_url: url },
    });
    await poll(
      () => client.status({ limit: 1 }),
      ({ total_valid }) => total_valid > 200,
    );
    const begin = performance.now();
    expect(await node.stop()).toBe(0);
    expect(performance.now() - begin).toBeLessThan(3000);
    if (!hangs) expect(bodies.flat()).toEqual(bodies.flat().map((_, i) => i));
    if (!hangs) expect(bodies.flat().length).toBeGreaterThan(200);
  }
});
