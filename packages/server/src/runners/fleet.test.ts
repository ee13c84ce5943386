import {
  type ModelInfo,
  PLAIN_SAMPLING,
  RunnerLost,
  type RunnerPlace,
  silentLog,
} from "@proofmill/core";
import { createFakeRunner } from "@proofmill/core/testing";
import { expect, test } from "vitest";
import { Fleet, type FleetOptions, planRunners, type RunnerPlan } from "./fleet.ts";
import type { ProcessRunner } from "./process.ts";

interface Started {
  readonly plan: RunnerPlan;
  readonly runner: ProcessRunner;
  readonly die: (reason: string) => void;
  isClosed: boolean;
}

/** A fleet whose runners pretend; `differ` says what each of them gives in place of what all do. */
function fleetOf(
  devices: string[],
  options: Partial<FleetOptions> & {
    differ?: (plan: RunnerPlan, start: number) => Partial<ModelInfo>;
  } = {},
) {
  const started: Started[] = [];
  const places: { attached: number; reason: Error | null }[] = [];
  const fleet = new Fleet({
    devices,
    threads: 5,
    countGpus: async () => 3,
    maxRestarts: 1,
    log: silentLog,
    openPlace: (): RunnerPlace => {
      const place = { attached: 0, reason: null as Error | null };
      places.push(place);
      return {
        attach: () => {
          place.attached++;
          return () => {};
        },
        giveUp: (reason) => {
          place.reason = reason;
        },
      };
    },
    start: async (plan) => {
      const info = { warm_up: "1 and 2", ...options.differ?.(plan, started.length) };
      let end: (reason: RunnerLost) => void = () => {};
      const ended = new Promise<RunnerLost>((resolve) => {
        end = resolve;
      });
      const made = {
        plan,
        isClosed: false,
        die: (reason: string) => end(new RunnerLost(reason)),
        runner: Object.assign(createFakeRunner({ info }), {
          ...{
            pid: 100 + started.length,
            hasComputed: false,
            isStalled: false,
            onStall: () => {},
            memory: null,
            ended,
          },
          close: async () => {
            made.isClosed = true;
            made.die("closed");
          },
        }),
      };
      started.push(made);
      return made.runner;
    },
    ...options,
  });
  return { fleet, started, places };
}

test("threads are divided among runners on the CPU, each of which has a name", () => {
  expect(planRunners(["cpu", "cpu", "cpu"], 5)).toEqual([
    { id: "cpu:0", device: "cpu", threads: 2 },
    { id: "cpu:1", device: "cpu", threads: 2 },
    { id: "cpu:2", device: "cpu", threads: 1 },
  ]);
  expect(planRunners(["cpu"], 5)).toEqual([{ id: "cpu", device: "cpu", threads: 5 }]);
  expect(planRunners(["cpu"], undefined)).toEqual([
    { id: "cpu", device: "cpu", threads: undefined },
  ]);
  const many = planRunners(Array(64).fill("cpu"), undefined);
  expect(many.every(({ threads = 0 }) => threads >= 1)).toBe(true);
  expect(new Set(many.map(({ id }) => id)).size).toBe(64);
});

test("all load, each told how many share the memory with it, and then all work", async () => {
  const { fleet, started, places } = fleetOf(["cuda:all"]);
  expect(fleet.infos.map(({ id, state }) => [id, state])).toEqual([["cuda:all", "loading"]]);
  await fleet.load();
  expect(started.map(({ plan }) => [plan.id, plan.device, plan.runners])).toEqual([
    ["cuda:0", "cuda:0", { all: 3, toLoad: 3 }],
    ["cuda:1", "cuda:1", { all: 3, toLoad: 2 }],
    ["cuda:2", "cuda:2", { all: 3, toLoad: 1 }],
  ]);
  expect(fleet.infos.map(({ id, state }) => [id, state])).toEqual([
    ["cuda:0", "alive"],
    ["cuda:1", "alive"],
    ["cuda:2", "alive"],
  ]);
  expect(places.map(({ attached }) => attached)).toEqual([1, 1, 1]);
  await fleet.close();
  expect(started.every(({ isClosed }) => isClosed)).toBe(true);
});

