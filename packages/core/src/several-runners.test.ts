import { describe, expect, it } from "vitest";
import { inputSeed } from "./proof/seeds.ts";
import { MemoryRoundStore, type RoundProgress } from "./round/store.ts";
import { createFakeRunner, type FakeRunner, type FakeRunnerOptions } from "./runner/fake.ts";
import type { ModelInfo, PrefillJob } from "./runner/ports.ts";
import type { PocService } from "./service.ts";
import type { PocServiceOptions } from "./service-options.ts";
import {
  BODY,
  distanceOf,
  MemoryLog,
  pass,
  passing,
  refusal,
  servicesOnFakeTimers,
  turns,
  until,
} from "./test-support.ts";

const openService = servicesOnFakeTimers();

interface Attached {
  readonly runner: FakeRunner;
  readonly detach: (reason: Error) => void;
}

/** A service with so many runners, all of whose jobs wait until they are released. */
async function start(
  runners: readonly FakeRunnerOptions[],
  options: Partial<PocServiceOptions> = {},
): Promise<{ service: PocService; attached: Attached[] }> {
  const service = await openService(options);
  return { service, attached: runners.map((each) => attach(service, each)) };
}

function attach(service: PocService, options: FakeRunnerOptions = {}): Attached {
  const runner = createFakeRunner(options);
  runner.hold();
  return { runner, detach: service.attach(runner) };
}

const tagged = (arithmetic: string, info: Partial<ModelInfo> = {}): FakeRunnerOptions => ({
  info: { arithmetic, ...info },
});

const gone = new Error("unplugged");
const upTo = (count: number, from = 0) => Array.from({ length: count }, (_, i) => from + i);

const proofOf = (nonces: number[]) => {
  const { block_hash, block_height } = BODY;
  const dist = nonces.map(() => 0.5);
  return { block_hash, block_height, public_key: "prover", nonces, dist, node_id: 0 };
};

/** The nonces of the proof that each of a runner's jobs computed. */
function proofJobs({ runner }: Attached, nonces: readonly number[]): number[][] {
  const source = { block_hash: BODY.block_hash, public_key: "prover" };
  const bySeed = new Map(nonces.map((nonce) => [inputSeed(source, nonce), nonce]));
  return runner.jobs.flatMap(({ input_seeds }) => {
    const found = [...input_seeds].flatMap((seed) => bySeed.get(seed) ?? []);
    return found.length > 0 ? [found] : [];
  });
}

