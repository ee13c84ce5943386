import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { createFakeRunner, type FakeRunner, type FakeRunnerOptions } from "../runner/fake.ts";
import type { PocService } from "../service.ts";
import {
  BODY,
  FaultyStore,
  MemoryLog,
  openService,
  passing,
  turns,
  until,
} from "../test-support.ts";

const batches = (runner: FakeRunner) => runner.jobs.map((job) => job.input_seeds.length);
const upTo = (count: number) => Array.from({ length: count }, (_, i) => i);

async function start(options: { body?: object; runner?: FakeRunnerOptions; hold?: boolean } = {}) {
  const log = new MemoryLog();
  const store = new FaultyStore();
  const service = await openService({ log, store });
  const runner = createFakeRunner(options.runner);
  if (options.hold ?? true) runner.hold();
  const detach = service.attach(runner);
  await service.initGenerate({ ...BODY, ...options.body });
  return { service, runner, detach, log, store };
}

describe("the generator", () => {
  let service: PocService;

  beforeEach(() => {
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
  });
  afterEach(async () => {
    await passing(service.close());
    vi.useRealTimers();
  });

  it("keeps two jobs in flight and begins with one preferred batch", async () => {
    const run = await start();
    service = run.service;
    await turns();
    expect(batches(run.runner)).toEqual([4, 4]);
    run.runner.release(0);
    await run.runner.started(2);
    await turns();
    expect(run.runner.waiting).toHaveLength(2);
  });

  it("grows its jobs in multiples of the preferred batch, up to batch_size", async () => {
    const run = await start({ hold: false, body: { batch_size: 30 } });
    service = run.service;
    await run.runner.started(12);
    const sizes = batches(run.runner);
    expect(sizes.slice(0, 2)).toEqual([4, 4]);
    expect(sizes.every((size) => size % 4 === 0)).toBe(true);
    expect(Math.max(...sizes)).toBe(28);
  });

  it("makes no job of less than the preferred batch, whatever batch_size says", async () => {
    const run = await start({ body: { batch_size: 3 } });
    service = run.service;
    await turns();
    expect(batches(run.runner)).toEqual([4, 4]);
  });

  it("makes jobs of as many nonces of a length as the runner computes together", async () => {
    const run = await start({ body: { seq_len: 64 } });
    service = run.service;
    await turns();
    expect(batches(run.runner)).toEqual([16, 16]);
  });

  it("commits in sequence order, whatever order the results come in", async () => {
    const run = await start();
    service = run.service;
    await run.runner.started(1);
    run.runner.release(1);
    await run.runner.started(2);
    run.runner.release(2);
    await turns();
    expect(service.status()).toMatchObject({ total_checked: 0, valid_nonces: [] });
    run.runner.release(0);
    await until(service, () => service.status().total_checked > 0);
    const { total_checked, valid_nonces } = service.status();
    expect(total_checked).toBe(
      batches(run.runner)
        .slice(0, 3)
        .reduce((a, b) => a + b),
    );
    expect(valid_nonces).toEqual(upTo(total_checked));
  });

  it("walks node_id + i·node_count and ends with the last safe nonce", async () => {
    const last = Number.MAX_SAFE_INTEGER;
    const run = await start({
      hold: false,
      body: { node_id: last - 20, node_count: last - 10 },
    });
    service = run.service;
    await until(service, () => service.status().total_checked === 1);
    await turns(10);
    expect(service.status()).toMatchObject({
      state: "GENERATING",
      total_checked: 1,
      valid_nonces: [last - 20],
    });
    expect(run.runner.jobs).toHaveLength(1);
  });

  it("counts what a cut job finished and computes the rest again, once", async () => {
    const run = await start();
    service = run.service;
    await run.runner.started(1);
    run.runner.onCancel({ completed: 3 });
    const stopped = await passing(service.stop());
    // The job behind was cut as well: its 3 wait for the gap to be filled.
    expect(stopped.pow_status).toMatchObject({ state: "STOPPED", total_checked: 3 });
    run.runner.release();
    await service.phaseGenerate();
    await until(service, () => service.status().total_checked >= 12);
    const { valid_nonces, total_checked } = service.status();
    expect(valid_nonces).toEqual(upTo(total_checked));
  });

  it("discards a result that comes after the answer to a stop", async () => {
    const run = await start();
    service = run.service;
    await run.runner.started(1);
    run.runner.onCancel("ignore");
    const stopped = await passing(service.stop());
    expect(stopped.pow_status).toMatchObject({ state: "STOPPED", total_checked: 0 });
    expect(run.log.messages("warn")).toHaveLength(2);
    run.runner.release();
    await turns(10);
    expect(service.status().total_checked).toBe(0);
    await service.phaseGenerate();
    await until(service, () => service.status().total_checked > 20);
    const { valid_nonces, total_checked } = service.status();
    expect(valid_nonces).toEqual(upTo(total_checked));
  });

  it("tries the nonces of a failed job again", async () => {
    const run = await start();
    service = run.service;
    run.runner.fail(new Error("no memory"), 2);
    run.runner.release();
    await passing(until(service, () => service.status().total_checked > 40));
    expect(run.log.messages("warn")).not.toHaveLength(0);
    const { valid_nonces, total_checked, state } = service.status();
    expect(state).toBe("GENERATING");
    expect(valid_nonces).toEqual(upTo(total_checked));
  });

  it("stops the round when jobs keep failing, after growing pauses", async () => {
    const run = await start({ hold: false });
    service = run.service;
    await until(service, () => service.status().total_checked > 0);
    run.runner.fail(new Error("broken kernel"), 1000);
    await passing(until(service, () => service.state === "STOPPED"));
    const pauses = run.log.lines.flatMap(({ fields }) =>
      "pause_ms" in fields ? [fields.pause_ms] : [],
    );
    expect(pauses).toEqual([250, 500, 1000, 2000]);
    expect(run.log.messages("error")).toEqual(["search jobs kept failing: round stopped"]);
    const { valid_nonces, total_checked } = service.status();
    expect(valid_nonces).toEqual(upTo(total_checked));
    expect(total_checked).toBeGreaterThan(0);
  });

  it("takes a job without any finished nonce, and an answer that does not fit, for faults", async () => {
    const run = await start();
    service = run.service;
    await run.runner.started(1);
    run.runner.onCancel({ completed: 0 });
    run.runner.cancel(0); // someone else's doing
    await turns();
    expect(run.log.messages("warn")).toEqual(["a search job failed, its nonces are tried again"]);
    const lying = createFakeRunner();
    lying.run = async () => ({ completed: 9, values: new Float32Array(4) });
    service.attach(lying);
    run.detach(new Error("the lying one takes its place"));
    await passing(until(service, () => service.state === "STOPPED"));
    expect(service.status().total_checked).toBe(0);
  });

  it("counts distances that are not finite apart, and never as valid", async () => {
    let calls = 0;
    const distance = () =>
      [Number.NaN, Number.POSITIVE_INFINITY, 1, Number.NEGATIVE_INFINITY][calls++ % 4] ?? 0;
    const run = await start({ runner: { distance } });
    service = run.service;
    await run.runner.started(0);
    run.runner.release(0);
    await until(service, () => service.status().total_checked === 4);
    expect(service.status()).toMatchObject({
      total_checked: 4,
      total_nonfinite: 3,
      total_valid: 1,
      valid_nonces: [2],
      valid_distances: [1],
    });
    expect(run.log.lines.find((line) => line.level === "warn")?.fields).toEqual({
      count: 3,
      nonces: [0, 1, 3],
    });
  });

  it("shows finds only once they are stored, and stores a step again that failed", async () => {
    for (const takesAnyway of [false, true]) {
      const run = await start();
      service = run.service;
      run.store.failures = 2;
      run.store.takesAnyway = takesAnyway;
      run.runner.release(0);
      await turns(10);
      expect(service.status()).toMatchObject({ total_checked: 0, valid_nonces: [] });
      await passing(until(service, () => service.status().total_checked > 0));
      expect(service.status().valid_nonces).toEqual(upTo(4));
      const stored = (await run.store.recent()).at(-1);
      expect(stored?.nonces).toEqual(upTo(4));
    }
  });

  it("stops the round when storing keeps failing, and loses nothing", async () => {
    const run = await start({ hold: false });
    service = run.service;
    await until(service, () => service.status().total_checked > 0);
    const shown = service.status().total_checked;
    run.store.failures = Number.POSITIVE_INFINITY;
    await passing(until(service, () => service.state === "STOPPED"));
    expect(run.log.messages("error")).toEqual([
      "the store does not work: no round begins until it does",
      "results could not be stored: round stopped",
    ]);
    expect(service.storeFault).toBe("the disk is full");
    const stopped = service.status();
    expect(stopped.valid_nonces).toEqual(upTo(stopped.total_checked));
    expect((await run.store.recent()).at(-1)?.nonces).toEqual(stopped.valid_nonces);
    expect(stopped.total_checked).toBeGreaterThanOrEqual(shown);
    const jobs = run.runner.jobs.length;
    await turns(20);
    expect(run.runner.jobs.length).toBe(jobs);
    await expect(service.phaseGenerate()).rejects.toMatchObject({ code: "STORE_FAILED" });
    run.store.failures = 0;
    await passing(until(service, () => service.status().total_checked > stopped.total_checked));
    await turns(20);
    expect(service.storeFault).toBe(null);
    await service.phaseGenerate();
    await until(service, () => service.status().total_checked > stopped.total_checked + 100);
    const { valid_nonces, total_checked } = service.status();
    expect(valid_nonces).toEqual(upTo(total_checked));
  });

  it("fills a gap although everything behind it waits to be stored", async () => {
    const run = await start();
    service = run.service;
    for (let id = 1; run.runner.jobs.length < 9; id++) {
      await run.runner.started(id);
      run.runner.release(id);
      await turns();
    }
    run.runner.release(8);
    await turns();
    expect(run.runner.waiting).toEqual([0]);
    run.runner.cancel(0); // finishes nothing: a fault
    await passing(run.runner.started(9));
    run.runner.release();
    await until(service, () => service.status().total_checked > 100);
    const { valid_nonces, total_checked } = service.status();
    expect(valid_nonces).toEqual(upTo(total_checked));
  });

  it("holds fresh nonces back while results wait to be stored", async () => {
    const run = await start({ hold: false });
    service = run.service;
    run.store.failures = 3;
    await turns(60);
    expect(run.runner.jobs.length).toBeLessThan(15);
    await passing(until(service, () => service.status().total_checked > 300));
    expect(service.status().valid_nonces).toEqual(upTo(service.status().total_checked));
  });
});
