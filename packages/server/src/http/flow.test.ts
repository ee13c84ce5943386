/** What one connection can ask for at once, and what waits for those who do not read. */
import { once } from "node:events";
import { type AddressInfo, connect, type Socket } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import type { CommandAnswer, Status } from "@proofmill/core";
import { expect, onTestFinished, test, vi } from "vitest";
import { WebSocket } from "ws";
import { INIT_GENERATE, type TestServer, testServer } from "../test-support.ts";
import { FlowingWebSocket } from "./web-socket.ts";

interface Listening extends TestServer {
  port: number;
  /** Bytes that the node has written and the kernel has not taken, over all connections. */
  owed(): number;
  /** Bytes that the node has read, of all connections. */
  read(): number;
}

/** A stopped round with at least so many finds. */
async function listening(finds = 0): Promise<Listening> {
  const server = await testServer({ distance: () => 0.123456789 });
  const sockets = new Set<Socket>();
  server.app.server.on("connection", (socket: Socket) => sockets.add(socket));
  await server.app.listen({ host: "127.0.0.1", port: 0 });
  if (finds > 0) {
    await server.post("/init/generate", { ...INIT_GENERATE, batch_size: 1024 });
    await vi.waitUntil(() => server.service.status({ limit: 1 }).total_valid >= finds, 20_000);
    await server.post("/stop");
  }
  return {
    ...server,
    port: (server.app.server.address() as AddressInfo).port,
    owed: () => [...sockets].reduce((sum, socket) => sum + socket.writableLength, 0),
    read: () => [...sockets].reduce((sum, socket) => sum + socket.bytesRead, 0),
  };
}

function open(port: number): Socket {
  const socket = connect(port, "127.0.0.1");
  onTestFinished(() => void socket.destroy());
  return socket;
}

const HANDSHAKE =
  "GET /trpc HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
  "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n";

const get = (target: string) => `GET ${target} HTTP/1.1\r\nHost: a\r\n\r\n`;

/** Resolves when the node has stopped doing anything for what it was asked. */
async function settled(count: () => number): Promise<number> {
  for (let last = -1; ; ) {
    const now = count();
    if (now === last) return now;
    last = now;
    await sleep(200); // a node that went on would have begun hundreds of requests meanwhile
  }
}

/** Reads so many answers with a Content-Length; gives their bodies. */
async function answers(socket: Socket, count: number): Promise<string[]> {
  const bodies: string[] = [];
  let bytes = Buffer.alloc(0);
  const chunks: Buffer[] = [];
  let wanted = 1;
  for await (const chunk of socket as AsyncIterable<Buffer>) {
    chunks.push(chunk);
    if (bytes.length + chunks.reduce((sum, { length }) => sum + length, 0) < wanted) continue;
    bytes = Buffer.concat([bytes, ...chunks.splice(0)]);
    for (;;) {
      const end = bytes.indexOf("\r\n\r\n");
      const length =
        end === -1 ? null : /content-length: (\d+)/i.exec(bytes.toString("latin1", 0, end));
      wanted = length ? end + 4 + Number(length[1]) : bytes.length + 1;
      if (bytes.length < wanted) break;
      bodies.push(bytes.toString("utf8", end + 4, wanted));
      bytes = bytes.subarray(wanted);
      if (bodies.length === count) return bodies;
    }
  }
  return bodies;
}

test("who does not read is not answered any further, and gets everything once he does", async () => {
  const server = await listening(20_000);
  const status = vi.spyOn(server.service, "status");
  const client = open(server.port).pause();
  const count = 60;
  client.write(get("/api/v1/pow/status").repeat(count));
  const begun = await settled(() => status.mock.calls.length);
  // The kernel takes some; what lies beyond is one answer.
  expect(begun).toBeLessThan(count / 2);
  expect(server.owed()).toBeLessThan(1_000_000);
  const { valid_nonces } = server.service.status();
  const bodies = await answers(client.resume(), count);
  expect(bodies).toHaveLength(count);
  for (const body of bodies) expect(JSON.parse(body).valid_nonces).toEqual(valid_nonces);
});