test.each([
  [
    "another tag",
    { arithmetic: "fake-2" },
    "cuda:0 and cuda:1 differ in their arithmetic, fake-1 and fake-2: run a node for each",
  ],
  [
    "other bits under the same tag",
    { warm_up: "1 and 3" },
    "cuda:0 and cuda:1 have one arithmetic, fake-1, and yet computed two nonces of their warm-up " +
      "differently (1 and 2; 1 and 3)",
  ],
])("a device with %s is refused before any works", async (_, different, message) => {
  const { fleet, started, places } = fleetOf(["cuda:0", "cuda:1", "cuda:2"], {
    differ: ({ device }) => (device === "cuda:1" ? different : {}),
  });
  await expect(fleet.load()).rejects.toThrow(message);
  expect(started.map(({ isClosed }) => isClosed)).toEqual([true, true]);
  expect(places).toEqual([]);
});

test("one that is lost leaves the others at work, and the last one's end is the fleet's", async () => {
  const { fleet, started, places } = fleetOf(["cpu", "cpu"], { maxRestarts: 0 });
  await fleet.load();
  let isLost = false;
  void fleet.lost.then(() => {
    isLost = true;
  });
  started[0]?.die("killed");
  await started[0]?.runner.ended;
  await expect.poll(() => fleet.infos[0]?.state).toBe("lost");
  expect(fleet.infos[1]).toMatchObject({ id: "cpu:1", state: "alive" });
  expect(places.map(({ reason }) => reason?.message)).toEqual(["killed", undefined]);
  expect(isLost).toBe(false);
  expect(fleet.isAtWork).toBe(true);
  started[1]?.die("killed too");
  expect((await fleet.lost).message).toBe("killed too");
  expect(fleet.isAtWork).toBe(false);
});

test("sessions of all runners that are there are counted together", async () => {
  const { fleet, started } = fleetOf(["cpu", "cpu"], { maxRestarts: 0 });
  const none = { pages: 0, pages_in_use: 0, running: 0, waiting: 0, preempted: 0 };
  expect(fleet.sessionStats).toEqual(none);
  await fleet.load();
  expect(fleet.sessionStats).toEqual({ ...none, pages: 128 });
  const session = { prompt: Uint32Array.of(1), max_tokens: 1e9, sampling: PLAIN_SAMPLING };
  const lists = { stop_tokens: new Uint32Array(), enforced_tokens: new Uint32Array() };
  for (const { runner } of started) {
    void runner.openSession({ id: 0, caller: 0, ...session, ...lists }, () => {});
  }
  expect(fleet.sessionStats).toEqual({ ...none, pages: 128, pages_in_use: 2, running: 2 });
  for (const { runner } of started) runner.cancelSession(0);
  started[0]?.die("killed");
  await expect.poll(() => fleet.infos[0]?.state).toBe("lost");
  expect(fleet.sessionStats).toEqual({ ...none, pages: 64 });
});

test.each([
  ["arithmetic", { arithmetic: "fake-2" }, "the runner's arithmetic was fake-1, now"],
  ["bits", { warm_up: "1 and 3" }, "the runner's warm-up gave 1 and 2 when it first came, now"],
])("one that comes back with other %s is not taken", async (_, different, message) => {
  const { fleet, started } = fleetOf(["cpu"], { differ: (_, i) => (i > 0 ? different : {}) });
  await fleet.load();
  started[0]?.die("killed");
  expect((await fleet.lost).message).toContain(message);
  expect(started.map(({ plan }) => plan.runners.toLoad)).toEqual([1, 1]);
  expect(started[1]?.isClosed).toBe(true);
});
