import { afterEach, describe, expect, it } from "vitest";
import { inputSeed } from "./proof/seeds.ts";
import { MemoryRoundStore } from "./round/store.ts";
import { createFakeRunner, type FakeRunner, type FakeRunnerOptions } from "./runner/fake.ts";
import type { ModelRunner, PrefillJob } from "./runner/ports.ts";
import type { PocService } from "./service.ts";
import type { PocServiceOptions } from "./service-options.ts";
import {
  BODY,
  distanceOf,
  issuesOf,
  MemoryLog,
  openService,
  refusal,
  turns,
  until,
} from "./test-support.ts";

const services: PocService[] = [];
afterEach(async () => {
  await Promise.all(services.splice(0).map((service) => service.close()));
});

async function start(
  options: Partial<PocServiceOptions> & { runner?: FakeRunnerOptions; hold?: boolean } = {},
) {
  const { runner: runnerOptions, hold = false, ...rest } = options;
  const service = await openService(rest);
  services.push(service);
  const runner = createFakeRunner(runnerOptions);
  if (hold) runner.hold();
  const detach = service.attach(runner);
  return { service, runner, detach };
}

const proofOf = (nonces: number[], fields: object = {}) => ({
  public_key: "prover",
  block_hash: BODY.block_hash,
  block_height: 1,
  nonces,
  dist: nonces.map(() => 0.5),
  node_id: 0,
  ...fields,
});

const kindOf = (runner: FakeRunner, public_key: string, nonces: number[]) => {
  const source = { block_hash: BODY.block_hash, public_key };
  const seeds = nonces.map((nonce) => inputSeed(source, nonce));
  return runner.jobs.map((job) => (seeds.includes(job.input_seeds[0] ?? -1) ? "proof" : "search"));
};

describe("a verdict's way to the callback", () => {
  const callback_url = "http://aggregator:9000";

  it("is stored before it is answered, while VALIDATING only", async () => {
    const store = new MemoryRoundStore();
    const { service } = await start({ store });
    const { pow_status } = await service.initValidate({ ...BODY, callback_url });
    const answer = await service.validate(proofOf([3, 4]));
    await service.stop();
    await service.validate(proofOf([5]));
    await service.initValidate({ ...BODY, block_hash: "next" });
    await service.validate(proofOf([6], { block_hash: "next" }));
    expect(store.verdicts).toEqual([
      {
        callback_url,
        ...{ scheme: "distance", kind: "validated" },
        batch: expect.objectContaining({
          public_key: "prover",
          round_id: pow_status.round_id,
          nonces: [3, 4],
          dist: answer.distances,
          received_dist: [0.5, 0.5],
          arithmetic: "fake-1",
        }),
      },
    ]);
  });

  it("is not answered when it cannot be stored", async () => {
    class FullStore extends MemoryRoundStore {
      override enqueue = () => Promise.reject(new Error("full"));
    }
    const log = new MemoryLog();
    const { service } = await start({ store: new FullStore(), log });
    await service.initValidate({ ...BODY, callback_url });
    expect(await refusal(service.validate(proofOf([1])))).toMatchObject({
      status: 503,
      code: "STORE_FAILED",
    });
    expect(log.messages("error")).toEqual([
      "a verdict could not be stored",
      "the store does not work: no round begins until it does",
    ]);
  });
});

