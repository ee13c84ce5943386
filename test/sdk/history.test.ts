/** What a whole node remembers, read by the SDK. */
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { createPocClient } from "@proofmill/client";
import { expect, onTestFinished, test, vi } from "vitest";
import { INIT, startFakeNode } from "../fake-node.ts";

test("events of runners, rounds and callbacks; points of time", async () => {
  let status = 500;
  const aggregator = createServer((request, response) => {
    request.resume().on("end", () => response.writeHead(status).end());
  });
  await new Promise<void>((resolve) => aggregator.listen(0, "127.0.0.1", resolve));
  onTestFinished(() => void aggregator.close());
  const { port } = aggregator.address() as AddressInfo;
  const { url } = await startFakeNode({ devices: ["cpu"] });
  const client = createPocClient({ url });
  const texts = async () => (await client.nodeEvents()).events.map(({ text }) => text);
  const told = (text: string) =>
    vi.waitUntil(async () => (await texts()).includes(text), { timeout: 20_000 });

  expect(await texts()).toEqual(["The runner cpu has its model"]);
  await client.initGenerate({ ...INIT, callback_url: `http://127.0.0.1:${port}` });
  const host = `127.0.0.1:${port}`;
  await told(`Finds cannot be delivered to ${host}, they are tried again: it answered 500`);
  status = 200;
  await told(`Finds are delivered to ${host} again`);

  await vi.waitUntil(async () => (await client.nodeHistory()).ten_minutes.at.length >= 2, {
    timeout: 20_000,
  });
  const { ten_minutes } = await client.nodeHistory({ seconds: 60 });
  expect(Math.max(...ten_minutes.checked)).toBeGreaterThan(0);
  expect(ten_minutes.state.at(-1)).toBe("GENERATING");
  const { events } = await client.nodeEvents();
  const last = events.at(-1)?.id ?? 0;
  expect((await client.nodeEvents({ since: last })).events).toEqual([]);
});
