import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { createFakeRunner, type FakeRunner } from "../runner/fake.ts";
import { RunnerLost } from "../runner/ports.ts";
import type { PocService } from "../service.ts";
import { BODY, FaultyStore, mortal, openService, pass, passing, turns } from "../test-support.ts";

/** Whatever may go wrong between two nonces. */
type Event =
  | { kind: "release"; which: number }
  | { kind: "stop" | "phase/validate" | "phase/generate"; completed: number | "ignore" }
  | { kind: "job fault"; times: number }
  | { kind: "store fault"; times: number; takesAnyway: boolean }
  | { kind: "proof" | "lose runner" | "restart" };

const completed = fc.oneof(fc.nat(9), fc.constant("ignore" as const));
const events: fc.Arbitrary<Event> = fc.oneof(
  { weight: 6, arbitrary: fc.record({ kind: fc.constant("release" as const), which: fc.nat(1) }) },
  {
    weight: 4,
    arbitrary: fc.record({
      kind: fc.constantFrom("stop" as const, "phase/validate" as const),
      completed,
    }),
  },
  {
    weight: 4,
    arbitrary: fc.record({ kind: fc.constant("phase/generate" as const), completed }),
  },
  fc.record({ kind: fc.constant("job fault" as const), times: fc.integer({ min: 1, max: 7 }) }),
  fc.record({
    kind: fc.constant("store fault" as const),
    times: fc.integer({ min: 1, max: 7 }),
    takesAnyway: fc.boolean(),
  }),
  fc.record({
    kind: fc.constantFrom("proof" as const, "lose runner" as const, "restart" as const),
  }),
);

class World {
  readonly store = new FaultyStore();
  service!: PocService;
  kill!: () => void;
  runner!: FakeRunner;
  detach!: (reason: Error) => void;
  readonly proofs: Promise<unknown>[] = [];

  async open(): Promise<void> {
    const process = mortal(this.store);
    this.kill = process.kill;
    this.service = await openService({ store: process.store });
    this.attach();
  }

  attach(): void {
    this.runner = createFakeRunner();
    this.runner.hold();
    this.detach = this.service.attach(this.runner);
  }

  async meet(event: Event): Promise<void> {
    switch (event.kind) {
      case "release": {
        const id = this.runner.waiting[event.which];
        if (id !== undefined) this.runner.release(id);
        return turns(3);
      }
      case "stop":
      case "phase/validate":
      case "phase/generate": {
        const { completed } = event;
        this.runner.onCancel(completed === "ignore" ? "ignore" : { completed });
        const command = {
          stop: () => this.service.stop(),
          "phase/validate": () => this.service.phaseValidate(),
          "phase/generate": () => this.service.phaseGenerate(),
        }[event.kind];
        // While nothing can be stored it is refused.
        await passing(command()).catch((error) => expect(error.code).toBe("STORE_FAILED"));
        return;
      }
      case "job fault":
        this.runner.fail(new Error("job fault"), event.times);
        return;
      case "store fault":
        this.store.failures = event.times;
        this.store.takesAnyway = event.takesAnyway;
        return;
      case "proof": {
        const { block_hash, block_height, public_key } = BODY;
        const proof = { block_hash, block_height, public_key, nonces: [1, 2], dist: [0, 0] };
        this.proofs.push(this.service.validate({ ...proof, node_id: 0 }).catch(() => null));
        return;
      }
      case "lose runner":
        this.runner.lose();
        await turns(2);
        this.detach(new RunnerLost("gone"));
        this.attach();
        return;
      case "restart":
        // As after a kill: what was not stored is lost with the process.
        this.kill();
        this.proofs.splice(0);
        await turns(3);
        await this.open();
        return;
    }
  }

  /** What is shown is the beginning of the sequence, each nonce once, and the store has it. */
  async check(): Promise<number> {
    const { valid_nonces, total_checked } = this.service.status();
    expect(valid_nonces).toEqual(Array.from({ length: total_checked }, (_, i) => 2 + 3 * i));
    const stored = (await this.store.recent()).at(-1);
    expect(stored?.nonces.slice(0, total_checked)).toEqual(valid_nonces);
    return total_checked;
  }
}

describe("a round's sequence", () => {
  beforeEach(() => {
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
  });
  afterEach(() => {
    vi.useRealTimers();
  });

  it("has no nonce skipped or counted twice, whatever fails in between", async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(events, { minLength: 5, maxLength: 25 }), async (script) => {
        const world = new World();
        await world.open();
        await world.service.initGenerate({ ...BODY, node_id: 2, node_count: 3 });
        let shown = 0;
        for (const event of script) {
          await world.meet(event);
          const now = await world.check();
          expect(now).toBeGreaterThanOrEqual(shown);
          shown = now;
        }
        // Once all is well again the search goes on, and every proof has been answered.
        world.store.failures = 0;
        world.runner.onCancel({ completed: 0 });
        await passing(world.service.stop());
        world.detach(new RunnerLost("gone"));
        world.attach();
        world.runner.release();
        while (world.service.storeFault !== null) await pass(50);
        await passing(world.service.phaseGenerate());
        while (world.service.status().total_checked < shown + 100) await pass(50);
        await passing(Promise.all(world.proofs));
        await passing(world.service.close());
        await world.check();
      }),
      { numRuns: 60 },
    );
  });
});