describe("what is refused before anything else", () => {
  it("is everything when PoC is off", async () => {
    const service = await openService({ enabled: false });
    const calls = [
      service.init({}),
      service.initGenerate(BODY),
      service.initValidate(undefined),
      service.phaseGenerate(),
      service.phaseValidate(),
      service.stop(),
      service.validate(null),
      (async () => service.status({ since: "x" }))(),
    ];
    for (const call of calls) {
      expect(await refusal(call)).toMatchObject({ status: 503, detail: "PoC not enabled" });
    }
    await service.close();
  });

  it("is all but status and stop while the model loads", async () => {
    const service = await openService();
    for (const call of [
      service.init({}),
      service.initGenerate({}),
      service.initValidate(BODY),
      service.phaseGenerate(),
      service.phaseValidate(),
      service.validate({}),
    ]) {
      const error = await refusal(call);
      expect(error).toMatchObject({ status: 503, detail: "Model is loading" });
      expect(error.retryAfter).toBeGreaterThan(0);
    }
    expect(service.status()).toMatchObject({
      state: "IDLE",
      status: "IDLE",
      is_model_initialized: false,
      arithmetic: null,
      round_id: null,
      node_count: null,
    });
    expect((await service.stop()).pow_status.state).toBe("STOPPED");
    expect(service.ready).toBe(false);
  });

  it("comes before the table: 503, 422, then the rest", async () => {
    const { service } = await start();
    await service.initGenerate(BODY);
    expect(await refusal(service.init({}))).toMatchObject({ status: 422 });
    expect(await refusal(service.init(BODY))).toMatchObject({
      status: 400,
      detail: "Round already in progress",
    });
    const { node_id, ...noId } = BODY;
    expect(node_id).toBe(0);
    expect(await refusal(service.initGenerate(noId))).toMatchObject({
      detail: "Node ID and node count must be set",
    });
    expect(service.state).toBe("GENERATING");
  });

  it("includes a seq_len beyond what the runner computes, saying both", async () => {
    const { service } = await start({ runner: { info: { max_seq_len: 64 } } });
    const issue = {
      type: "less_than_equal",
      msg: "Input should be less than or equal to 64",
      input: 65,
    };
    const direct = await refusal(service.init({ ...BODY, seq_len: 65 }));
    expect(direct.detail).toEqual([{ loc: ["body", "seq_len"], ...issue }]);
    const older = await refusal(service.init({ ...BODY, params: { seq_len: 65 } }));
    expect(older.detail).toEqual([{ loc: ["body", "params", "seq_len"], ...issue }]);
    await service.init({ ...BODY, seq_len: 64 });
  });
});

