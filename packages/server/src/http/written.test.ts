/** Answers with long lists: never written at once. */
import { once } from "node:events";
import type { AddressInfo } from "node:net";
import { expect, onTestFinished, test, vi } from "vitest";
import { WebSocket } from "ws";
import { INIT, PROOF, type TestServer, testServer } from "../test-support.ts";

/** Items of a list that may be written in one turn of the event loop. */
const SLICE = 8192;
const COUNT = 65_536;

/** Each asks for a verdict and gives it as it came. */
const DOORS: [string, (server: TestServer, proof: string) => Promise<unknown>][] = [
  ["REST", async ({ post }, proof) => (await post("/validate", proof)).json()],
  [
    "tRPC over HTTP",
    async ({ app }, proof) => {
      const headers = { "content-type": "application/json" };
      const url = "/trpc/pow.validate";
      const response = await app.inject({ method: "POST", url, headers, payload: proof });
      return response.json().result.data;
    },
  ],
  [
    "a batch over HTTP",
    async ({ app }, proof) => {
      const headers = { "content-type": "application/json" };
      const payload = `{"1":${proof}}`;
      const url = "/trpc/pow.stop,pow.validate?batch=1";
      return (await app.inject({ method: "POST", url, headers, payload })).json()[1].result.data;
    },
  ],
  [
    "tRPC over WebSocket",
    async ({ app }, proof) => {
      const { port } = app.server.address() as AddressInfo;
      const client = new WebSocket(`ws://127.0.0.1:${port}/trpc`);
      onTestFinished(() => client.terminate());
      await once(client, "open");
      const params = `{"path":"pow.validate","input":${proof}}`;
      client.send(`{"id":1,"method":"mutation","params":${params}}`);
      const [message] = await once(client, "message");
      return JSON.parse(String(message)).result.data;
    },
  ],
];

/** The longest list that `JSON.stringify` met in anything that it was given meanwhile. */
function longestWritten(): () => number {
  const stringify = vi.spyOn(JSON, "stringify");
  onTestFinished(() => void stringify.mockRestore());
  const longest = (value: unknown): number =>
    typeof value === "object" && value !== null
      ? Math.max(
          Array.isArray(value) ? value.length : 0,
          ...Object.values(value).slice(0, 100).map(longest),
        )
      : 0;
  return () => Math.max(...stringify.mock.calls.map(([value]) => longest(value)));
}

test.each(DOORS)("a long verdict over %s is whole, and written in slices", async (_, ask) => {
  const server = await testServer({ maxValidateNonces: COUNT, distance: () => 0.123456789 });
  await server.app.listen({ host: "127.0.0.1", port: 0 });
  await server.post("/init", INIT);
  const nonces = Array.from({ length: COUNT }, (_, i) => i);
  const dist = nonces.map((nonce) => nonce / COUNT);
  const recomputed = nonces.map(() => Math.fround(0.123456789));
  const validate = vi.spyOn(server.service, "validate");
  const proof = JSON.stringify({ ...PROOF, nonces, dist });
  const longest = longestWritten();
  const answer = await ask(server, proof);
  expect(longest()).toBeLessThanOrEqual(SLICE);
  expect(answer).toMatchObject({ status: "OK", n_invalid: COUNT / 2 });
  expect(answer).toEqual(await validate.mock.results[0]?.value);
  expect(answer).toMatchObject({ nonces, distances: recomputed, received_dist: dist });
});
