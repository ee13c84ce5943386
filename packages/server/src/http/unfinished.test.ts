/** What is not whole yet is bounded in all, and honest bodies come through. */
import { expect, test, vi } from "vitest";
import { PROOF } from "../test-support.ts";
import { listening } from "./test-support.ts";
import { Unfinished } from "./unfinished.ts";

const MiB = 2 ** 20;

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

test("a hundred bodies and messages that never end, and a proof beside them", async () => {
  const server = await listening();
  await server.post("/init", { ...PROOF, r_target: 1 });
  const head = "POST /api/v1/pow/validate HTTP/1.1\r\nHost: x\r\nContent-Length: 1048576\r\n\r\n";
  const handshake =
    "GET /trpc HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n" +
    "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
  const frame = Buffer.from([0x81, 0xff, 0, 0, 0, 0, 0, 0x10, 0, 0, 0, 0, 0, 0]);
  const bulk = Buffer.alloc(MiB - 1024, " ");
  const senders = [];
  for (let i = 0; i < 100; i++) {
    const sender = await server.open();
    senders.push(sender);
    for (const bytes of i % 2 === 0 ? [head, bulk] : [handshake, frame, bulk]) {
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
