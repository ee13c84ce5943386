import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { createFakeRunner, type FakeRunner } from "../runner/fake.ts";
import type { PocService } from "../service.ts";
import { BODY, distanceOf, openService, pass, passing, turns } from "../test-support.ts";
import { MemoryRoundStore, type RoundProgress } from "./store.ts";

/** What may happen to one of the runners, or to the search; `runner` counts modulo how many there are. */
type Event =
  /** One of its jobs is answered, the oldest or the one behind it. */
  | { kind: "release"; runner: number; which: number }
  | { kind: "job fault"; runner: number; times: number }
  /** It says that it is lost, or is let go of; another takes its place. */
  | { kind: "lose" | "detach"; runner: number }
  /** So many milliseconds pass in which nobody answers, so that batches may be late. */
  | { kind: "wait"; milliseconds: number }
  /** Every runner answers a cut with so many finished nonces of each job, or not in time. */
  | { kind: "cut"; completed: number | "ignore" };

const runner = fc.nat(7);
const events: fc.Arbitrary<Event> = fc.oneof(
  {
    weight: 8,
    arbitrary: fc.record({ kind: fc.constant("release" as const), runner, which: fc.nat(1) }),
  },
  fc.record({
    kind: fc.constant("job fault" as const),
    runner,
    times: fc.integer({ min: 1, max: 7 }),
  }),
  fc.record({ kind: fc.constantFrom("lose" as const, "detach" as const), runner }),
  fc.record({
    kind: fc.constant("wait" as const),
    milliseconds: fc.constantFrom(10, 400, 3000),
  }),
  fc.record({
    kind: fc.constant("cut" as const),
    completed: fc.oneof(fc.nat(9), fc.constant("ignore" as const)),
  }),
);

/** Remembers what it was given. */
class RecordingStore extends MemoryRoundStore {
  readonly progress: RoundProgress[] = [];

  override async append(roundId: string, progress: RoundProgress): Promise<void> {
    this.progress.push(progress);
    await super.append(roundId, progress);
  }
}

interface Attached {
  readonly runner: FakeRunner;
  readonly detach: (reason: Error) => void;
}

class World {
  readonly store: RecordingStore;
  readonly #clock: { now: number };
  readonly #service: PocService;
  readonly #runners: Attached[];

  static async open(runners: number): Promise<World> {
    const store = new RecordingStore();
    const clock = { now: 0 };
    const service = await openService({ store, now: () => clock.now });
    return new World({ store, clock, service }, runners);
  }

  private constructor(
    parts: { store: RecordingStore; clock: { now: number }; service: PocService },
    runners: number,
  ) {
    this.store = parts.store;
    this.#clock = parts.clock;
    this.#service = parts.service;
    this.#runners = Array.from({ length: runners }, () => this.#attach());
  }

  get service(): PocService {
    return this.#service;
  }

  async meet(event: Event): Promise<void> {
    if (event.kind === "cut") return this.#cut(event.completed);
    if (event.kind === "wait") {
      this.#clock.now += event.milliseconds;
      return;
    }
    const place = event.runner % this.#runners.length;
    const { runner, detach } = this.#runners[place] as Attached;
    switch (event.kind) {
      case "release": {
        const id = runner.waiting[event.which];
        if (id !== undefined) runner.release(id);
        return turns(3);
      }
      case "job fault":
        return runner.fail(new Error("job fault"), event.times);
      case "lose":
      case "detach":
        if (event.kind === "lose") runner.lose();
        await turns(2);
        detach(new Error("gone"));
        this.#runners[place] = this.#attach();
        if (this.#service.state === "STOPPED") await this.#service.phaseGenerate();
    }
  }

  /** From now on every runner answers. */
  release(): void {
    for (const { runner } of this.#runners) runner.release();
  }

  async #cut(completed: number | "ignore"): Promise<void> {
    for (const { runner } of this.#runners) {
      runner.onCancel(completed === "ignore" ? "ignore" : { completed });
    }
    await passing(this.#service.stop());
    await this.#service.phaseGenerate();
  }

  #attach(): Attached {
    const runner = createFakeRunner();
    runner.hold();
    return { runner, detach: this.#service.attach(runner) };
  }
}

/** Half of all nonces are valid. */
const R_TARGET = 1;
const NODE = { node_id: 2, node_count: 3 };
const expected = Array.from({ length: 20_000 }, (_, i) => NODE.node_id + i * NODE.node_count)
  .map((nonce) => ({ nonce, distance: distanceOf(nonce, BODY.public_key) }))
  .map((each) => ({ ...each, isValid: each.distance < R_TARGET }));

describe("the finds of a round", () => {
  beforeEach(() => {
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
  });
  afterEach(() => {
    vi.useRealTimers();
  });

  it.each([1, 2, 3, 8])("are the same with %i runners, whatever befalls them", async (count) => {
    await fc.assert(
      fc.asyncProperty(fc.array(events, { minLength: 5, maxLength: 60 }), async (script) => {
        const world = await World.open(count);
        const { service, store } = world;
        await service.initGenerate({ ...BODY, ...NODE, r_target: R_TARGET });
        for (const event of script) await world.meet(event);
        const { total_checked } = service.status({ limit: 1 });
        world.release();
        while (service.status({ limit: 1 }).total_checked < total_checked + 300) {
          if (service.state === "STOPPED") await service.phaseGenerate();
          await pass(50);
        }
        await passing(service.close());

        const status = service.status();
        const finds = expected.slice(0, status.total_checked).filter(({ isValid }) => isValid);
        expect(status.valid_nonces).toEqual(finds.map(({ nonce }) => nonce));
        expect(status.valid_distances).toEqual(finds.map(({ distance }) => distance));
        // Committed in the sequence's order, without a gap, each nonce once.
        let position = 0;
        for (const { from, counters } of store.progress) {
          expect(from).toBe(position);
          position = counters.position;
        }
        expect(position).toBe(status.total_checked);
      }),
      { numRuns: 40 },
    );
  });
});