describe("a search on several runners", () => {
  it("does not stall behind one slow job", async () => {
    const { service, attached } = await start(Array.from({ length: 6 }, () => ({})));
    await service.initGenerate(BODY);
    const [slow, ...others] = attached as [Attached, ...Attached[]];
    for (let answers = 0; answers < 5; answers++) {
      for (const { runner } of others) {
        expect(runner.waiting).toHaveLength(2);
        runner.release(runner.waiting[0]);
        await turns(2);
      }
    }
    expect(service.status().total_checked).toBe(0); // all of it waits for the first job
    slow.runner.release();
    await until(service, () => service.status().total_checked > 200);
    const { valid_nonces, total_checked } = service.status();
    expect(valid_nonces).toEqual(upTo(total_checked));
  });

  it("holds fresh nonces back in the end, with any number of runners", async () => {
    const { service, attached } = await start([{}, {}]);
    await service.initGenerate(BODY);
    const [slow, fast] = attached as [Attached, Attached];
    await slow.runner.started(1);
    fast.runner.release(); // from now on at once
    await turns(100);
    expect(fast.runner.waiting).toEqual([]);
    expect(fast.runner.jobs.length).toBeLessThan(20);
  });

  it("gives each runner jobs of its own size", async () => {
    let clock = 0;
    const preferring = (preferred_tokens: number) => ({ info: { preferred_tokens } });
    const { service, attached } = await start([preferring(256), preferring(8 * 256)], {
      now: () => clock,
    });
    await service.initGenerate({ ...BODY, batch_size: 64 });
    const [slow, fast] = attached as [Attached, Attached];
    for (let answers = 0; answers < 6; answers++) {
      clock += 100;
      fast.runner.release(fast.runner.waiting[0]);
      await turns(2);
    }
    clock += 400;
    slow.runner.release(slow.runner.waiting[0]);
    await turns(2);
    const sizes = ({ runner }: Attached) => runner.jobs.map((job) => job.input_seeds.length);
    expect(sizes(slow)).toEqual([1, 1, 1]); // a second each
    expect(sizes(fast)).toEqual([8, 8, 16, 16, 32, 32, 64, 64]);
  });

  it("pauses a runner after a fault, and that one alone", async () => {
    const log = new MemoryLog();
    const { service, attached } = await start([{}, {}], { log });
    await service.initGenerate(BODY);
    const [faulty, well] = attached as [Attached, Attached];
    await well.runner.started(1);
    faulty.runner.fail(new Error("no memory"), 1);
    faulty.runner.release();
    well.runner.release();
    await until(service, () => log.messages("warn").length > 0);
    const before = faulty.runner.jobs.length;
    await until(service, () => service.status().total_checked > 1000);
    expect(faulty.runner.jobs.length).toBe(before);
    await pass(250);
    expect(faulty.runner.jobs.length).toBeGreaterThan(before);
  });

  it("goes on as long as one runner does, and tries the others again", async () => {
    const { service, attached } = await start([{}, {}]);
    await service.initGenerate(BODY);
    const [faulty, well] = attached as [Attached, Attached];
    faulty.runner.fail(new Error("broken"), 1000);
    for (const { runner } of attached) runner.release();
    await pass(20_000);
    expect(service.state).toBe("GENERATING");
    const tried = faulty.runner.jobs.length;
    await pass(5000);
    expect(faulty.runner.jobs.length).toBeGreaterThan(tried);
    well.runner.fail(new Error("broken too"), 1000);
    await passing(until(service, () => service.state === "STOPPED"));
    const { valid_nonces, total_checked } = service.status();
    expect(valid_nonces).toEqual(upTo(total_checked));
  });

  it("does not stop while a runner that does not fail is started again", async () => {
    const { service, attached } = await start([{}]);
    const [faulty] = attached as [Attached];
    const place = service.openPlace();
    const lost = createFakeRunner();
    place.attach(lost);
    faulty.runner.fail(new Error("broken"), 1000);
    await service.initGenerate(BODY);
    lost.lose();
    await pass(7000);
    expect(service.state).toBe("GENERATING");
    place.attach(createFakeRunner());
    await until(service, () => service.status().total_checked > 100);
    expect(service.status().valid_nonces).toEqual(upTo(service.status().total_checked));
  });

  it("stops once a runner that was started again is given up, where the others keep failing", async () => {
    const { service, attached } = await start([{}]);
    const [faulty] = attached as [Attached];
    const place = service.openPlace();
    const lost = createFakeRunner();
    place.attach(lost);
    faulty.runner.fail(new Error("broken"), 1000);
    await service.initGenerate(BODY);
    lost.lose();
    await pass(7000);
    place.giveUp(gone);
    await passing(until(service, () => service.state === "STOPPED"));
  });

  it("goes on without a runner that is lost, with its nonces, until the last is lost", async () => {
    const log = new MemoryLog();
    const { service, attached } = await start([{}, {}], { log });
    await service.initGenerate(BODY);
    const [first, second] = attached as [Attached, Attached];
    await second.runner.started(1);
    first.detach(gone);
    expect(service.ready).toBe(true);
    second.runner.release();
    await until(service, () => service.status().total_checked > 100);
    second.runner.lose();
    await until(service, () => service.state === "STOPPED");
    expect(service.ready).toBe(false);
    expect(log.messages("error")).toEqual(["the runner is gone", "the runner is gone"]);
    const { valid_nonces, total_checked, is_model_initialized } = service.status();
    expect(valid_nonces).toEqual(upTo(total_checked));
    expect(is_model_initialized).toBe(false);
  });

  it("is stored with the arithmetic of whichever runner computed it", async () => {
    const progress: RoundProgress[] = [];
    class Store extends MemoryRoundStore {
      override async append(...step: Parameters<MemoryRoundStore["append"]>) {
        progress.push(step[1]);
        await super.append(...step);
      }
    }
    const store = new Store();
    const { service, attached } = await start([tagged("fake-1"), tagged("fake-2")], { store });
    await service.initGenerate(BODY);
    await turns();
    for (const { runner } of attached) runner.release();
    await until(service, () => service.status().total_checked > 100);
    const tagOf = new Map(progress.flatMap((p) => p.nonces.map((nonce) => [nonce, p.arithmetic])));
    for (const { runner } of attached) {
      for (const { input_seeds } of runner.jobs) {
        const nonces = upTo(service.status().total_checked).filter((nonce) =>
          input_seeds.includes(inputSeed(BODY, nonce)),
        );
        for (const nonce of nonces) expect(tagOf.get(nonce)).toBe(runner.info.arithmetic);
      }
    }
    expect(new Set(tagOf.values())).toEqual(new Set(["fake-1", "fake-2"]));
  });
});

