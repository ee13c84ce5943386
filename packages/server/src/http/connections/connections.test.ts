/** Slow and idle connections end, and keep nobody out. */
import { expect, onTestFinished, test, vi } from "vitest";
import { WebSocket } from "ws";
import { network } from "../../access/addresses.ts";
import { connectionLimits } from "./connections.ts";
import { type Bare, type Listening, listening } from "../test-support.ts";

const QUESTION = "GET /version HTTP/1.1\r\nHost: x\r\n\r\n";
const SUBSCRIPTION = "GET /trpc/pow.onStatus HTTP/1.1\r\nHost: x\r\n\r\n";

async function ask(connection: Bare, question = QUESTION): Promise<string> {
  connection.socket.write(question);
  await vi.waitUntil(() => connection.text().includes("\r\n\r\n"), { timeout: 5000 });
  return connection.text();
}

async function webSocket({ port }: Listening, localAddress = "127.0.0.1"): Promise<WebSocket> {
  const client = new WebSocket(`ws://127.0.0.1:${port}/trpc`, { localAddress });
  onTestFinished(() => client.terminate());
  client.on("error", () => {});
  await new Promise((resolve) => client.on("open", resolve).on("close", resolve));
  return client;
}

test("one connection too many: the longest idle one of its address ends", async () => {
  const server = await listening({ connectionLimits: { perAddress: 3 } });
  const first = await server.open();
  const asked = await server.open();
  const halfAsked = await server.open();
  await ask(asked); // idle for less long than the third now
  halfAsked.socket.write("GET /version HT");
  const stranger = await server.open("127.0.0.2");
  const newest = await server.open();
  await first.closed;
  const newer = await server.open();
  await halfAsked.closed;
  for (const connection of [asked, stranger, newest, newer]) {
    expect(await ask(connection)).toMatch(/^HTTP\/1.1 200 /);
  }
  expect(await server.connections()).toBe(4);
});

test("of an address that opens more than it asks, most are closed before they cost anything", async () => {
  const server = await listening({ connectionLimits: { newcomers: 3, exchanges: 1 } });
  const asked = await server.open();
  await ask(asked); // it is no newcomer any more
  const upload = await server.open();
  upload.socket.write("POST /api/v1/pow/init HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n{");
  const silent = [await server.open(), await server.open()];
  const newest = await server.open(); // one a second takes the place of the oldest
  await upload.closed;
  await (await server.open()).closed;
  const stranger = await server.open("127.0.0.2");
  for (const connection of [asked, ...silent, newest, stranger]) {
    const before = connection.text();
    connection.socket.write(QUESTION);
    await vi.waitUntil(() => connection.text() !== before, { timeout: 5000 });
  }
  expect(await ask(await server.open())).toMatch(/^HTTP\/1.1 200 /); // there is room again
});

test("one too many in all: the most crowded address gives up a place", async () => {
  const server = await listening({ connectionLimits: { inAll: 4 } });
  const honest = await server.open("127.0.0.2"); // the longest idle one of all
  const crowd = [await server.open(), await server.open(), await server.open()];
  const newcomer = await server.open("127.0.0.3");
  await crowd[0]?.closed;
  expect(await ask(honest)).toMatch(/^HTTP\/1.1 200 /);
  expect(await ask(newcomer)).toMatch(/^HTTP\/1.1 200 /);
  expect(await server.connections()).toBe(4);
});

test("who is being answered keeps the place, and a newcomer without one is closed", async () => {
  const server = await listening({ connectionLimits: { perAddress: 2 } });
  const subscribers = [await server.open(), await server.open()];
  for (const each of subscribers) await ask(each, SUBSCRIPTION);
  await (await server.open()).closed;
  expect(await ask(await server.open("127.0.0.2"))).toMatch(/^HTTP\/1.1 200 /);
  subscribers[0]?.socket.destroy();
  await vi.waitUntil(async () => (await server.connections()) === 2);
  expect(await ask(await server.open())).toMatch(/^HTTP\/1.1 200 /);
});

test("WebSockets leave places for questions", async () => {
  const server = await listening({ connectionLimits: { perAddress: 4, inAll: 6 } });
  const sockets = [];
  for (let i = 0; i < 4; i++) sockets.push(await webSocket(server));
  expect(sockets.map(({ readyState }) => readyState)).toEqual([
    ...[WebSocket.OPEN, WebSocket.OPEN, WebSocket.OPEN],
    WebSocket.CLOSED,
  ]);
  expect(await ask(await server.open())).toMatch(/^HTTP\/1.1 200 /);
  expect((await webSocket(server, "127.0.0.2")).readyState).toBe(WebSocket.OPEN);
  sockets[0]?.close();
  await vi.waitUntil(async () => (await webSocket(server)).readyState === WebSocket.OPEN);
});