describe("commands", () => {
  it("answer OK and the status", async () => {
    const { service } = await start();
    const { status, pow_status } = await service.init(BODY);
    expect(status).toBe("OK");
    expect(pow_status).toEqual({
      state: "IDLE",
      status: "IDLE",
      valid_nonces: [],
      valid_distances: [],
      total_checked: 0,
      total_valid: 0,
      total_nonfinite: 0,
      elapsed_seconds: expect.any(Number),
      rate_per_second: 0,
      is_model_initialized: true,
      arithmetic: "fake-1",
      round_id: expect.any(String),
      block_hash: "abc123",
      block_height: 100,
      public_key: "node1",
      r_target: 3,
      node_id: 0,
      node_count: 1,
    });
  });

  it("without a round: stop answers, the rest goes on without one", async () => {
    const { service } = await start();
    expect((await service.stop()).pow_status).toMatchObject({ state: "STOPPED", round_id: null });
    expect(await refusal(service.phaseGenerate())).toMatchObject({ detail: "PoC not initialized" });
    expect(await refusal(service.phaseValidate())).toMatchObject({ code: "POC_NOT_INITIALIZED" });
    expect(await refusal(service.validate(proofOf([])))).toMatchObject({ code: "NO_ROUND" });
    expect((await service.init(BODY)).pow_status.state).toBe("IDLE");
  });

  it("find what the formulas say, and keep it through stop and phases", async () => {
    const { service } = await start();
    await service.initGenerate({ ...BODY, r_target: 1, node_id: 1, node_count: 3 });
    await until(service, () => service.status().total_valid >= 20);
    const { pow_status } = await service.stop();
    const checked = Array.from({ length: pow_status.total_checked }, (_, i) => 1 + 3 * i);
    const expected = checked.filter((nonce) => distanceOf(nonce, "node1") < 1);
    expect(pow_status.valid_nonces).toEqual(expected);
    expect(pow_status.valid_distances).toEqual(expected.map((n) => distanceOf(n, "node1")));
    await service.phaseValidate();
    expect(service.status().valid_nonces).toEqual(expected);
    await service.phaseGenerate();
    await until(service, () => service.status().total_valid > expected.length);
    expect(service.status().valid_nonces.slice(0, expected.length)).toEqual(expected);
    expect(service.status().round_id).toBe(pow_status.round_id);
  });

  it("the same body restarts nothing, another block's replaces the round", async () => {
    const { service } = await start();
    const first = await service.initGenerate({ ...BODY, url: "http://a/", params: { seq_len: 8 } });
    const same = { ...BODY, callback_url: "http://a/", seq_len: 8, fraud_threshold: 0.01 };
    const again = await service.initGenerate(same);
    expect(again.pow_status.round_id).toBe(first.pow_status.round_id);
    expect(await refusal(service.initGenerate({ ...same, seq_len: 9 }))).toMatchObject({
      code: "ROUND_IN_PROGRESS",
    });
    const next = await service.initGenerate({ ...same, block_hash: "next" });
    expect(next.pow_status).toMatchObject({ block_hash: "next", total_checked: 0 });
    expect(next.pow_status.round_id).not.toBe(first.pow_status.round_id);
  });

  it("name a new round after the greatest id that the store keeps", async () => {
    const store = new MemoryRoundStore();
    const config = {
      ...BODY,
      fraud_threshold: 0.01,
      batch_size: 1,
      seq_len: 1,
      callback_url: null,
    };
    for (const round_id of ["round-9", "round-5"]) {
      await store.create({ round_id, scheme: "distance", config });
    }
    const asked: (string | null)[] = [];
    const { service } = await start({
      store,
      newRoundId: (last) => {
        asked.push(last);
        return `${last}0`;
      },
    });
    const first = await service.init(BODY);
    const second = await service.init({ ...BODY, block_hash: "next" });
    expect(asked).toEqual(["round-9", "round-90"]);
    const ids = [first, second].map(({ pow_status }) => pow_status.round_id);
    expect(ids).toEqual(["round-90", "round-900"]);
  });

  it("are carried out one after another", async () => {
    const { service } = await start();
    const blocks = ["a", "b", "c"].map((block_hash) => ({ ...BODY, block_hash }));
    const answers = await Promise.all([
      ...blocks.map((body) => service.initGenerate(body)),
      service.stop(),
      service.initGenerate(BODY),
    ]);
    expect(answers.map(({ pow_status }) => [pow_status.block_hash, pow_status.state])).toEqual([
      ["a", "GENERATING"],
      ["b", "GENERATING"],
      ["c", "GENERATING"],
      ["c", "STOPPED"],
      ["abc123", "GENERATING"],
    ]);
    await until(service, () => service.status().total_checked > 50);
    const { valid_nonces, valid_distances, total_checked } = service.status();
    expect(valid_nonces).toEqual(Array.from({ length: total_checked }, (_, i) => i));
    expect(valid_distances).toEqual(valid_nonces.map((nonce) => distanceOf(nonce, "node1")));
  });

  it("are dropped when their caller is gone before their turn, but for stop", async () => {
    const { service, runner } = await start({ hold: true });
    await service.init(BODY);
    const caller = new AbortController();
    const first = service.initGenerate(BODY);
    const blocks = ["a", "b", "c"].map((block_hash) => ({ ...BODY, block_hash }));
    const gone = [
      ...blocks.map((body) => service.initGenerate(body, caller)),
      service.init(BODY, caller),
      service.initValidate(BODY, caller),
      service.phaseGenerate(caller),
      service.phaseValidate(caller),
    ].map(refusal);
    caller.abort();
    const begun = (await first).pow_status.round_id;
    for (const error of await Promise.all(gone)) expect(error.code).toBe("CALLER_GONE");
    expect(service.status()).toMatchObject({ round_id: begun, state: "GENERATING" });
    const stop = service.stop();
    await runner.started(1);
    runner.release();
    expect((await stop).pow_status).toMatchObject({ round_id: begun, state: "STOPPED" });
  });

  it("answer within a second though a job takes longer, also one after another", async () => {
    const { service, runner } = await start({ hold: true });
    runner.onCancel("ignore");
    await service.initGenerate(BODY);
    await runner.started(1);
    const begin = performance.now();
    const both = Promise.all([
      service.initGenerate({ ...BODY, block_hash: "next" }),
      service.stop(),
    ]);
    await turns();
    runner.release(1); // makes room for a job of the next round, which is stuck as well
    const answers = await both;
    expect(runner.jobs).toHaveLength(3);
    expect(performance.now() - begin).toBeLessThan(1200);
    expect(answers.map(({ pow_status }) => pow_status.state)).toEqual(["GENERATING", "STOPPED"]);
    runner.release();
    await turns(10);
    expect(service.status()).toMatchObject({ block_hash: "next", total_checked: 0 });
  });

  it("count for a replaced round what came in time", async () => {
    const store = new MemoryRoundStore();
    const { service, runner } = await start({ hold: true, store });
    const { pow_status } = await service.initGenerate(BODY);
    await runner.started(1);
    runner.onCancel({ completed: 2 });
    await service.initGenerate({ ...BODY, block_hash: "next" });
    const old = (await store.recent()).find(({ round_id }) => round_id === pow_status.round_id);
    expect(old?.nonces).toEqual([0, 1]);
    expect(service.status()).toMatchObject({ block_hash: "next", total_checked: 0 });
  });

  it("that follow each other faster than the disk writes are stored without a word", async () => {
    class SlowStore extends MemoryRoundStore {
      override async append(...progress: Parameters<MemoryRoundStore["append"]>) {
        await new Promise((resolve) => setTimeout(resolve, 30));
        await super.append(...progress);
      }
    }
    const log = new MemoryLog();
    const { service } = await start({ store: new SlowStore(), log });
    for (let height = 0; height < 12; height++) {
      await service.initGenerate({ ...BODY, block_hash: `block${height}` });
    }
    await service.close();
    expect([...log.messages("warn"), ...log.messages("error")]).toEqual([]);
  });

  it("leave the round running when the new one cannot be stored", async () => {
    class FullStore extends MemoryRoundStore {
      isFull = false;
      override async create(...round: Parameters<MemoryRoundStore["create"]>) {
        if (this.isFull) throw new Error("full");
        await super.create(...round);
      }
    }
    const store = new FullStore();
    const { service } = await start({ store });
    const { pow_status } = await service.initGenerate(BODY);
    store.isFull = true;
    const error = await refusal(service.initGenerate({ ...BODY, block_hash: "next" }));
    expect(error).toMatchObject({ code: "STORE_FAILED", status: 503 });
    const before = service.status().total_checked;
    await until(service, () => service.status().total_checked > before);
    expect(service.status()).toMatchObject({ state: "GENERATING", round_id: pow_status.round_id });
  });
});