test.each([
  ["the gate", "POST /v1/completions HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"],
  [
    "another host",
    "POST /version HTTP/1.1\r\nHost: evil.com\r\nContent-Length: 10000000000\r\n\r\n",
  ],
  ["a WebSocket with its length", `${HANDSHAKE}\x81\xff\0\0\0\x02\x80\0\0\0\0\0\0\0`],
  ["a WebSocket that has said goodbye", `${HANDSHAKE}\x88\x80\0\0\0\0`],
  ["an unknown path", "POST /no HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"],
  ["a length", "POST /api/v1/pow/init HTTP/1.1\r\nHost: a\r\nContent-Length: 10000000000\r\n\r\n"],
])(
  "of a body without end that %s refuses little is read, and the next comes later",
  async (_, head) => {
    const server = await listening();
    await server.post("/init/generate", INIT_GENERATE);
    const client = connect({ port: server.port, host: "127.0.0.1", allowHalfOpen: true });
    onTestFinished(() => void client.destroy());
    const happens = (event: string) => new Promise((resolve) => client.once(event, resolve));
    const closed = happens("close");
    client.on("error", () => {}).write(Buffer.from(head, "latin1"));
    await happens("data");
    const answered = performance.now();
    const piece = Buffer.from(`10000\r\n${" ".repeat(65_536)}\r\n`);
    for (let sent = 0; sent < 64 * 2 ** 20 && !client.destroyed; sent += piece.length) {
      if (!client.resume().write(piece)) await Promise.race([happens("drain"), closed]);
    }
    expect(server.read()).toBeGreaterThan(0);
    expect(server.read()).toBeLessThan(1.5 * 2 ** 20);
    expect(performance.now() - answered).toBeGreaterThan(100); // a second, by the clock
  },
);

test("a short body that is refused costs no connection", async () => {
  const server = await listening();
  await server.post("/init/generate", INIT_GENERATE);
  const client = open(server.port);
  const chunk = `10000\r\n${" ".repeat(65_536)}\r\n`.repeat(12);
  client.write(
    "POST /v1/completions HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n" +
      `${chunk}0\r\n\r\n${get("/version")}`,
  );
  const [refusal = "", version = ""] = await answers(client, 2);
  expect(refusal).toContain("PoC in progress");
  expect(version).toContain("version");
});

test("thousands of small requests in one write are answered in their order", async () => {
  const server = await listening();
  const client = open(server.port);
  const targets = Array.from({ length: 1500 }, (_, i) => (i % 3 === 0 ? "/version" : `/no/${i}`));
  client.write(targets.map(get).join(""));
  const bodies = await answers(client, targets.length);
  expect(bodies.map((body) => body.includes("version"))).toEqual(
    targets.map((target) => target === "/version"),
  );
});

test("requests before a half-close are all answered", async () => {
  const server = await listening();
  const client = open(server.port);
  client.end(get("/version").repeat(50));
  expect(await answers(client, 50)).toHaveLength(50);
});

test("a body comes whole, however it is cut, and the request after it is answered", async () => {
  const server = await listening();
  const client = open(server.port);
  const text = JSON.stringify({
    ...INIT_GENERATE,
    public_key: "\r\n\r\n".repeat(200),
    more: "x".repeat(300_000),
  });
  client.write(
    "POST /api/v1/pow/init HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n" +
      `Content-Length: ${text.length}\r\n\r\n${text}${get("/version")}`,
  );
  const [init = "", version = ""] = await answers(client, 2);
  expect(JSON.parse(init)).toMatchObject({ status: "OK" });
  expect(version).toContain("version");
});

