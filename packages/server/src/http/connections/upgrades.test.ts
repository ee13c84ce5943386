/** Offers to upgrade: declined or taken, in the order in which requests came. */
import type { Socket } from "node:net";
import { expect, test, vi } from "vitest";
import { INIT_GENERATE } from "../../test-support.ts";
import { listening } from "../test-support.ts";

const PLAIN = "GET /version HTTP/1.1\r\nHost: x\r\n\r\n";
const H2C = (path: string, connection = "Upgrade, HTTP2-Settings") =>
  `GET ${path} HTTP/1.1\r\nHost: x\r\nConnection: ${connection}\r\nUpgrade: h2c\r\n` +
  "HTTP2-Settings: AAMAAABkAAQAoAAAAAIAAAAA\r\n\r\n";
const WEB_SOCKET =
  "GET /trpc HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n" +
  "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

/** A proof that is answered only when the runner is let go. */
const body = JSON.stringify({
  ...{ public_key: "node1", block_hash: "hash1", block_height: 100, node_id: 0 },
  ...{ nonces: [0, 1], dist: [0.1, 0.2] },
});
const SLOW =
  "POST /api/v1/pow/validate HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n" +
  `Content-Length: ${body.length}\r\n\r\n${body}`;

test.each([
  ["HTTP/2 again and again", H2C("/version") + H2C("/health") + H2C("/version"), "vhv"],
  ["HTTP/2 among plain ones", PLAIN + H2C("/health") + PLAIN, "vhv"],
  ["HTTP/2 after a plain one", PLAIN + H2C("/health"), "vh"],
  ["HTTP/2 after a slow one", SLOW + H2C("/health") + PLAIN, "dhv"],
  ["a WebSocket after a plain one", PLAIN + WEB_SOCKET, "vw"],
  ["a WebSocket after a slow one", SLOW + PLAIN + WEB_SOCKET, "dvw"],
])("pipelined: %s", async (_name, requests, order) => {
  const server = await listening();
  await server.post("/init", INIT_GENERATE);
  server.runner.hold();
  const client = await server.open();
  client.socket.write(requests);
  if (requests.startsWith("POST")) {
    await server.runner.started(0);
    expect(client.text()).toBe("");
  }
  server.runner.release();
  const answers = () =>
    client.text().match(/"version"|"status":"ok"|"distances"|101 Switching/g) ?? [];
  await vi.waitUntil(() => answers().length === order.length, { timeout: 5000 });
  const letter = {
    '"version"': "v",
    '"status":"ok"': "h",
    '"distances"': "d",
    "101 Switching": "w",
  };
  expect(answers().map((answer) => letter[answer as keyof typeof letter])).toEqual([...order]);
});

test("a declined offer leaves the rest of its request as it was", async () => {
  const server = await listening();
  const client = await server.open();
  client.socket.write(H2C("/version", "Upgrade, close, HTTP2-Settings"));
  await client.closed;
  expect(client.text()).toMatch(/^HTTP\/1.1 200 OK\r\n(.+\r\n)*connection: close\r\n/i);
});

test("however many offers are declined on a connection, nothing of them stays with it", async () => {
  const server = await listening();
  const accepted: Socket[] = [];
  server.app.server.on("connection", (socket: Socket) => accepted.push(socket));
  const client = await server.open();
  const kept: unknown[] = [];
  for (let offers = 1; offers <= 20; offers++) {
    client.socket.write(H2C("/health"));
    await vi.waitUntil(() => client.text().split('"status":"ok"').length > offers);
    const [socket] = accepted as [Socket];
    kept.push(socket.eventNames().map((name) => [name, socket.listenerCount(name)]));
  }
  expect(kept[19]).toEqual(kept[0]);
  client.socket.write(H2C("/version", "Upgrade, close, HTTP2-Settings"));
  await client.closed;
});

test.each([
  ["is reset", (socket: Socket) => socket.resetAndDestroy()],
  ["is closed", (socket: Socket) => socket.destroy()],
  ["sends more than anybody needs", (socket: Socket) => socket.write("x".repeat(200_000))],
])("a connection that %s while its upgrade waits is let go at once", async (_name, act) => {
  const server = await listening();
  await server.post("/init", INIT_GENERATE);
  server.runner.hold();
  const client = await server.open();
  client.socket.write(SLOW + WEB_SOCKET);
  await server.runner.started(0);
  act(client.socket);
  await vi.waitUntil(async () => (await server.connections()) === 0, { timeout: 5000 });
  server.runner.release();
  expect((await server.get("/health")).statusCode).toBe(200);
});

test("what comes while an upgrade waits is not lost", async () => {
  const server = await listening();
  await server.post("/init", INIT_GENERATE);
  server.runner.hold();
  const client = await server.open();
  client.socket.write(SLOW + H2C("/health"));
  await server.runner.started(0);
  client.socket.write(PLAIN.slice(0, 9));
  await server.get("/version");
  client.socket.write(PLAIN.slice(9) + PLAIN);
  await server.get("/version");
  server.runner.release();
  await vi.waitUntil(() => client.text().match(/"version"/g)?.length === 2, { timeout: 5000 });
});
