/** What only a real socket shows. */
import { once } from "node:events";
import { createServer, type IncomingMessage } from "node:http";
import { type AddressInfo, connect } from "node:net";
import { text } from "node:stream/consumers";
import { afterAll, beforeAll, expect, onTestFinished, test } from "vitest";
import { startServer, type TestNode } from "../helpers.ts";

let node: TestNode;
beforeAll(async () => {
  node = await startServer({ args: ["--enable-poc", "--allow-host", "node.example"] });
});
afterAll(() => node.stop());

/** Sends bytes and gives what comes back until the server closes. */
async function raw(request: string): Promise<string> {
  const socket = connect(Number(new URL(node.url).port), "127.0.0.1");
  socket.write(request);
  return text(socket);
}

test.each([
  ["no HTTP", "GARBAGE\r\n\r\n", 400],
  [
    "two lengths",
    "POST /api/v1/pow/stop HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
    400,
  ],
  [
    "a length that is none",
    "POST /api/v1/pow/stop HTTP/1.1\r\nHost: x\r\nContent-Length: many\r\n\r\n",
    400,
  ],
  ["headers without end", `GET / HTTP/1.1\r\nHost: x\r\nA: ${"a".repeat(20_000)}\r\n\r\n`, 431],
])("%s", async (_name, request, status) => {
  const answer = await raw(request);
  expect(answer).toMatch(new RegExp(`^HTTP/1.1 ${status} `));
  expect(answer).toMatch(/\r\n\r\n\{"detail":"[^"]+"\}$/);
});

test("a body that nobody asked for is dropped", async () => {
  const body = "x".repeat(20 * 1024 * 1024);
  for (const path of ["/stop", "/phase/validate"]) {
    const response = await fetch(`${node.url}/api/v1/pow${path}`, { method: "POST", body });
    expect([200, 400]).toContain(response.status);
  }
  expect((await node.get("/health")).status).toBe(200);
});

test("a body beyond the limit is refused and the node lives on", async () => {
  const body = `"${"x".repeat(2 * 1024 * 1024)}"`;
  const answer = await raw(
    `POST /api/v1/pow/init HTTP/1.1\r\nHost: x\r\nContent-Length: ${body.length}\r\n\r\n`,
  );
  expect(answer).toMatch(/^HTTP\/1.1 413 /);
  expect(answer).toMatch(/\r\n\r\n\{"detail":"Request body is too large"\}$/);
  expect((await node.get("/health")).status).toBe(200);
});

test("a node answers to its own names, and says how to add one", async () => {
  const ask = (host: string) =>
    raw(`GET /version HTTP/1.1\r\nHost: ${host}\r\nConnection: close\r\n\r\n`);
  expect(await ask("node.example:8000")).toMatch(/^HTTP\/1.1 200 /);
  const refusal = await ask("other.example");
  expect(refusal).toMatch(/^HTTP\/1.1 403 /);
  expect(refusal).toContain("--allow-host");
});

test("no header of the request comes back but an id that is one", async () => {
  const answer = await raw(
    "GET /api/v1/pow/status HTTP/1.1\r\nHost: marker-a\r\nX-Request-Id: <marker-b>\r\n" +
      "Origin: http://marker-c\r\nConnection: close\r\n\r\n",
  );
  expect(answer).toMatch(/^HTTP\/1.1 200 /);
  expect(answer).not.toMatch(/marker-|access-control/i);
});

test("connections that end by halves, or ask nothing, do not use up the descriptors", async () => {
  const small = await startServer({ args: ["--enable-poc"], openFiles: 256 });
  onTestFinished(async () => void (await small.stop()));
  const port = Number(new URL(small.url).port);
  for (let i = 0; i < 400; i++) {
    const socket = connect({ port, host: "127.0.0.1", allowHalfOpen: true });
    onTestFinished(() => void socket.destroy());
    socket.on("error", () => {});
    socket.resume();
    await once(socket, "connect");
    socket.write(i % 2 === 0 ? "GARBAGE\r\n\r\n" : "GET /");
  }
  const begin = performance.now();
  expect((await small.get("/health")).status).toBe(200);
  expect(performance.now() - begin).toBeLessThan(3000);
});

test("an upstream that is away fills no log, and callers who leave do not either", async () => {
  const silent = createServer(() => {}).listen(0, "127.0.0.1");
  await once(silent, "listening");
  const { port } = silent.address() as AddressInfo;
  onTestFinished(() => silent.closeAllConnections());
  const forwarding = await startServer({
    args: ["--upstream", `http://127.0.0.1:${port}`],
    until: "listening",
  });
  onTestFinished(async () => void (await forwarding.stop()));
  let logged = "";
  forwarding.process.stdout?.on("data", (chunk) => {
    logged += chunk;
  });
  for (let i = 0; i < 20; i++) {
    const leaving = new AbortController();
    const arrived = once(silent, "request");
    const asked = fetch(`${forwarding.url}/v1/x`, { signal: leaving.signal });
    const [request] = (await arrived) as [IncomingMessage];
    const dropped = once(request.socket, "close");
    leaving.abort();
    await expect(asked).rejects.toThrow();
    await dropped; // else it would be this server that hangs up first
  }
  silent.closeAllConnections();
  await new Promise((resolve) => silent.close(resolve));
  for (let i = 0; i < 20; i++) expect((await forwarding.get("/v1/x")).status).toBe(502);
  const words = logged.split("\n").filter((line) => line.includes("upstream"));
  expect(words).toHaveLength(1);
  expect(JSON.parse(words[0] ?? "")).toMatchObject({
    msg: "the upstream does not answer",
    reason: "ECONNREFUSED",
  });
  expect(logged).not.toContain("errored");
});

/** Counts from now on what the node logs; gives what says how many bytes that was. */
function countLogged(): () => number {
  let logged = 0;
  const count = (chunk: Buffer) => {
    logged += chunk.length;
  };
  node.process.stdout?.on("data", count);
  return () => {
    node.process.stdout?.off("data", count);
    return logged;
  };
}

test("who hangs up in the middle of an answer fills no log", async () => {
  const logged = countLogged();
  const junk = (bytes: number) => `{"block_hash":[${"[],".repeat(bytes / 3)}1]}`;
  const body = junk(500_000);
  const head = "POST /trpc/pow.init HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n";
  for (let i = 0; i < 20; i++) {
    const socket = connect(Number(new URL(node.url).port), "127.0.0.1");
    socket.on("error", () => {});
    await new Promise((resolve) =>
      socket.write(`${head}Content-Length: ${body.length}\r\n\r\n${body}`, resolve),
    );
    if (i > 0) socket.destroy();
    else socket.resume();
  }
  // A longer body is read after those.
  const last = await fetch(`${node.url}/trpc/pow.init`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: junk(900_000),
  });
  expect(last.status).toBe(422);
  expect((await node.get("/health")).status).toBe(200);
  expect(logged()).toBeLessThan(1000);
});

test("a WebSocket's bad frames fill no log", async () => {
  const logged = countLogged();
  const socket = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n";
  const key = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
  for (let i = 0; i < 20; i++) {
    const answer = await raw(`GET /trpc HTTP/1.1\r\nHost: x\r\n${socket}${key}\r\n\xff\xff\xff`);
    expect(answer).toMatch(/^HTTP\/1.1 101 /);
  }
  expect(logged()).toBeLessThan(1000);
});