describe("status", () => {
  it("pages the two lists and never the totals", async () => {
    const { service } = await start();
    await service.initGenerate(BODY);
    await until(service, () => service.status().total_checked >= 40);
    const all = (await service.stop()).pow_status;
    expect(service.status({ since: 10, limit: 5 })).toMatchObject({
      valid_nonces: [10, 11, 12, 13, 14],
      valid_distances: all.valid_distances.slice(10, 15),
      total_valid: all.total_valid,
      total_checked: all.total_checked,
    });
    expect(service.status({ since: "38" }).valid_nonces).toEqual(all.valid_nonces.slice(38));
    expect(service.status({ limit: "3", other: "x" }).valid_nonces).toEqual([0, 1, 2]);
    const past = service.status({ since: all.total_valid, limit: Number.MAX_SAFE_INTEGER });
    expect(past).toMatchObject({ valid_nonces: [], valid_distances: [] });
  });

  it.each([
    [{ since: -1 }, "since", "greater_than_equal"],
    [{ since: "-1" }, "since", "greater_than_equal"],
    [{ limit: "0" }, "limit", "greater_than_equal"],
    [{ since: "x" }, "since", "int_parsing"],
    [{ since: "" }, "since", "int_parsing"],
    [{ since: "1.5" }, "since", "int_parsing"],
    [{ limit: "1e3" }, "limit", "int_parsing"],
    [{ since: 1.5 }, "since", "int_from_float"],
    [{ since: ["1", "2"] }, "since", "int_type"],
    [{ since: null }, "since", "int_type"],
    [{ since: "99999999999999999999" }, "since", "less_than_equal"],
  ])("refuses the page %j", async (page, field, type) => {
    const { service } = await start();
    expect(issuesOf(() => service.status(page))).toMatchObject([{ loc: ["query", field], type }]);
  });

  it("keeps two clocks: one since init but not while STOPPED, one while GENERATING", async () => {
    let time = 1000;
    const store = new MemoryRoundStore();
    const { service, runner } = await start({ store, now: () => time, hold: true });
    await service.init(BODY);
    time += 2000;
    expect(service.status()).toMatchObject({ elapsed_seconds: 2, rate_per_second: 0 });
    await service.phaseGenerate();
    await runner.started(0);
    time += 4000;
    runner.release(0);
    await until(service, () => service.status().total_checked === 4);
    expect(service.status()).toMatchObject({ elapsed_seconds: 6, rate_per_second: 1 });
    await service.phaseValidate();
    time += 10_000;
    expect(service.status()).toMatchObject({ elapsed_seconds: 16, rate_per_second: 1 });
    await service.stop();
    time += 50_000;
    expect(service.status()).toMatchObject({ elapsed_seconds: 16, rate_per_second: 1 });
    await service.phaseValidate();
    time += 1000;
    expect(service.status().elapsed_seconds).toBe(17);
    await service.close();

    time = 5; // another process, another clock
    const restarted = await start({ store, now: () => time });
    expect(restarted.service.status()).toMatchObject({
      state: "STOPPED",
      elapsed_seconds: 17,
      rate_per_second: 1,
      valid_nonces: [0, 1, 2, 3],
    });
    time += 7000;
    expect(restarted.service.status().elapsed_seconds).toBe(17);
    await restarted.service.phaseGenerate();
    await until(restarted.service, () => restarted.service.status().total_checked > 4);
    const { valid_nonces, total_checked } = restarted.service.status();
    expect(valid_nonces).toEqual(Array.from({ length: total_checked }, (_, i) => i));
  });
});

