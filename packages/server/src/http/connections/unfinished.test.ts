/** What is not whole yet is bounded in all, and honest bodies come through. */
import { once } from "node:events";
import { expect, test, vi } from "vitest";
import { PROOF } from "../../test-support.ts";
import { listening } from "../test-support.ts";
import { Unfinished } from "./unfinished.ts";

const MiB = 2 ** 20;
const HANDSHAKE =
  "GET /trpc HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n" +
  "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

test("too much in all: who has held the most for the longest is thrown out", async () => {
  const time = vi.spyOn(performance, "now").mockReturnValue(0);
  const unfinished = new Unfinished(1, 100);
  const ended: string[] = [];
  const begin = (name: string) => unfinished.begin(() => ended.push(name));
  const [large, old] = [begin("large"), begin("old")];
  large.add(60);
  old.add(30);
  time.mockReturnValue(1000);
  const young = begin("young");
  young.add(10);
  expect(ended).toEqual([]);
  young.add(80); // 90 bytes for no time
  expect(ended).toEqual(["large"]);
  young.done();
  young.done();
  begin("last").add(71);
  expect(ended).toEqual(["large", "old"]);
  time.mockRestore();
});

test("what need not be kept any more counts no longer, and what follows is young", () => {
  const time = vi.spyOn(performance, "now").mockReturnValue(0);
  const unfinished = new Unfinished(1, 100);
  const ended: string[] = [];
  const begin = (name: string) => unfinished.begin(() => ended.push(name));
  const chatty = begin("chatty");
  chatty.add(90);
  chatty.remove(90);
  time.mockReturnValue(1000);
  chatty.remove(10); // more than there is
  chatty.add(10);
  const large = begin("large");
  large.add(90);
  expect(ended).toEqual([]);
  time.mockReturnValue(2000);
  chatty.add(1);
  expect(ended).toEqual(["large"]);
  time.mockRestore();
});

test("pings and pongs are not kept: they may come for as long as they like", async () => {
  const server = await listening();
  const { socket, text, closed } = await server.open();
  socket.write(HANDSHAKE);
  await once(socket, "data");
  const mask = Buffer.alloc(4);
  const pong = Buffer.concat([Buffer.from([0x8a, 0x80 | 125]), mask, Buffer.alloc(125)]);
  socket.write(Buffer.alloc(17 * MiB - ((17 * MiB) % pong.length), pong));
  socket.write(Buffer.concat([Buffer.from([0x89, 0x80 | 6]), mask, Buffer.from("there?")]));
  const answered = vi.waitUntil(() => text().includes("there?"), { timeout: 20_000 });
  await Promise.race([answered, closed.then(() => expect.fail("the connection was ended"))]);
});

test("a hundred bodies and messages that never end, and a proof beside them", async () => {
  const server = await listening();
  await server.post("/init", { ...PROOF, r_target: 1 });
  const head = "POST /api/v1/pow/validate HTTP/1.1\r\nHost: x\r\nContent-Length: 1048576\r\n\r\n";
  const frame = Buffer.from([0x81, 0xff, 0, 0, 0, 0, 0, 0x10, 0, 0, 0, 0, 0, 0]);
  const bulk = Buffer.alloc(MiB - 1024, " ");
  const senders = [];
  for (let i = 0; i < 100; i++) {
    const sender = await server.open();
    senders.push(sender);
    for (const bytes of i % 2 === 0 ? [head, bulk] : [HANDSHAKE, frame, bulk]) {
      sender.socket.write(bytes);
    }
  }
  let ended = 0;
  for (const { closed } of senders) void closed.then(() => ended++);
  // 16 MiB stay: of a hundred all but 16 have to go.
  await vi.waitUntil(() => ended >= 84, { timeout: 20_000 });
  const proof = await fetch(`http://127.0.0.1:${server.port}/api/v1/pow/validate`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ ...PROOF, ignored: "x".repeat(100_000) }),
  });
  expect(proof.status).toBe(200);
  expect(ended).toBeLessThan(95);
});