test("one connection has one stream of events at a time", async () => {
  const server = await listening(1000);
  const watch = vi.spyOn(server.service, "watchValidNonces");
  const client = open(server.port).pause();
  client.write(get("/trpc/pow.onValidNonces").repeat(800));
  expect(await settled(() => watch.mock.calls.length)).toBe(1);
  client.destroy();
});

test("documents are written once", async () => {
  const server = await listening();
  for (const path of ["/openapi.json", "/docs"]) await server.get(path);
  const written = vi.spyOn(JSON, "stringify");
  for (const path of ["/openapi.json", "/docs", "/openapi.json", "/docs", "/openapi.json"]) {
    expect((await server.get(path)).statusCode).toBe(200);
  }
  const lengths = written.mock.results.map(({ value }) => String(value).length);
  written.mockRestore();
  expect(Math.max(0, ...lengths)).toBeLessThan(200);
});

test("whole lists are written once for REST, batches, commands and events", async () => {
  const server = await listening(5000);
  const url = `http://127.0.0.1:${server.port}`;
  const { valid_nonces, valid_distances, total_valid } = server.service.status();
  const written = vi.spyOn(JSON, "stringify");
  const ask = async (path: string, method = "GET") =>
    (await fetch(url + path, { method })).json() as Promise<unknown>;
  const rest = (await ask("/api/v1/pow/status")) as Status;
  const page = (await ask("/api/v1/pow/status?since=7&limit=4000")) as Status;
  const { pow_status } = (await ask("/api/v1/pow/stop", "POST")) as CommandAnswer;
  const calls = Array(32).fill("pow.status");
  const batch = (await ask(`/trpc/${calls}?batch=1`)) as { result: { data: Status } }[];
  const lines = await fetch(`${url}/trpc/${calls}?batch=1`, {
    headers: { "trpc-accept": "application/jsonl" },
  });
  const streamed = await lines.text();
  const longest = Math.max(...written.mock.results.map(({ value }) => String(value).length));
  written.mockRestore();
  for (const status of [rest, pow_status, ...batch.map(({ result }) => result.data)]) {
    expect(status.valid_nonces).toEqual(valid_nonces);
    expect(status.valid_distances).toEqual(valid_distances);
  }
  expect(page.valid_nonces).toEqual(valid_nonces.slice(7, 4007));
  expect(streamed.split(JSON.stringify(valid_nonces))).toHaveLength(33);
  // Of what the node wrote nothing held a list.
  expect(longest).toBeLessThan(20_000);

  const events = await fetch(`${url}/trpc/pow.onValidNonces`);
  let found = "";
  for await (const chunk of events.body as AsyncIterable<Uint8Array>) {
    found += Buffer.from(chunk);
    if (found.includes(`id: ${rest.round_id}:${total_valid}`)) break;
  }
  const nonces = [...found.matchAll(/^data: (\{"type":"nonces".*)$/gm)].flatMap(
    ([, data]) => JSON.parse(String(data)).nonces,
  );
  expect(nonces).toEqual(valid_nonces);
});

/** A WebSocket that begins to read when it is told to. */
async function webSocket(server: Listening) {
  const client = new WebSocket(`ws://127.0.0.1:${server.port}/trpc`);
  onTestFinished(() => client.terminate());
  const messages: { id: number; result?: { data?: { valid_nonces?: number[] } } }[] = [];
  client.on("message", (data) => messages.push(JSON.parse(String(data))));
  await once(client, "open");
  return { client, messages };
}

test("a WebSocket that does not read is not read, and gets every answer once it does", async () => {
  const server = await listening(20_000);
  const status = vi.spyOn(server.service, "status");
  const { client, messages } = await webSocket(server);
  client.pause();
  const count = 60;
  for (let id = 0; id < count; id++) {
    client.send(JSON.stringify({ id, method: "query", params: { path: "pow.status" } }));
  }
  expect(await settled(() => status.mock.calls.length)).toBeLessThan(count / 2);
  // A few answers of the sixty, which take 30 MB; their bytes are the same.
  expect(server.owed()).toBeLessThan(4_000_000);
  client.resume();
  await vi.waitUntil(() => messages.length === count, 20_000);
  const { valid_nonces } = server.service.status();
  for (const { result } of messages) expect(result?.data?.valid_nonces).toEqual(valid_nonces);
});

test("calls that take long are bounded too, and all answered in the end", async () => {
  const server = await listening();
  let answer = () => {};
  const held = new Promise<void>((resolve) => {
    answer = resolve;
  });
  const stop = server.service.stop.bind(server.service);
  const called = vi.spyOn(server.service, "stop").mockImplementation(async () => {
    await held;
    return stop();
  });
  const { client, messages } = await webSocket(server);
  for (let id = 0; id < 1000; id++) {
    client.send(JSON.stringify({ id, method: "mutation", params: { path: "pow.stop" } }));
  }
  expect(await settled(() => called.mock.calls.length)).toBeLessThan(140);
  answer();
  await vi.waitUntil(() => messages.length === 1000, 20_000);
});

test("subscriptions of a socket that does not read wait, and end with it at once", async () => {
  const server = await listening(20_000);
  let watching = 0;
  let given = 0;
  const watch = server.service.watchValidNonces.bind(server.service);
  vi.spyOn(server.service, "watchValidNonces").mockImplementation(async function* (options) {
    watching++;
    try {
      for await (const event of watch(options)) {
        given++;
        yield event;
      }
    } finally {
      watching--;
    }
  });
  const { client } = await webSocket(server);
  client.pause();
  for (let id = 0; id < 64; id++) {
    client.send(
      JSON.stringify({ id, method: "subscription", params: { path: "pow.onValidNonces" } }),
    );
  }
  await vi.waitUntil(() => watching > 0);
  await settled(() => given);
  // The announcement, ten pieces and what the kernel took: far from all of 64 × 11.
  expect(given).toBeLessThan(300);
  for (const socket of server.app.websocketServer.clients) socket.close(1008, "enough");
  await vi.waitUntil(() => watching === 0, 1000);
});

test("thousands of subscriptions are told something by turns, between which others are answered", async () => {
  const server = await listening();
  const clients = await Promise.all(Array.from({ length: 16 }, () => webSocket(server)));
  for (const { client } of clients) {
    for (let id = 0; id < 64; id++) {
      const params = { path: "pow.onStatus" };
      client.send(JSON.stringify({ id, method: "subscription", params }));
    }
  }
  const told = (each: number) => clients.every(({ messages }) => messages.length >= 64 * each);
  await vi.waitUntil(() => told(2), 20_000);

  let most = 0; // sent in one turn of the event loop
  const send = vi.spyOn(FlowingWebSocket.prototype, "send");
  let last = 0;
  let isOver = false;
  const look = () => {
    most = Math.max(most, send.mock.calls.length - last);
    last = send.mock.calls.length;
    if (!isOver) setImmediate(look);
  };
  look();
  await server.post("/init", INIT_GENERATE);
  await vi.waitUntil(() => told(3), 20_000);
  isOver = true;
  send.mockRestore();
  expect(most).toBeGreaterThan(0);
  expect(most).toBeLessThan(512);
});

test("a handshake and what follows it in the same write are understood", async () => {
  const server = await listening();
  const client = open(server.port);
  const message = JSON.stringify({ id: 1, method: "query", params: { path: "node.info" } });
  const frame = [0x81, 0x80 | message.length, 0, 0, 0, 0, ...Buffer.from(message)];
  client.write(
    Buffer.concat([
      Buffer.from(
        "GET /trpc HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
          "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n" +
          `X-Long: ${"x".repeat(300)}\r\n\r\n`,
      ),
      ...Array(20).fill(Buffer.from(frame)),
    ]),
  );
  let text = "";
  client.on("data", (chunk) => {
    text += chunk.toString("latin1");
  });
  await vi.waitUntil(() => text.split('"test-model"').length === 21);
});