describe("validate", () => {
  it("recomputes with the proof's key in every state that has a round", async () => {
    const { service } = await start();
    const nonces = [5, 1, 9007199254740991, 77, 3, 2];
    const expected = nonces.map((nonce) => distanceOf(nonce, "prover", 32));
    const body = { ...BODY, seq_len: 32, r_target: 1 };
    for (const enter of [
      () => service.init(body),
      () => service.initGenerate(body),
      () => service.phaseValidate(),
      () => service.stop(),
    ]) {
      await enter();
      const answer = await service.validate(proofOf(nonces));
      expect(answer).toMatchObject({
        nonces,
        distances: expected,
        valid: expected.map((distance) => distance < 1),
        received_dist: nonces.map(() => 0.5),
        r_target: 1,
        fraud_threshold: 0.01,
        n_invalid: expected.filter((distance) => distance > 1).length,
        arithmetic: "fake-1",
      });
    }
  });

  it("refuses in order: 422, 413, no round, another block", async () => {
    const { service } = await start({ maxValidateNonces: 3 });
    const long = proofOf([0, 1, 2, 3]);
    const repeated = proofOf([0, 1, 2, 2]);
    expect(await refusal(service.validate(repeated))).toMatchObject({ status: 422 });
    expect(await refusal(service.validate({ ...long, dist: [] }))).toMatchObject({ status: 422 });
    expect(await refusal(service.validate(long))).toMatchObject({ status: 413 });
    expect(await refusal(service.validate(proofOf([0])))).toMatchObject({
      status: 400,
      detail: "No round configured",
    });
    await service.init(BODY);
    expect(await refusal(service.validate({ ...long, block_hash: "x" }))).toMatchObject({
      status: 413,
    });
    expect(await refusal(service.validate(proofOf([0], { block_hash: "x" })))).toMatchObject({
      status: 400,
      detail: "Block hash mismatch",
    });
  });

  it("answers for an empty proof", async () => {
    const { service } = await start();
    await service.init(BODY);
    expect(await service.validate(proofOf([]))).toMatchObject({
      nonces: [],
      distances: [],
      valid: [],
      n_invalid: 0,
      probability_honest: -1,
      fraud_detected: false,
    });
  });

  it("gives null for what is not finite and logs it", async () => {
    const log = new MemoryLog();
    const distance = () => Number.NaN;
    const { service } = await start({ log, runner: { distance } });
    await service.init(BODY);
    expect(await service.validate(proofOf([1, 2]))).toMatchObject({
      distances: [null, null],
      valid: [false, false],
      n_invalid: 0,
      probability_honest: -1,
    });
    expect(log.messages("warn")).toHaveLength(1);
  });

  describe("beside a search", () => {
    /** Nonces that no search comes to. */
    const nonces = (count: number, from = 1e6) => Array.from({ length: count }, (_, i) => from + i);

    /** A node whose jobs take as long as `cost` says. */
    async function paced(cost: (job: PrefillJob) => number) {
      let clock = 0;
      const { service, runner } = await start({ hold: true, now: () => clock });
      let answered = 0;
      return {
        service,
        runner,
        /** Lets the runner answer so many more jobs. */
        async play(jobs: number): Promise<void> {
          for (const end = answered + jobs; answered < end; answered++) {
            const job = await runner.started(answered);
            clock += cost(job);
            runner.release(job.id);
            await turns(1);
          }
        },
        /** Milliseconds that the answered jobs of proofs have had, and those of the search. */
        shares(isProof: (job: PrefillJob) => boolean): { search: number; proofs: number } {
          const shares = { search: 0, proofs: 0 };
          for (const job of runner.jobs.slice(0, answered)) {
            shares[isProof(job) ? "proofs" : "search"] += cost(job);
          }
          return shares;
        },
      };
    }

    it("goes before the next search job, then has a sixteenth of the runner's time", async () => {
      const { service, play, shares, runner } = await paced(() => 100);
      await service.initGenerate(BODY);
      await runner.started(1);
      void service.validate(proofOf(nonces(4000))).catch(() => {});
      await play(2);
      expect(kindOf(runner, "prover", nonces(4000)).slice(0, 3)).toEqual([
        "search",
        "search",
        "proof",
      ]);
      await play(160);
      const source = { block_hash: BODY.block_hash, public_key: "prover" };
      const seeds = new Set(nonces(4000).map((nonce) => inputSeed(source, nonce)));
      const { search, proofs } = shares((job) => seeds.has(job.input_seeds[0] ?? -1));
      expect(Math.abs(search - 15 * proofs)).toBeLessThanOrEqual(3000);
    });

    it("proofs of an earlier, longer round have no more than that sixteenth", async () => {
      const { service, play, shares } = await paced((job) => job.seq_len);
      await service.initGenerate({ ...BODY, seq_len: 100 });
      const old = Array.from({ length: 8 }, (_, i) =>
        service.validate(proofOf(nonces(400, 1e6 + i * 1000))).catch(() => {}),
      );
      await service.stop();
      await service.initGenerate({ ...BODY, block_hash: "next", seq_len: 8 });
      await play(800);
      const { search, proofs } = shares((job) => job.seq_len === 100);
      expect(proofs).toBeGreaterThan(300);
      expect(Math.abs(search - 15 * proofs)).toBeLessThanOrEqual(4500);
      await service.close();
      await Promise.all(old);
    });

    it("proofs take turns: a short one does not wait for a long one", async () => {
      const { service, play, runner } = await paced(() => 100);
      await service.init(BODY);
      const ended: string[] = [];
      const long = service.validate(proofOf(nonces(1000))).then(() => ended.push("long"));
      const short = service.validate(proofOf([1, 2])).then(() => ended.push("short"));
      await play(4);
      await short;
      expect(ended).toEqual(["short"]);
      runner.release();
      await long;
    });
  });

  it("that is long gets on although short ones keep coming", async () => {
    const { service, runner } = await start({ hold: true });
    await service.init(BODY);
    let isAnswered = false;
    const long = service.validate(proofOf(Array.from({ length: 100 }, (_, i) => 1000 + i)));
    void long.then(() => {
      isAnswered = true;
    });
    const short = (nonce: number) => service.validate(proofOf([nonce]));
    const shorts = [short(0), short(1), short(2)];
    for (let answered = 0; !isAnswered; answered++) {
      expect(answered).toBeLessThan(100);
      const job = await runner.started(answered);
      runner.release(job.id);
      if (job.input_seeds.length === 1) shorts.push(short(shorts.length));
      await turns(1);
    }
    runner.release();
    await Promise.all([long, ...shorts]);
    expect(shorts.length).toBeGreaterThan(20);
  });

  describe("whose caller is gone", () => {
    const callback_url = "http://aggregator:9000";

    it("is dropped, what is at work is cut, and others go on", async () => {
      const { service, runner } = await start({ hold: true });
      await service.init(BODY);
      const caller = new AbortController();
      const gone = service.validate(proofOf([1, 2, 3, 4, 5, 6, 7, 8, 9]), caller);
      const other = service.validate(proofOf([10]));
      await runner.started(1);
      caller.abort();
      expect(await refusal(gone)).toMatchObject({ code: "CALLER_GONE" });
      expect(runner.cancelled).toEqual([0, 1]);
      runner.release();
      expect((await other).distances).toEqual([distanceOf(10, "prover")]);
      expect(runner.jobs).toHaveLength(3);
      // Before it was ever given to the runner, too.
      expect(await refusal(service.validate(proofOf([11]), caller))).toMatchObject({
        code: "CALLER_GONE",
      });
      expect(runner.jobs).toHaveLength(3);
    });

    it("is finished when its verdict is due for delivery", async () => {
      const store = new MemoryRoundStore();
      const { service, runner } = await start({ hold: true, store });
      await service.initValidate({ ...BODY, callback_url });
      const caller = new AbortController();
      const answer = service.validate(proofOf([1, 2, 3, 4, 5, 6]), caller);
      await runner.started(1);
      caller.abort();
      runner.release();
      await answer;
      expect(runner.cancelled).toEqual([]);
      expect(store.verdicts).toHaveLength(1);
      // Without a callback nobody waits for it.
      await service.initValidate(BODY);
      expect(await refusal(service.validate(proofOf([1]), caller))).toMatchObject({
        code: "CALLER_GONE",
      });
    });

    it("makes room for others", async () => {
      const { service, runner } = await start({ hold: true, maxQueuedValidateNonces: 10 });
      await service.init(BODY);
      const caller = new AbortController();
      const gone = refusal(service.validate(proofOf([1, 2, 3, 4, 5, 6, 7, 8]), caller));
      const error = await refusal(service.validate(proofOf([11, 12, 13])));
      expect(error).toMatchObject({
        status: 503,
        code: "TOO_MANY_QUEUED_NONCES",
        detail: "Too many nonces are waiting to be validated: 8 and 3 more, at most 10",
      });
      expect(error.retryAfter).toBeGreaterThan(0);
      const fits = service.validate(proofOf([11, 12]));
      caller.abort();
      await gone;
      const more = service.validate(proofOf([21, 22, 23, 24, 25, 26, 27, 28]));
      runner.release();
      expect((await Promise.all([fits, more])).map(({ nonces }) => nonces.length)).toEqual([2, 8]);
    });
  });

  it("counts only nonces that are not computed yet as waiting", async () => {
    const { service, runner } = await start({ hold: true, maxQueuedValidateNonces: 8 });
    await service.init(BODY);
    const long = service.validate(proofOf([1, 2, 3, 4, 5, 6, 7, 8]));
    const job = await runner.started(0);
    expect(await refusal(service.validate(proofOf([9])))).toMatchObject({ status: 503 });
    runner.release(job.id);
    await turns(2);
    const next = service.validate(proofOf([9]));
    runner.release();
    await Promise.all([long, next]);
  });

  it("refuses a kept round that is longer than the runner computes, as its search is", async () => {
    const { service, detach } = await start();
    await service.initGenerate({ ...BODY, seq_len: 512 });
    await service.stop();
    detach(new Error("it crashed"));
    service.attach(createFakeRunner({ info: { max_seq_len: 256 } }));
    const detail = "The round's seq_len of 512 is more than this node computes, 256";
    for (const call of [service.validate(proofOf([1])), service.phaseGenerate()]) {
      expect(await refusal(call)).toMatchObject({ status: 400, code: "ROUND_TOO_LONG", detail });
    }
    expect(service.state).toBe("STOPPED");
    await service.phaseValidate();
    await service.initGenerate({ ...BODY, seq_len: 256 });
  });

  it("cuts a long proof into jobs no longer than batch_size", async () => {
    const { service, runner } = await start();
    await service.init({ ...BODY, batch_size: 16 });
    const nonces = Array.from({ length: 333 }, (_, i) => i * 7);
    const { distances } = await service.validate(proofOf(nonces));
    expect(distances).toEqual(nonces.map((nonce) => distanceOf(nonce, "prover")));
    expect(Math.max(...runner.jobs.map((job) => job.input_seeds.length))).toBe(16);
  });

  it("answers for the round it began with", async () => {
    const { service, runner } = await start({ hold: true });
    await service.init({ ...BODY, r_target: 0.25, seq_len: 512 });
    const answer = service.validate(proofOf([1, 2, 3, 4, 5, 6, 7, 8, 9]));
    await runner.started(1);
    await service.init({ ...BODY, block_hash: "next" });
    runner.release();
    expect(await answer).toMatchObject({
      r_target: 0.25,
      distances: [1, 2, 3, 4, 5, 6, 7, 8, 9].map((nonce) => distanceOf(nonce, "prover", 512)),
    });
  });

  it("names the arithmetic that computed it, not that of when it came", async () => {
    const { service, runner } = await start({ hold: true });
    await service.initGenerate(BODY);
    await runner.started(1); // the search has the runner: the proof waits
    const answer = service.validate(proofOf([1, 2, 3]));
    service.attach(createFakeRunner({ info: { arithmetic: "fake-2" } }));
    expect((await answer).arithmetic).toBe("fake-2");
  });

  it("finishes a proof of which the runner finished only a part", async () => {
    const { service, runner } = await start({ hold: true });
    await service.init(BODY);
    const answer = service.validate(proofOf([1, 2, 3, 4]));
    await runner.started(0);
    runner.onCancel({ completed: 3 });
    runner.cancel(0);
    await runner.started(1);
    runner.release();
    expect((await answer).distances).toEqual([1, 2, 3, 4].map((n) => distanceOf(n, "prover")));
  });

  it("fails with 500 when the job fails, and the next proof is served", async () => {
    const { service, runner } = await start({ hold: true });
    await service.init(BODY);
    runner.fail(new Error("no memory"));
    const failed = refusal(service.validate(proofOf([1, 2, 3, 4, 5, 6])));
    const served = service.validate(proofOf([7]));
    expect(await failed).toMatchObject({ code: "COMPUTE_FAILED", status: 500 });
    runner.release();
    expect((await served).distances).toEqual([distanceOf(7, "prover")]);
  });

  it("refuses more proofs than can wait", async () => {
    const { service, runner } = await start({ hold: true });
    await service.init(BODY);
    const answers = Array.from({ length: 64 }, (_, i) => service.validate(proofOf([i])));
    expect(await refusal(service.validate(proofOf([64])))).toMatchObject({
      status: 503,
      code: "TOO_MANY_VALIDATIONS",
    });
    runner.release();
    expect(await Promise.all(answers)).toHaveLength(64);
  });
});

