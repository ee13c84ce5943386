import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { artifact } from "../proof/artifact/scheme.ts";
import type { Recomputed } from "../proof/scheme.ts";
import { refusal, turns } from "../test-support.ts";
import { silentLog } from "../util/log.ts";
import { PocError } from "../wire/errors.ts";
import { Jobs, type JobWork } from "./jobs.ts";
import type { Recomputation } from "./validation.ts";

const CONFIG = {
  ...{ block_hash: "b", block_height: 1, public_key: "p", node_id: 0, node_count: 1 },
  ...{ batch_size: 32, seq_len: 8, k_dim: 1, model: "m", group_id: 0, n_groups: 1 },
  ...{ poc_stronger_rng: false, callback_url: null, begins_at: 0 },
};

interface Sum {
  sum: number;
}

function workOf(nonces: number[]): JobWork<Sum> {
  let sum = 0;
  const take = (_: readonly number[], values: Float32Array) => {
    sum += values.reduce((all, x) => all + x, 0);
  };
  return { scheme: artifact, config: CONFIG, nonces, take, conclude: () => ({ sum }) };
}

/** Jobs whose nonces yield themselves, when `answer` says so. */
function jobsWith(answer: (what: Recomputation) => Promise<void>) {
  const clock = { now: 1000, isHeld: false };
  const slices: number[] = [];
  const validations = {
    async recompute(what: Recomputation): Promise<Recomputed> {
      slices.push(what.nonces.length);
      await answer(what);
      return { values: Float32Array.from(what.nonces), arithmetic: "" };
    },
  };
  const jobs = new Jobs<Sum>({
    validations,
    isHeld: () => clock.isHeld,
    onEnded: () => {},
    now: () => clock.now,
    log: silentLog,
  });
  return { jobs, clock, slices };
}

const end = async () => {};
const cut = ({ signal }: Recomputation) =>
  new Promise<void>((_, reject) => {
    signal?.addEventListener("abort", () => reject(new Error("cut")));
  });

describe("a job", () => {
  beforeEach(() => void vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] }));
  afterEach(() => void vi.useRealTimers());

  it("in which nothing is computed for a minute has failed, however long it takes in all", async () => {
    const { jobs } = jobsWith(async (what) => {
      if (what.nonces[0] === 1) await cut(what);
      for (let i = 0; i < 5; i++) {
        await vi.advanceTimersByTimeAsync(59_000);
        what.onResults?.();
      }
    });
    expect(await jobs.run(workOf([2, 3]), undefined)).toEqual({ sum: 5 });
    const slow = refusal(jobs.run(workOf([1]), undefined));
    await turns(20);
    await vi.advanceTimersByTimeAsync(60_000);
    expect(await slow).toMatchObject({ status: 503, detail: "Timeout after 60.0s" });

    jobs.enqueue({ id: "a", work: workOf([1]), end });
    await turns(20);
    await vi.advanceTimersByTimeAsync(60_000);
    await turns();
    expect(jobs.find("a")).toEqual({ status: "failed", error: "Timeout after 60.0s" });
  });
});

