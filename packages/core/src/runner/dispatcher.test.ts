import { describe, expect, it } from "vitest";
import { turns } from "../test-support.ts";
import { Dispatcher, type Outcome, type Work } from "./dispatcher.ts";
import { createFakeRunner, type FakeRunner } from "./fake.ts";

/** A dispatcher whose one source has this many jobs, each of one nonce: its place. */
function start(jobs: number) {
  let clock = 0;
  let next = 0;
  const outcomes: (Outcome & { place: number })[] = [];
  const detached: string[] = [];
  const dispatcher = new Dispatcher({
    sources: {
      only: {
        share: 1,
        next: (): Work | null => {
          if (next === jobs) return null;
          const place = next++;
          return {
            job: {
              seq_len: 1,
              input_seeds: Uint32Array.of(place),
              output: {
                ...{ kind: "distance", permutation_seeds: Uint32Array.of(0), target_seed: 0 },
              },
            },
            width: 1,
            settle: (outcome) => outcomes.push({ ...outcome, place }),
          };
        },
      },
    },
    onDetached: (error, { info }) => detached.push(`${info.arithmetic}: ${error.message}`),
    now: () => clock,
  });
  return {
    dispatcher,
    outcomes,
    detached,
    attach(arithmetic: string): { runner: FakeRunner; detach: (reason: Error) => void } {
      const runner = createFakeRunner({ info: { arithmetic } });
      runner.hold();
      return { runner, detach: dispatcher.attach(runner) };
    },
    /** After so many milliseconds more the runner's oldest job is answered. */
    async answer(runner: FakeRunner, milliseconds: number): Promise<void> {
      clock += milliseconds;
      runner.release(runner.waiting[0]);
      await turns(2);
    },
  };
}

const placesOf = (runner: FakeRunner) => runner.jobs.map(({ input_seeds }) => input_seeds[0]);

describe("a dispatcher of several runners", () => {
  it("gives each of them a job before any gets its second", async () => {
    const { dispatcher, attach } = start(0);
    const { runner: first } = attach("a");
    const { runner: second } = attach("b");
    expect(dispatcher.runners.map(({ info }) => info.arithmetic)).toEqual(["a", "b"]);
    expect([first.jobs, second.jobs]).toEqual([[], []]);

    const busy = start(3);
    const { runner: whole } = busy.attach("a");
    expect(placesOf(whole)).toEqual([0, 1]);
    const { runner: other } = busy.attach("b");
    expect(placesOf(other)).toEqual([2]);
  });

  it("measures each by its own clock, and tags a result with its arithmetic", async () => {
    const { attach, answer, outcomes } = start(5);
    const { runner: slow } = attach("slow");
    const { runner: fast } = attach("fast");
    await answer(fast, 10);
    await answer(fast, 10);
    await answer(fast, 10);
    await answer(slow, 70);
    await answer(slow, 5);
    expect(outcomes).toEqual([
      expect.objectContaining({ place: 2, arithmetic: "fast", milliseconds: 10 }),
      expect.objectContaining({ place: 3, arithmetic: "fast", milliseconds: 10 }),
      expect.objectContaining({ place: 4, arithmetic: "fast", milliseconds: 10 }),
      expect.objectContaining({ place: 0, arithmetic: "slow", milliseconds: 100 }),
      expect.objectContaining({ place: 1, arithmetic: "slow", milliseconds: 5 }),
    ]);
  });

  it("lets one go and keeps the others: its jobs are lost, once, and its answers ignored", async () => {
    const { dispatcher, attach, outcomes, detached } = start(6);
    const { runner: first, detach } = attach("a");
    const { runner: second } = attach("b");
    detach(new Error("unplugged"));
    detach(new Error("again"));
    expect(detached).toEqual(["a: unplugged"]);
    expect(outcomes).toMatchObject([
      { kind: "lost", place: 0, error: { message: "unplugged" } },
      { kind: "lost", place: 1 },
    ]);
    expect(dispatcher.runners.map(({ info }) => info.arithmetic)).toEqual(["b"]);
    first.release();
    await turns();
    expect(outcomes).toHaveLength(2);
    second.release();
    await turns(10);
    expect(placesOf(second)).toEqual([2, 3, 4, 5]);
    expect(outcomes).toHaveLength(6);
  });

  it("lets one go that says it is lost", async () => {
    const { attach, outcomes, detached } = start(4);
    const { runner: first, detach } = attach("a");
    attach("b");
    first.lose("illegal address");
    await turns();
    detach(new Error("its process ended"));
    expect(detached).toEqual(["a: illegal address"]);
    expect(outcomes.map(({ kind, place }) => [kind, place])).toEqual([
      ["lost", 0],
      ["lost", 1],
    ]);
  });
});