describe("a lost runner", () => {
  it("stops the round, keeps its results and refuses what needs a runner", async () => {
    const log = new MemoryLog();
    const { service, runner } = await start({ hold: true, log });
    await service.initGenerate(BODY);
    await runner.started(1);
    runner.release(0);
    await until(service, () => service.status().total_checked === 4);
    const proof = refusal(service.validate(proofOf([1])));
    const stopped = until(service, () => service.state === "STOPPED");
    runner.lose();
    await stopped;
    expect(await proof).toMatchObject({ status: 503, code: "RUNNER_LOST" });
    expect(service.ready).toBe(false);
    expect(service.status()).toMatchObject({
      total_checked: 4,
      is_model_initialized: false,
      arithmetic: "fake-1",
    });
    expect(await refusal(service.phaseGenerate())).toMatchObject({
      detail: "Runner is not available",
    });
    expect(await refusal(service.validate(proofOf([1])))).toMatchObject({ code: "RUNNER_LOST" });
    expect((await service.stop()).pow_status.state).toBe("STOPPED");
    expect(log.messages("error")).toEqual(["the runner is gone"]);

    const next: ModelRunner = createFakeRunner();
    service.attach(next);
    expect(service.ready).toBe(true);
    await service.phaseGenerate();
    await until(service, () => service.status().total_checked > 40);
    const { valid_nonces, total_checked } = service.status();
    expect(valid_nonces).toEqual(Array.from({ length: total_checked }, (_, i) => i));
  });

  it("stops a validating round too, and leaves an idle one", async () => {
    for (const [enter, state] of [
      [(service: PocService) => service.initValidate(BODY), "STOPPED"],
      [(service: PocService) => service.init(BODY), "IDLE"],
    ] as const) {
      const { service, detach } = await start();
      await enter(service);
      detach(new Error("it crashed"));
      detach(new Error("again"));
      expect(service.state).toBe(state);
    }
  });

  it("during a command leaves the round stopped, never searching", async () => {
    const { service, runner, detach } = await start({ hold: true });
    const answer = service.initGenerate(BODY);
    runner.lose();
    detach(new Error("it crashed"));
    const { pow_status } = await answer.catch(() => service.stop());
    expect(pow_status.state).toBe("STOPPED");
    expect(runner.jobs).toHaveLength(0);
  });
});