test("so do event streams, which share those places with WebSockets", async () => {
  const server = await listening({ connectionLimits: { perAddress: 4 } });
  const streams = [await server.open(), await server.open()];
  for (const each of streams) expect(await ask(each, SUBSCRIPTION)).toMatch(/^HTTP\/1.1 200 /);
  expect((await webSocket(server)).readyState).toBe(WebSocket.OPEN);
  expect((await webSocket(server)).readyState).toBe(WebSocket.CLOSED);
  const other = await server.open();
  expect(await ask(other, SUBSCRIPTION)).toMatch(/^HTTP\/1.1 503 /);
  streams[0]?.socket.destroy();
  await vi.waitUntil(async () => (await server.connections()) === 3);
  // Over the same connection: it may go on asking.
  other.socket.write(QUESTION);
  await vi.waitUntil(() => other.text().includes("HTTP/1.1 200 "), { timeout: 5000 });
  expect(await ask(await server.open(), SUBSCRIPTION)).toMatch(/^HTTP\/1.1 200 /);
});

test("who asks nothing is let go, subscribers and WebSockets are not", async () => {
  const server = await listening({ connectionLimits: { idleMs: 300 } });
  const subscriber = await server.open();
  await ask(subscriber, SUBSCRIPTION);
  const socket = await webSocket(server);
  const silent = await server.open();
  const answered = await server.open();
  await ask(answered);
  await Promise.all([silent.closed, answered.closed]);
  expect(subscriber.socket.readyState).toBe("open");
  expect(socket.readyState).toBe(WebSocket.OPEN);
  expect(await server.connections()).toBe(2);
});

test("what does not come, or is no HTTP, is answered and ended: the other half may stay open", async () => {
  const pace = { leastRate: 1, slackMs: 300 };
  const server = await listening({ connectionLimits: { headersMs: 300, pace } });
  const cases: [bytes: string, status: number][] = [
    ["GET /version HTTP/1.1\r\nHost: x\r\n", 408],
    ["GARBAGE\r\n\r\n", 400],
    [`GET / HTTP/1.1\r\nA: ${"a".repeat(20_000)}`, 431],
    ["POST /api/v1/pow/init HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{", 408],
    // Here nobody waits for the body.
    ["POST /api/v1/pow/stop HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{", 200],
  ];
  await Promise.all(
    cases.map(async ([bytes, status]) => {
      const client = await server.open();
      expect(await ask(client, bytes)).toMatch(new RegExp(`^HTTP/1.1 ${status} `));
      await client.closed;
    }),
  );
  await vi.waitUntil(async () => (await server.connections()) === 0, { timeout: 5000 });
});

test("a body may take its time while it keeps coming", async () => {
  const pace = { leastRate: 20, slackMs: 1000 };
  const server = await listening({ connectionLimits: { pace } });
  const head = "POST /api/v1/pow/init HTTP/1.1\r\nHost: x\r\nContent-Length: 150\r\n\r\n";
  const steady = await server.open();
  const slow = await server.open();
  const sudden = await server.open(); // and then slow
  for (const each of [steady, slow, sudden]) each.socket.write(head);
  sudden.socket.write(" ".repeat(120));
  let sent = 0;
  const timer = setInterval(() => {
    sent += 10;
    if (sent <= 150) steady.socket.write(" ".repeat(10));
    if (sent % 50 === 0) for (const each of [slow, sudden]) each.socket.write(" ");
  }, 100);
  onTestFinished(() => clearInterval(timer));
  const all = [steady, slow, sudden];
  await vi.waitUntil(() => all.every((each) => each.text() !== ""), { timeout: 4000 });
  expect(steady.text()).toMatch(/^HTTP\/1.1 422 /);
  for (const each of [slow, sudden]) expect(each.text()).toMatch(/^HTTP\/1.1 408 /);
});

test("an address is an IPv4 address, or a network of IPv6 addresses", () => {
  expect(network("127.0.0.1")).toBe("127.0.0.1");
  expect(network("::ffff:10.0.0.7")).toBe("10.0.0.7");
  expect(network("2001:db8:0:1:a:b:c:d")).toBe("2001:db8:0:1::/64");
  expect(network("2001:db8:0:1::d")).toBe("2001:db8:0:1::/64");
  expect(network("2001:db8::1")).toBe("2001:db8:0:0::/64");
  expect(network("fe80::1%eth0")).toBe("fe80:0:0:0::/64");
  expect(network("::1")).toBe("0:0:0:0::/64");
});

test("a thousand subscribers of one address find room", () => {
  const { perAddress, inAll } = connectionLimits(1);
  expect(perAddress * 0.75).toBeGreaterThanOrEqual(1000);
  expect(connectionLimits(2).inAll).toBeLessThanOrEqual(inAll);
});
