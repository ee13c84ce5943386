/** A crowd of event streams over HTTP. */
import type { Socket } from "node:net";
import { setImmediate as nextTurn } from "node:timers/promises";
import { expect, test, vi } from "vitest";
import { type Bare, listening } from "../../http/test-support.ts";
import { INIT } from "../../test-support.ts";

const COUNT = 200;

test("event streams are told by turns: a crowd of them does not hold the event loop", async () => {
  const server = await listening();
  const sockets: Socket[] = [];
  server.app.server.on("connection", (socket) => sockets.push(socket));
  const streams: Bare[] = [];
  for (let i = 0; i < COUNT; i++) {
    const stream = await server.open();
    stream.socket.write("GET /trpc/pow.onStatus HTTP/1.1\r\nHost: x\r\n\r\n");
    streams.push(stream);
  }
  const areTold = (what: string) => streams.every((each) => each.text().includes(what));
  await vi.waitUntil(() => areTold('"state"'), { timeout: 20_000 });
  const written = () => sockets.map(({ bytesWritten }) => bytesWritten);
  let last = written();
  let most = 0;
  await server.post("/init", INIT);
  while (!areTold(INIT.block_hash)) {
    await nextTurn();
    const now = written();
    most = Math.max(most, now.filter((bytes, i) => bytes > (last[i] ?? 0)).length);
    last = now;
  }
  expect(most).toBeLessThan(COUNT / 4);
});