describe("change events", () => {
  it("come for states, counts and the runner; a failing listener holds nothing", async () => {
    const log = new MemoryLog();
    const service = await openService({ log });
    services.push(service);
    let changes = 0;
    service.on("change", () => {
      throw new Error("bad listener");
    });
    const off = service.on("change", () => changes++);
    service.attach(createFakeRunner());
    expect(changes).toBe(1);
    await service.initGenerate(BODY);
    expect(changes).toBeGreaterThan(1);
    await until(service, () => service.status().total_checked > 100);
    expect(log.messages("error")).toContain("a listener failed");
    off();
    const before = changes;
    await service.stop();
    expect(changes).toBe(before);
  });
});

describe("close", () => {
  it("stops the round, answers what is at work and refuses what comes later", async () => {
    const { service, runner } = await start({ hold: true });
    await service.initGenerate(BODY);
    await runner.started(1);
    const answer = service.validate(proofOf([1]));
    const closed = service.close();
    expect(service.close()).toBe(closed);
    await runner.started(2);
    runner.release();
    expect((await answer).distances).toEqual([distanceOf(1, "prover")]);
    await closed;
    expect(service.state).toBe("STOPPED");
    for (const call of [
      service.stop(),
      service.initGenerate(BODY),
      service.validate(proofOf([])),
    ]) {
      expect(await refusal(call)).toMatchObject({ status: 503, code: "SHUTTING_DOWN" });
    }
    expect(service.status().state).toBe("STOPPED");
  });

  it("does not wait for a runner that answers nothing", async () => {
    const { service, runner } = await start({ hold: true });
    runner.onCancel("ignore");
    await service.initGenerate(BODY);
    await runner.started(1);
    const proof = refusal(service.validate(proofOf([1])));
    const begin = performance.now();
    await service.close();
    expect(performance.now() - begin).toBeLessThan(4000);
    expect(await proof).toMatchObject({ code: "SHUTTING_DOWN" });
  });
});
