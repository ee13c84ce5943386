import { MemoryRoundStore, PocService, type RoundState } from "@proofmill/core";
import { createFakeRunner } from "@proofmill/core/testing";
import { expect, onTestFinished, test, vi } from "vitest";
import { roundIdAfter } from "../round-id.ts";
import { INIT_GENERATE, PROOF, type TestServer, testServer } from "../test-support.ts";
import { DeliveredRounds, type FollowedService } from "./delivered-rounds.ts";
import { Events } from "./events.ts";
import { callbackEvent, givenUpEvent, runnerEvent } from "./part-events.ts";
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
  expect(runnerEvent({ ...runner, state: "restarting" }, "alive")).toEqual({
    kind: "runner",
    text: "The runner cpu has ended and is started again: signal SIGKILL",
    isBad: true,
  });
  const alive = { ...runner, state: "alive" as const };
  expect(runnerEvent(alive, "restarting").text).toBe("The runner cpu is there again");
  expect(runnerEvent({ ...runner, state: "stalled" }, "alive")).toMatchObject({
    text: expect.stringMatching(
      /^The runner cpu stands still: .* is started again if that goes on$/,
    ),
    isBad: true,
  });
  expect(runnerEvent(alive, "stalled").text).toBe("The runner cpu goes on with its work");
  const trouble = { host: "a:1", scheme: "artifact", reason: "it answered 500" };
  expect(callbackEvent({ ...trouble, kind: "validated" }).text).toBe(
    "Verdicts cannot be delivered to a:1, they are tried again: it answered 500",
  );
  expect(callbackEvent({ ...trouble, kind: "generated" }).text).toMatch(/^Artifacts cannot be/);
  const given = { nonces: 2, verdicts: 0, reason: "too old" };
  expect(givenUpEvent({ ...given, scheme: null }).text).toBe(
    "Callbacks are given up, 2 finds: too old",
  );
  expect(givenUpEvent({ ...given, scheme: "artifact" }).text).toContain(", 2 artifacts:");
});

test("that a round is delivered is told once it is over, whichever comes last", () => {
  let change = () => {};
  const summary = { round_id: "B", state: "GENERATING" as RoundState, total_valid: 7 };
  const service: FollowedService = {
    enabled: true,
    summary: () => summary,
    on: (_event, listener) => {
      change = listener;
      return () => {};
    },
  };
  const events = new Events();
  const texts = () => events.read().events.map(({ text }) => text);
  const rounds = new DeliveredRounds(service, events.tell);
  const all = { host: "a:1", scheme: "artifact", block_hash: "h", block_height: 3 };
  rounds.delivered({ ...all, round_id: "A", finds: 5 });
  expect(texts()).toEqual(["All 5 artifacts of block h (height 3) are with a:1"]);
  rounds.delivered({ ...all, round_id: "B", finds: 6 });
  change();
  summary.state = "STOPPED";
  change();
  expect(texts().length).toBe(1);
  rounds.delivered({ ...all, round_id: "B", finds: 7 });
  expect(texts().at(-1)).toBe("All 7 artifacts of block h (height 3) are with a:1");
  summary.state = "GENERATING";
  rounds.delivered({ ...all, scheme: "distance", round_id: "B", finds: 7 });
  expect(texts().length).toBe(2);
  summary.state = "STOPPED";
  change();
  change();
  expect(texts().slice(2)).toEqual(["All 7 finds of block h (height 3) are with a:1"]);
});
