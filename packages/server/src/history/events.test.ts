import { MemoryRoundStore, PocService } from "@proofmill/core";
import { createFakeRunner } from "@proofmill/core/testing";
import { expect, onTestFinished, test, vi } from "vitest";
import { roundIdAfter } from "../round-id.ts";
import { INIT_GENERATE, PROOF, type TestServer, testServer } from "../test-support.ts";
import { Events } from "./events.ts";
import { callbackEvent, runnerEvent } from "./part-events.ts";
import { tellRounds } from "./round-events.ts";

/** What is told, without its time. */
async function told({ get }: TestServer, query = ""): Promise<[string, string, boolean][]> {
  const { events } = (await get(`/api/v1/node/events${query}`)).json();
  return events.map(({ kind, text, is_bad }: { kind: string; text: string; is_bad: boolean }) => [
    kind,
    text,
    is_bad,
  ]);
}

test("rounds, verdicts and refused origins, in their order and with why", async () => {
  const server = await testServer({ distance: () => 0.4 });
  const { post, service, detach } = server;
  expect(await told(server)).toEqual([]);
  await post("/init/generate", INIT_GENERATE);
  await vi.waitUntil(() => service.status({ limit: 1 }).total_checked > 1000);
  await post("/stop");
  const found = service.status().total_checked.toLocaleString("en");
  await post("/validate", { ...PROOF, dist: [0.3, 0.4, 0.4] });
  await post("/validate", { ...PROOF, dist: [0.9, 0.9, 0.9] });
  for (let i = 0; i < 3; i++) {
    await post("/stop", undefined, { origin: "https://page.example" });
  }
  await post("/init/generate", { ...INIT_GENERATE, block_hash: "f".repeat(64), block_height: 101 });
  detach(new Error("killed"));
  await vi.waitUntil(() => service.state === "STOPPED");
  const all = await told(server);
  expect(all.slice(0, -1)).toEqual([
    ["round", "The round of block hash1 (height 100) begins and searches: init/generate", false],
    [
      "round",
      `The round of block hash1 (height 100) is stopped after ${found} nonces, ${found} of them valid: stop`,
      false,
    ],
    [
      "verdict",
      "No fraud in a proof of 3 nonces: 0 mismatches; an honest node has so many or more with probability 1",
      false,
    ],
    [
      "verdict",
      "Fraud in a proof of 3 nonces: 3 mismatches; an honest node has so many or more with probability 1.25e-10",
      true,
    ],
    ["origin", "Pages of https://page.example are refused: --allow-origin would let them in", true],
    [
      "round",
      `The round of block ${"f".repeat(20)}… (height 101) begins and searches: init/generate`,
      false,
    ],
  ]);
  expect(all.at(-1)?.[1]).toMatch(/is stopped after .*: no runner is left that could go on$/);
  expect(await told(server, "?since=6")).toEqual(all.slice(6));
});

test("a hundred events are kept, and none of them is long", () => {
  const events = new Events();
  for (let i = 0; i < 250; i++) events.tell({ kind: "origin", text: `${i} ${"x".repeat(5000)}` });
  const kept = events.read().events;
  expect(kept.map(({ id }) => id)).toEqual(Array.from({ length: 100 }, (_, i) => 151 + i));
  expect(new Set(kept.map(({ text }) => text.length))).toEqual(new Set([300]));
});

test("a store that fails, and works again", async () => {
  class FailingStore extends MemoryRoundStore {
    isFull = false;
    override async append(...progress: Parameters<MemoryRoundStore["append"]>): Promise<void> {
      if (this.isFull) throw new Error("the disk is full");
      return super.append(...progress);
    }
    override async probe(): Promise<void> {
      if (this.isFull) throw new Error("the disk is full");
    }
  }
  const store = new FailingStore();
  const defaults = { batch_size: 8, seq_len: 16 };
  const options = { enabled: true, store, newRoundId: roundIdAfter, defaults };
  const service = await PocService.open(options);
  const events = new Events();
  onTestFinished(tellRounds(service, events.tell));
  onTestFinished(() => service.close());
  service.attach(createFakeRunner());
  await service.initGenerate(INIT_GENERATE);
  store.isFull = true;
  const texts = () => events.read().events.map(({ text }) => text);
  await vi.waitUntil(() => service.storeFault !== null, { timeout: 30_000 });
  expect(texts()).toContain("Nothing can be stored: the disk is full");
  store.isFull = false;
  await vi.waitUntil(() => service.storeFault === null, { timeout: 30_000 });
  expect(texts().at(-1)).toBe("What was found can be stored again");
});

test("runners and callbacks are told in a sentence", () => {
  const info = { id: "cpu", device: null, arithmetic: null, pid: null, memory: null };
  const runner = { ...info, peak_memory: null, reason: "signal SIGKILL", restarts: 1 };
  expect(runnerEvent({ ...runner, state: "restarting" })).toEqual({
    kind: "runner",
    text: "The runner cpu has ended and is started again: signal SIGKILL",
    isBad: true,
  });
  expect(runnerEvent({ ...runner, state: "alive" }).text).toBe("The runner cpu is there again");
  expect(callbackEvent({ host: "a:1", kind: "validated", reason: "it answered 500" }).text).toBe(
    "Verdicts cannot be delivered to a:1, they are tried again: it answered 500",
  );
});