describe("a batch that the count waits for", () => {
  /** Two runners of which each has had an answer, which took a tenth of a second. */
  async function startTwo() {
    const clock = { now: 0 };
    const log = new MemoryLog();
    const { service, attached } = await start([{}, {}], { now: () => clock.now, log });
    await service.initGenerate(BODY);
    const [slow, fast] = attached as [Attached, Attached];
    for (const { runner } of attached) await runner.started(1);
    clock.now += 100;
    for (const { runner } of attached) runner.release(runner.waiting[0]);
    await turns();
    return { service, clock, slow, fast, log };
  }

  const seedsOf = ({ runner }: Attached) => runner.jobs.map(({ input_seeds }) => [...input_seeds]);
  const LATE = "a batch is late, another runner computes it too";

  async function answerOne({ runner }: Attached): Promise<void> {
    runner.release(runner.waiting[0]);
    await turns();
  }

  it("is computed by another runner too when it takes five times as long as usual", async () => {
    const { service, clock, slow, fast, log } = await startTwo();
    const [lateId] = slow.runner.waiting;
    const late = slow.runner.jobs.find(({ id }) => id === lateId);
    const before = service.status().total_checked;
    clock.now += 999;
    await answerOne(fast);
    expect(log.messages("warn")).toEqual([]);
    clock.now += 2;
    await answerOne(fast);
    expect(log.messages("warn")).toEqual([LATE]);
    expect(seedsOf(fast).at(-1)).toEqual([...(late?.input_seeds ?? [])]);
    // Whoever is first counts: here the second one, and the slow one's job is cut and ignored.
    const again = fast.runner.waiting.at(-1);
    fast.runner.release(again);
    await until(service, () => service.status().total_checked > before);
    expect(slow.runner.cancelled).toEqual([lateId]);
    for (const { runner } of [slow, fast]) runner.release();
    await until(service, () => service.status().total_checked > before + 300);
    const { valid_nonces, total_checked } = service.status();
    expect(valid_nonces).toEqual(upTo(total_checked));
  });

  it("is counted once when the slow runner answers first after all", async () => {
    const { service, clock, slow, fast, log } = await startTwo();
    clock.now += 1001;
    await answerOne(fast);
    expect(log.messages("warn")).toEqual([LATE]);
    const again = fast.runner.waiting.at(-1);
    await answerOne(slow);
    expect(fast.runner.cancelled).toEqual([again]);
    for (const { runner } of [slow, fast]) runner.release();
    await until(service, () => service.status().total_checked > 300);
    const { valid_nonces, total_checked } = service.status();
    expect(valid_nonces).toEqual(upTo(total_checked));
    expect(slow.runner.jobs.length).toBeGreaterThan(4); // it goes on
  });

  it("goes on with either when the other fails, is lost or finishes nothing", async () => {
    for (const fail of [
      ({ runner }: Attached) => runner.lose(),
      ({ runner }: Attached) => runner.cancel(runner.waiting[0] ?? -1),
    ]) {
      const { service, clock, slow, fast, log } = await startTwo();
      clock.now += 1001;
      await answerOne(fast);
      expect(log.messages("warn")).toContain(LATE);
      fail(slow);
      await turns();
      for (const { runner } of [slow, fast]) runner.release();
      await passing(until(service, () => service.status().total_checked > 300));
      const { valid_nonces, total_checked } = service.status();
      expect(valid_nonces).toEqual(upTo(total_checked));
    }
  });

  it("does not hold the others back for long, however slow its runner always is", async () => {
    let clock = 0;
    const { service, attached } = await start([{}, {}], { now: () => clock });
    await service.initGenerate(BODY);
    const [slow, fast] = attached as [Attached, Attached];
    await slow.runner.started(1);
    fast.runner.release(); // from now on at once
    await turns(100);
    expect(fast.runner.waiting).toEqual([]); // fresh nonces are held back
    const { total_checked } = service.status();
    clock += 1001;
    await passing(until(service, () => service.status().total_checked > total_checked + 50));
    expect(slow.runner.cancelled.length).toBeGreaterThan(0);
  });
});