describe("jobs", () => {
  it("of many nonces are computed slice by slice, and held between two", async () => {
    const { jobs, clock, slices } = jobsWith(async () => {
      clock.isHeld = slices.length === 2;
    });
    const nonces = Array.from({ length: 10_000 }, (_, i) => i % 7);
    jobs.enqueue({ id: "a", work: workOf(nonces), end });
    await turns();
    expect(slices).toEqual([4096, 4096]);
    expect(jobs.find("a")).toEqual({ status: "running" });
    clock.isHeld = false;
    jobs.review();
    await turns();
    expect(slices).toEqual([4096, 4096, 1808]);
    const sum = nonces.reduce((total, nonce) => total + nonce, 0);
    expect(jobs.find("a")).toEqual({ status: "completed", result: { sum } });
  });

  it("are computed in their order, each delivered before it can be asked for", async () => {
    const delivered: string[] = [];
    const { jobs } = jobsWith(() => turns(2));
    for (const id of ["a", "b", "c"]) {
      const note = async (result: Sum | null) => {
        expect(jobs.find(id)).toEqual({ status: "running" });
        delivered.push(`${id} ${result?.sum}`);
      };
      jobs.enqueue({ id, work: workOf([id.charCodeAt(0)]), end: note });
    }
    expect(jobs.find("b")).toEqual({ status: "queued" });
    await turns(20);
    expect(delivered).toEqual(["a 97", "b 98", "c 99"]);
  });

  it("can be asked for during five minutes", async () => {
    const { jobs, clock } = jobsWith(async () => {});
    jobs.enqueue({ id: "a", work: workOf([1]), end });
    await turns();
    clock.now += 299_999;
    expect(jobs.find("a")).toMatchObject({ status: "completed" });
    clock.now += 2;
    expect(jobs.find("a")).toBeNull();
  });

  it("are not kept without bound", async () => {
    const { jobs } = jobsWith(async () => {});
    const nonces = Array.from({ length: 100_000 }, () => 0);
    for (let i = 0; i < 12; i++) {
      jobs.enqueue({ id: `${i}`, work: workOf(nonces), end });
      await turns(60);
    }
    const kept = Array.from({ length: 12 }, (_, i) => jobs.find(`${i}`) !== null);
    expect(kept).toEqual([false, false, ...Array(10).fill(true)]);
  });

  it("of ten thousand jobs are kept, and of those before none", async () => {
    const { jobs } = jobsWith(async () => {});
    for (let i = 0; i < 10_003; i++) {
      jobs.enqueue({ id: `${i}`, work: workOf([i]), end });
      await turns(20);
    }
    const kept = [0, 1, 2, 3, 4, 10_002].map((i) => jobs.find(`${i}`) !== null);
    expect(kept).toEqual([false, false, false, true, true, true]);
    expect(jobs.waitingNonces).toBe(0);
  });

  it("end all at once", async () => {
    const { jobs, clock } = jobsWith(cut);
    jobs.enqueue({ id: "a", work: workOf([1]), end });
    jobs.enqueue({ id: "b", work: workOf([1]), end });
    const waiting = refusal(jobs.run(workOf([1]), undefined));
    clock.isHeld = true;
    const held = refusal(jobs.run(workOf([1]), undefined));
    await turns();
    jobs.cancelAll(new PocError("JOB_CANCELLED"));
    expect((await waiting).code).toBe("JOB_CANCELLED");
    expect((await held).code).toBe("JOB_CANCELLED");
    await turns();
    expect([jobs.find("a"), jobs.find("b")]).toEqual([
      { status: "cancelled" },
      { status: "cancelled" },
    ]);
  });
});

it("callers who wait have a bound together, which is free again when they hang up", async () => {
  const { jobs } = jobsWith(cut);
  const gone = new AbortController();
  const most = Array.from({ length: 99_999 }, (_, i) => i);
  const first = refusal(jobs.run(workOf(most), gone.signal));
  const second = refusal(jobs.run(workOf([1]), gone.signal));
  expect(await refusal(jobs.run(workOf([1]), undefined))).toMatchObject({
    status: 503,
    code: "TOO_MANY_VALIDATIONS",
  });
  gone.abort();
  expect([await first, await second]).toMatchObject([
    { code: "CALLER_GONE" },
    { code: "CALLER_GONE" },
  ]);
  expect(await refusal(jobs.run(workOf(most), gone.signal))).toMatchObject({ code: "CALLER_GONE" });
});

it("ten thousand jobs may wait, and cost no more to look at than few", async () => {
  const { jobs, clock } = jobsWith(async () => {});
  clock.isHeld = true;
  for (let i = 0; i < 10_000; i++) jobs.enqueue({ id: `${i}`, work: workOf([i, i + 1]), end });
  expect(jobs.waitingNonces).toBe(20_000);
  const more = { id: "more", work: workOf([1]), end };
  const begin = performance.now();
  for (let i = 0; i < 5000; i++) {
    expect(jobs.find(`${i}`)).toEqual({ status: "queued" });
    expect(() => jobs.enqueue(more)).toThrow("Queue full: 10000 jobs queued, limit is 10000");
  }
  // Milliseconds; tens of times as much when each walks through all of them.
  expect(performance.now() - begin).toBeLessThan(3000);
});
