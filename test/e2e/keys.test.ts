/** Keys of a real node: their file is read again while callers work, and no secret is printed. */

import { createHash, randomBytes } from "node:crypto";
import { once } from "node:events";
import { rename, writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import { join } from "node:path";
import { createPocClient, ForbiddenError } from "@proofmill/client";
import { expect, test } from "vitest";
import { WebSocket } from "ws";
import { listen, poll, runCli, startServer, temporaryFolder } from "../helpers.ts";

interface MadeKey {
  key: string;
  line: string;
}

/** As `proofmill key new` makes them. */
function makeKey(label: string, scopes: string): MadeKey {
  const key = `proofmill_${randomBytes(32).toString("base64url")}`;
  const digest = createHash("sha256").update(key).digest("hex");
  return { key, line: `${label} ${scopes} sha256:${digest}` };
}

/** Whole or not at all, as an operator's tools do it. */
async function put(file: string, lines: readonly string[]): Promise<void> {
  await writeFile(`${file}.new`, `${lines.join("\n")}\n`);
  await rename(`${file}.new`, file);
}

test("keys rotate while 100 clients work, and none of their requests is lost", async () => {
  const file = join(temporaryFolder(), "keys");
  const [before, after] = [makeKey("before", "read"), makeKey("after", "read")];
  await put(file, [before.line]);
  const node = await startServer({ args: ["--api-key-file", file, "--enable-poc"] });
  let current = before;
  let isOver = false;
  let answered = 0;
  const work = async () => {
    while (!isOver) {
      await createPocClient({ url: node.url, apiKey: current.key, retries: 0 }).status();
      answered++;
    }
  };
  const clients = Promise.all(Array.from({ length: 100 }, work));
  const moreAnswers = async () => {
    const now = answered;
    await poll(
      () => answered,
      (count) => count > now + 200,
    );
  };
  await moreAnswers();
  await put(file, [before.line, after.line]);
  await node.log("keys read again");
  current = after;
  await moreAnswers(); // nobody is still at work with the key from before
  // What is no key file leaves the keys as they are.
  await put(file, ["after read sha256:none"]);
  const fault = await node.log("keys cannot be read again: the old ones stay");
  expect(fault.reason).toContain(`${file}, line 1: expected sha256:`);
  await moreAnswers();
  await put(file, [after.line]);
  node.process.kill("SIGHUP");
  await poll(
    () => node.logged("keys read again").length,
    (count) => count >= 2,
  );
  await moreAnswers();
  isOver = true;
  await clients; // rejects with the first failure
  const old = createPocClient({ url: node.url, apiKey: before.key });
  await expect(old.status()).rejects.toThrow(ForbiddenError);
  await expect(old.watchStatus().next()).rejects.toThrow(ForbiddenError);
  await node.stop();
});

test("commands of the command line show a key, and a key that may only read commands nothing", async () => {
  const file = join(temporaryFolder(), "keys");
  const made = await runCli(["key", "new", "--json", "--label", "ops"]);
  const [ops, reader] = [JSON.parse(made.stdout) as MadeKey, makeKey("reader", "read")];
  await put(file, ["# who may do what", ops.line, reader.line]);
  const node = await startServer({ args: ["--api-key-file", file, "--enable-poc"] });
  const cli = (args: string[], key?: string) =>
    runCli([...args, "--url", node.url], key === undefined ? {} : { PROOFMILL_API_KEY: key });
  expect((await cli(["status"])).stderr).toContain(
    "A valid API key is required: --api-key or PROOFMILL_API_KEY names it",
  );
  expect((await cli(["status"], reader.key)).stdout).toContain("IDLE");
  const round = ["--block-hash", "abc", "--public-key", "k", "--r-target", "1.4", "--until", "1"];
  const refused = await cli(["round", ...round, "--seq-len", "32"], reader.key);
  expect([refused.code, refused.stderr]).toEqual([1, expect.stringContaining("it needs admin")]);
  const done = await cli(["round", ...round, "--seq-len", "32", "--api-key", ops.key]);
  expect(done.code).toBe(0);
  await node.stop();
});

test("a run with every secret there is prints none of them", async () => {
  const folder = temporaryFolder();
  const file = join(folder, "keys");
  const [listed, wrong] = [makeKey("listed", "admin"), makeKey("wrong", "admin")];
  await put(file, [listed.line]);
  const secrets = {
    PROOFMILL_API_KEY: "secret-of-the-flag-0001",
    PROOFMILL_UPSTREAM_API_KEY: "secret-of-the-upstream-2",
    PROOFMILL_CALLBACK_SECRET: "secret-of-signatures-0003",
    PROOFMILL_CALLBACK_TOKEN: "secret-of-callbacks-00004",
    HF_TOKEN: "secret-of-the-hub-000005",
  };
  // An aggregator and an upstream that fail: what goes wrong is logged.
  const failing = await listen(createServer((_request, response) => response.writeHead(500).end()));
  const args = [
    ...["--enable-poc", "--log-level", "trace", "--api-key-file", file, "--upstream", failing],
    ...["--callback-allow", new URL(failing).host, "--callback-interval", "20ms"],
  ];
  const node = await startServer({ args, env: secrets });
  const bearer = (key: string) => ({ authorization: `Bearer ${key}` });
  const ask = (path: string, init: RequestInit = {}) => fetch(node.url + path, init);
  const flag = bearer(secrets.PROOFMILL_API_KEY);
  expect((await ask("/api/v1/pow/status", { headers: flag })).status).toBe(200);
  expect((await ask("/api/v1/pow/status", { headers: bearer(wrong.key) })).status).toBe(401);
  await ask(`/api/v1/pow/status?api_key=${wrong.key}`);
  await ask("/v1/models", { headers: bearer(listed.key) });
  const id = await ask("/version", { headers: { ...flag, "x-request-id": "my-request.1" } });
  expect(id.headers.get("x-request-id")).toBe("my-request.1");
  const client = createPocClient({ url: node.url, apiKey: listed.key });
  await client.initGenerate({
    ...{ block_hash: "abc", block_height: 1, public_key: "k", r_target: 1.42 },
    ...{ node_id: 0, node_count: 1, seq_len: 32, callback_url: failing },
  });
  const socket = new WebSocket(`${node.url.replace("http", "ws")}/trpc`);
  socket.on("open", () => {
    socket.send(JSON.stringify({ method: "connectionParams", data: bearer(wrong.key) }));
  });
  expect(await new Promise((resolve) => socket.once("close", resolve))).toBe(4401);
  await poll(
    async () => (await client.nodeInfo()).delivery.failed_requests,
    (count) => count > 0,
  );
  await client.stop();
  // Who has stopped it stands in the log, whichever way it came.
  await stopByWebSocket(node.url, listed.key);
  const commands = await poll(
    () => node.logged("a command is carried out"),
    (lines) => lines.length === 3,
  );
  expect(commands.map(({ command, key, reqId }) => [command, key, typeof reqId])).toEqual(
    ["initGenerate", "stop", "stop"].map((command) => [command, "listed", "string"]),
  );
  const metrics = await (await ask("/metrics", { headers: flag })).text();
  expect(metrics).toMatch(/^proofmill_key_requests_total\{key="listed"\} [1-9]/m);
  expect(metrics).toMatch(/^proofmill_access_refused_total\{reason="unauthorized"\} [1-9]/m);
  for (const args of [["status"], ["info"], ["stop"], ["doctor"]]) {
    for (const key of [listed.key, wrong.key]) {
      const { stdout, stderr } = await runCli([...args, "--url", node.url], {
        ...secrets,
        PROOFMILL_API_KEY: key,
      });
      expect([args, stdout + stderr].join()).not.toMatch(/secret-of|proofmill_\w{43}/);
      expect(stdout + stderr).not.toContain(key);
    }
  }
  await writeFile(file, "listed admin secret-in-the-file-0006\n");
  await node.log("keys cannot be read again");
  await node.stop();
  const printed = node.output();
  const line = node.logged("request").find(({ reqId }) => reqId === "my-request.1");
  expect(line).toMatchObject({ key: "api-key", path: "/version", status: 200 });
  for (const secret of [
    ...Object.values(secrets),
    ...[listed.key, wrong.key, "secret-in-the-file-0006"],
  ]) {
    expect(printed).not.toContain(secret);
  }
  for (const [args, env] of [
    [["--api-key", "too-short"], {}],
    [["--callback-token", "a token with blanks"], {}],
    [["--upstream-api-key", "a key\nof two lines"], {}],
    [["--api-key-file", `proofmill_${"k".repeat(43)}`], {}],
    [[], { PROOFMILL_API_KEY: "signs-that-are-none-§§§" }],
  ] as const) {
    const { code, stdout, stderr } = await runCli(["serve", "--port", "0", ...args], env);
    expect(code).toBe(2);
    for (const secret of [args[1], ...Object.values(env)]) {
      if (secret !== undefined) expect(stdout + stderr).not.toContain(secret);
    }
  }
});

test("a caller's key that no header can hold is not quoted", async () => {
  for (const key of ["a-key\nof-two-lines", "a-key-with-a-“quote”", "Bearer a-key-pasted-whole"]) {
    const { code, stdout, stderr } = await runCli(["status", "--api-key", key]);
    expect([code, stdout, stderr]).toEqual([
      2,
      "",
      "proofmill: --api-key: expected the key alone: letters, digits and signs without blanks\n",
    ]);
  }
});

/** With the key in the first message, as browsers must show it. */
async function stopByWebSocket(url: string, key: string): Promise<void> {
  const socket = new WebSocket(`${url.replace("http", "ws")}/trpc?connectionParams=1`);
  await once(socket, "open");
  const data = { authorization: `Bearer ${key}` };
  socket.send(JSON.stringify({ method: "connectionParams", data }));
  socket.send(JSON.stringify({ id: 1, method: "mutation", params: { path: "pow.stop" } }));
  const [answer] = await once(socket, "message");
  expect(JSON.parse(String(answer))).toMatchObject({ id: 1, result: { type: "data" } });
  socket.close();
}

test("a node that others can reach says that it is open", async () => {
  const open = await startServer({ args: ["--host", "0.0.0.0"], until: "listening" });
  await open.log("whoever reaches this port commands the node");
  await open.stop();
});