describe("a proof on several runners", () => {
  const nonces = upTo(40, 1000);
  const byTag = (tag: string, distance: number) => ({ ...tagged(tag), distance: () => distance });

  it("is computed by all of one arithmetic at once", async () => {
    const { service, attached } = await start([{}, {}]);
    await service.init(BODY);
    const answer = service.validate(proofOf(nonces));
    for (const { runner } of attached) await runner.started(1);
    for (const { runner } of attached) runner.release();
    expect((await answer).distances).toEqual(nonces.map((nonce) => distanceOf(nonce, "prover")));
    const computed = attached.flatMap((each) => proofJobs(each, nonces)).flat();
    expect(computed.sort((a, b) => a - b)).toEqual(nonces);
  });

  it("is never split over two arithmetics", async () => {
    const { service, attached } = await start([byTag("fake-1", 1), byTag("fake-2", 0.25)]);
    await service.init(BODY);
    const answers = [0, 1, 2, 3].map((i) => service.validate(proofOf(upTo(20, 1000 * i))));
    await turns();
    for (const { runner } of attached) runner.release();
    const tags = new Set<string>();
    for (const { arithmetic, distances } of await Promise.all(answers)) {
      expect(new Set(distances)).toEqual(new Set([arithmetic === "fake-1" ? 1 : 0.25]));
      tags.add(arithmetic);
    }
    expect(tags).toEqual(new Set(["fake-1", "fake-2"]));
  });

  it("goes on with another of the same arithmetic, what was computed is kept", async () => {
    const { service, attached } = await start([tagged("fake-1"), tagged("fake-2")]);
    await service.init(BODY);
    const [first, other] = attached as [Attached, Attached];
    const answer = service.validate(proofOf(nonces));
    await first.runner.started(1);
    first.runner.release(first.runner.waiting[0]);
    await turns();
    const twin = attach(service, tagged("fake-1"));
    first.detach(gone);
    twin.runner.release();
    expect(await answer).toMatchObject({
      arithmetic: "fake-1",
      distances: nonces.map((nonce) => distanceOf(nonce, "prover")),
    });
    const [kept] = proofJobs(first, nonces);
    expect(proofJobs(twin, nonces).flat()).toHaveLength(nonces.length - (kept?.length ?? 0));
    expect(other.runner.jobs).toEqual([]);
  });

  it("is begun anew under the other's arithmetic when the last of its own is lost", async () => {
    const { service, attached } = await start([byTag("fake-1", 1), byTag("fake-2", 0.25)]);
    await service.init(BODY);
    const [first, other] = attached as [Attached, Attached];
    const answer = service.validate(proofOf(nonces));
    await first.runner.started(1);
    first.runner.release(first.runner.waiting[0]);
    await turns();
    expect(other.runner.jobs).toEqual([]);
    first.runner.lose();
    other.runner.release();
    expect(await answer).toMatchObject({
      arithmetic: "fake-2",
      distances: nonces.map(() => 0.25),
    });
    expect(
      proofJobs(other, nonces)
        .flat()
        .sort((a, b) => a - b),
    ).toEqual(nonces);
  });

  it("is refused when the last runner is lost", async () => {
    const { service, attached } = await start([{}, {}]);
    await service.init(BODY);
    const answer = refusal(service.validate(proofOf(nonces)));
    for (const { detach } of attached) detach(gone);
    expect(await answer).toMatchObject({ status: 503, code: "RUNNER_LOST", cause: gone });
  });
});

