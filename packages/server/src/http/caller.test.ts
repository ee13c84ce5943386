/** Proofs whose callers hang up, over every door. */
import { once } from "node:events";
import { type AddressInfo, connect, type Socket } from "node:net";
import { expect, test, vi } from "vitest";
import { WebSocket } from "ws";
import { INIT, INIT_GENERATE, PROOF, testServer } from "../test-support.ts";

/** Asks over a connection of its own. */
async function post(port: number, path: string): Promise<Socket> {
  const socket = connect(port, "127.0.0.1");
  await once(socket, "connect");
  const body = JSON.stringify(PROOF);
  socket.write(
    `POST ${path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n` +
      `Content-Length: ${body.length}\r\n\r\n${body}`,
  );
  return socket;
}

/** Each sends a proof and gives what hangs up. */
const DOORS: [string, (port: number) => Promise<() => unknown>][] = [
  [
    "REST",
    async (port) => {
      const socket = await post(port, "/api/v1/pow/validate");
      return () => socket.destroy();
    },
  ],
  [
    "REST, saying goodbye",
    async (port) => {
      const socket = await post(port, "/api/v1/pow/validate");
      return () => socket.end();
    },
  ],
  [
    "tRPC over HTTP",
    async (port) => {
      const socket = await post(port, "/trpc/pow.validate");
      return () => socket.destroy();
    },
  ],
  [
    "tRPC over WebSocket",
    async (port) => {
      const socket = new WebSocket(`ws://127.0.0.1:${port}/trpc`);
      await once(socket, "open");
      const params = { path: "pow.validate", input: PROOF };
      socket.send(JSON.stringify({ id: 1, method: "mutation", params }));
      return () => socket.terminate();
    },
  ],
];

async function listening() {
  const server = await testServer();
  server.runner.hold();
  await server.app.listen({ host: "127.0.0.1", port: 0 });
  return { ...server, port: (server.app.server.address() as AddressInfo).port };
}

test.each(DOORS)("a proof is dropped when its caller over %s is gone", async (_, ask) => {
  const { service, runner, port } = await listening();
  await service.init(INIT);
  const hangUp = await ask(port);
  const job = await runner.started(0);
  expect(runner.cancelled).toEqual([]);
  hangUp();
  await vi.waitFor(() => expect(runner.cancelled).toEqual([job.id]));
  // Nothing of it is left: the search gets both places.
  await service.initGenerate(INIT_GENERATE);
  await runner.started(2);
  expect(runner.waiting).toEqual([1, 2]);
});

test("proofs that share a connection are dropped together, those of others are not", async () => {
  const { service, runner, port, post: inject } = await listening();
  await service.init(INIT);
  const socket = new WebSocket(`ws://127.0.0.1:${port}/trpc`);
  await once(socket, "open");
  for (const id of [1, 2]) {
    const params = { path: "pow.validate", input: PROOF };
    socket.send(JSON.stringify({ id, method: "mutation", params }));
  }
  await runner.started(1);
  const other = inject("/validate", PROOF);
  socket.terminate();
  await vi.waitFor(() => expect(runner.cancelled.toSorted()).toEqual([0, 1]));
  await runner.started(2);
  runner.release();
  expect((await other).statusCode).toBe(200);
});
