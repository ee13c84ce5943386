/** `proofmill chat` as a program, with what is piped in, against a real node with the demo model. */

import { spawn } from "node:child_process";
import { text } from "node:stream/consumers";
import { fileURLToPath } from "node:url";
import { notLinux, skipped } from "@proofmill/core/testing";
import { afterAll, beforeAll, expect, test } from "vitest";
import { type RunningNode, startNode } from "../node.ts";
import { printable } from "../platform/printable.ts";
import { parseConfig } from "../settings/read.ts";
import { INIT_GENERATE } from "../test-support.ts";

const CLI = fileURLToPath(new URL("../../bin/proofmill.mjs", import.meta.url));

let node: RunningNode;
beforeAll(async () => {
  const flags = ["--enable-poc", "--port", "0", "--log-level", "silent", "--threads", "1"];
  node = await startNode({ ...parseConfig(flags), dataDir: null });
  await node.loaded;
}, 60_000);
afterAll(() => node?.close());

async function chat(message: string, args: string[] = []) {
  const child = spawn(process.execPath, [CLI, "chat", "--url", node.url, ...args]);
  child.stdin.end(message);
  const ended = new Promise<number | null>((resolve) => child.on("close", resolve));
  const [out, err] = await Promise.all([text(child.stdout), text(child.stderr)]);
  return { code: await ended, out, err };
}

test("answers what is piped in, the same each time without temperature", async () => {
  const args = ["--temperature", "0", "--max-tokens", "8", "--system", "Be brief."];
  const first = await chat("Hello\n", args);
  expect(first).toMatchObject({ code: 0, err: "" });
  expect(first.out).toBe(printable(first.out));
  expect((await chat("Hello\n", args)).out).toBe(first.out);
  // The demo's words are random: among so many one can be seen.
  const drawn = await chat("Hello\n", ["--temperature", "1.5", "--max-tokens", "64"]);
  expect(drawn.out).toMatch(/\S.*\n$/s);
});

test("says in a line why there is no answer", async () => {
  expect(await chat("")).toMatchObject({ code: 1, err: expect.stringContaining("no message") });
  const other = await chat("Hello", ["--model", "nobody"]);
  expect(other).toMatchObject({ code: 1, out: "" });
  expect(other.err).toBe("proofmill: the node has no model nobody, but proofmill-demo\n");
  const nowhere = await chat("Hello", ["--url", "http://127.0.0.1:9"]);
  expect(nowhere.err).toBe("proofmill: no answer from http://127.0.0.1:9: bad port\n");

  const post = (path: string, body: object) =>
    fetch(`${node.url}/api/v1/pow/${path}`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify(body),
    });
  expect((await post("init/generate", { ...INIT_GENERATE, seq_len: 32 })).status).toBe(200);
  const held = await chat("Hello", ["--model", "proofmill-demo"]);
  expect(held).toMatchObject({ code: 1, out: "" });
  expect(held.err).toMatch(/^proofmill: not now \(.*\): inference is answered again .*\n$/);
  await post("stop", {});
  expect(await chat("Hello", ["--max-tokens", "2"])).toMatchObject({ code: 0 });
});

test.skipIf(skipped(notLinux))("knows its commands on a terminal", async () => {
  const command = `"${process.execPath}" "${CLI}" chat --url ${node.url}`;
  const terminal = spawn("script", ["-qec", command, "/dev/null"]);
  terminal.stdin.write("/help\n/reset\n/quit\n");
  const shown = await text(terminal.stdout);
  expect(shown).toContain("[no such command: /reset begins again, /quit ends]");
  expect(shown).toContain("[a new chat]");
});

test("prints nothing that a terminal carries out", () => {
  const hostile = "a\u001b[2J\u009b1mb\r\u0007\u202ec\n\té🙂";
  expect(printable(hostile)).toBe("a[2J1mbc\n\té🙂");
});