describe("runners of different kinds", () => {
  const short = tagged("fake-short", { max_seq_len: 64 });
  const long = tagged("fake-long", { max_seq_len: 512 });

  it("the longest sequence that one of them computes is the node's", async () => {
    const { service, attached } = await start([short, long]);
    const issue = (most: number) => ({
      detail: [
        {
          ...{ type: "less_than_equal", loc: ["body", "seq_len"], input: 513 },
          msg: `Input should be less than or equal to ${most}`,
        },
      ],
    });
    expect(await refusal(service.init({ ...BODY, seq_len: 513 }))).toMatchObject(issue(512));
    await service.init({ ...BODY, seq_len: 512 });
    attached[1]?.detach(gone);
    expect(await refusal(service.init({ ...BODY, seq_len: 513 }))).toMatchObject(issue(64));
    for (const call of [service.phaseGenerate(), service.validate(proofOf([1]))]) {
      expect(await refusal(call)).toMatchObject({
        code: "ROUND_TOO_LONG",
        detail: "The round's seq_len of 512 is more than this node computes, 64",
      });
    }
  });

  it("one that is too short for a round takes no part in it, and it stops without the others", async () => {
    const { service, attached } = await start([short, long]);
    const [small, large] = attached as [Attached, Attached];
    await service.initGenerate({ ...BODY, seq_len: 100 });
    const proof = service.validate(proofOf([1, 2, 3]));
    await large.runner.started(1);
    large.runner.release(large.runner.waiting[0]);
    await until(service, () => service.status().total_checked > 0);
    expect(await refusal(Promise.all([proof, lose(large)]))).toMatchObject({ code: "RUNNER_LOST" });
    expect(small.runner.jobs).toEqual([]);
    expect(service.ready).toBe(true);
    expect(service.state).toBe("STOPPED");
    await service.initGenerate({ ...BODY, seq_len: 64 });
    await small.runner.started(1);
  });

  async function lose({ detach }: Attached): Promise<void> {
    detach(gone);
  }

  it("a search that only one of them can do stops when that keeps failing", async () => {
    const { service, attached } = await start([short, long]);
    const [, large] = attached as [Attached, Attached];
    large.runner.fail(new Error("broken"), 1000);
    await service.initGenerate({ ...BODY, seq_len: 100 });
    await passing(until(service, () => service.state === "STOPPED"));
  });

  it("status names the arithmetic of the one that has been here for the longest", async () => {
    const { service, attached } = await start([tagged("fake-1"), tagged("fake-2")]);
    expect(service.status()).toMatchObject({ arithmetic: "fake-1", is_model_initialized: true });
    attached[0]?.detach(gone);
    expect(service.status()).toMatchObject({ arithmetic: "fake-2", is_model_initialized: true });
    attached[1]?.detach(gone);
    expect(service.status()).toMatchObject({ arithmetic: "fake-2", is_model_initialized: false });
    attach(service, tagged("fake-3"));
    expect(service.status()).toMatchObject({ arithmetic: "fake-3", is_model_initialized: true });
  });
});

describe("the shares of proofs and search", () => {
  it.each([
    ["equal runners", [100, 100]],
    ["runners of which one is slower", [200, 50, 50]],
  ])("are of all runners' time together: %s", async (_, costs) => {
    let clock = 0;
    const { service, attached } = await start(
      costs.map(() => ({})),
      { now: () => clock },
    );
    await service.initGenerate({ ...BODY, batch_size: 4 });
    const nonces = upTo(4000, 1e6);
    void service.validate(proofOf(nonces)).catch(() => {});
    const source = { block_hash: BODY.block_hash, public_key: "prover" };
    const seeds = new Set(nonces.map((nonce) => inputSeed(source, nonce)));
    const isProof = (job: PrefillJob) => seeds.has(job.input_seeds[0] ?? -1);
    const spent = { proofs: 0, search: 0 };
    /** When each runner will have finished the job that it is at. */
    const ends = [...costs];
    for (let jobs = 0; jobs < 1200; jobs++) {
      const place = ends.indexOf(Math.min(...ends));
      const { runner } = attached[place] as Attached;
      const cost = costs[place] ?? 0;
      clock = ends[place] ?? 0;
      ends[place] = clock + cost;
      const id = runner.waiting[0] ?? -1;
      const job = runner.jobs.find((each) => each.id === id) as PrefillJob;
      spent[isProof(job) ? "proofs" : "search"] += cost;
      runner.release(id);
      await turns(2);
    }
    expect(spent.proofs).toBeGreaterThan(0);
    expect(Math.abs(spent.search / spent.proofs - 15)).toBeLessThan(1.5);
  });
});
