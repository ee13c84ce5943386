import { expect, onTestFinished, test, vi } from "vitest";
import { logRounds } from "./round-log.ts";
import { INIT_GENERATE, testServer } from "./test-support.ts";

/** A server with a fake runner, and what the log of its rounds says. */
async function logged(options: Parameters<typeof testServer>[0]) {
  const server = await testServer(options);
  const lines: [string, Record<string, unknown>][] = [];
  const add = (fields: object, message: string) =>
    lines.push([message, fields as Record<string, unknown>]);
  onTestFinished(logRounds(server.service, { info: add, warn: add } as never));
  return { ...server, lines, messages: () => lines.map(([message]) => message) };
}

test("a round's beginning, its progress and its end", async () => {
  vi.useFakeTimers({ toFake: ["setInterval", "clearInterval"] });
  onTestFinished(() => void vi.useRealTimers());
  let computed = 0;
  const { service, lines, messages } = await logged({
    distance: () => (computed++ % 2 ? 1 : 0.25),
  });
  await service.initGenerate(INIT_GENERATE);
  expect(lines).toEqual([
    [
      "round state",
      {
        ...{ state: "GENERATING", round_id: expect.any(String), block_hash: "hash1" },
        ...{ block_height: 100, public_key: "node1", r_target: 0.5, node_id: 0, node_count: 1 },
      },
    ],
  ]);
  await vi.waitUntil(() => service.status().total_valid > 0);
  vi.advanceTimersByTime(10_000);
  expect(messages()).toEqual(["round state", "searching"]);
  expect(lines[1]?.[1]).toMatchObject({
    total_checked: expect.any(Number),
    total_valid: expect.any(Number),
    expected: expect.any(Number),
  });
  await service.stop();
  expect(messages()).toEqual(["round state", "searching", "the search has ended", "round state"]);
  const { total_checked, total_valid } = service.status();
  expect(lines[2]?.[1]).toMatchObject({ total_checked, total_valid });
  vi.advanceTimersByTime(60_000);
  expect(lines).toHaveLength(4);
});

test("a node that ends without a round tells of none", async () => {
  const { service, lines } = await logged({});
  await service.stop();
  await service.close();
  expect(lines).toEqual([]);
});

test("one warning for a target that every nonce meets", async () => {
  const all = await logged({ distance: () => 0.25 });
  await all.service.initGenerate(INIT_GENERATE);
  await vi.waitUntil(() => all.service.status().total_checked > 300);
  await all.service.stop();
  const warnings = (messages: string[]) =>
    messages.filter((each) => each.startsWith("every nonce"));
  expect(warnings(all.messages())).toEqual(["every nonce so far is valid: is r_target meant so?"]);

  const beyond = await logged({ distance: () => 0.25 });
  await beyond.service.initGenerate({ ...INIT_GENERATE, r_target: 2 });
  await beyond.service.stop();
  await beyond.service.phaseGenerate();
  expect(warnings(beyond.messages())).toEqual([
    "every nonce is valid: no distance is greater than 2",
  ]);

  let computed = 0;
  const some = await logged({ distance: () => (computed++ === 7 ? 1 : 0.25) });
  await some.service.initGenerate(INIT_GENERATE);
  await vi.waitUntil(() => some.service.status().total_checked > 300);
  expect(warnings(some.messages())).toEqual([]);
});
