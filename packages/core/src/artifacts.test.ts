import { describe, expect, it, onTestFinished, vi } from "vitest";
import { artifactInputs } from "./proof/artifact/job.ts";
import { pickSeed } from "./proof/artifact/seeds.ts";
import { encodeVector } from "./proof/artifact/vector.ts";
import { type DueVerdict, MemoryRoundStore } from "./round/store.ts";
import { createFakeRunner, type FakeRunnerOptions, fakeVector } from "./runner/fake.ts";
import type { PocService } from "./service.ts";
import type { PocServiceOptions } from "./service-options.ts";
import { BODY, MemoryLog, mortal, openService, refusal, turns, until } from "./test-support.ts";
import type { GeneratedArtifacts } from "./wire/artifact-schemas.ts";

const ROUND = {
  block_hash: "ABCDEF",
  block_height: 100,
  public_key: "02a1",
  node_id: 1,
  node_count: 3,
  params: { model: "model", seq_len: 16 },
  url: "http://api:9100/v2/poc-batches/Qwen%252FQwen3-0.6B",
};

const JOB = { ...ROUND, nonces: [5, 7, 5], url: null };

function vectorOf(nonce: number, source: { block_hash: string; public_key: string } = ROUND) {
  return encodeVector(fakeVector(pickSeed(source, nonce, 12), 12));
}

async function open(options: Partial<PocServiceOptions> = {}, fake: FakeRunnerOptions = {}) {
  const store = new MemoryRoundStore();
  const service = await openService({ store, modelNames: () => ["model"], ...options });
  const runner = createFakeRunner({ ...fake, info: { hidden_size: 32, ...fake.info } });
  service.attach(runner);
  onTestFinished(() => service.close());
  const found = (n: number) =>
    until(service, () => (service.artifacts.status().stats?.total_processed ?? 0) >= n);
  return { service, artifacts: service.artifacts, runner, store, found };
}

/** What is stored of the last round. */
async function stored(store: MemoryRoundStore) {
  const round = (await store.recent()).at(-1);
  if (!round) throw new Error("no round");
  return round;
}

describe("a round", () => {
  it("walks its node's sequence from the front and keeps every vector", async () => {
    const { service, artifacts, store, found } = await open();
    const answer = await artifacts.initGenerate(ROUND);
    expect(answer).toEqual({ status: "OK", pow_status: { status: "GENERATING" } });
    await found(20);
    await service.stop();
    const { nonces, records, scheme } = await stored(store);
    expect(scheme).toBe("artifact");
    expect(nonces).toEqual(nonces.map((_, i) => 1 + 3 * i));
    expect(records).toEqual(nonces.map((nonce) => vectorOf(nonce)));
  });

  it("walks a group's part of it", async () => {
    const { service, artifacts, store, found } = await open();
    await artifacts.initGenerate({ ...ROUND, group_id: 2, n_groups: 4 });
    await found(5);
    await service.stop();
    const { nonces } = await stored(store);
    expect(nonces).toEqual(nonces.map((_, i) => 1 + 2 * 3 + i * 4 * 3));
  });

  it("says what it is at, and IDLE without one or once it has ended", async () => {
    const { service, artifacts, found } = await open();
    const idle = { status: "IDLE", config: null, stats: null };
    expect(artifacts.status()).toEqual(idle);
    await artifacts.initGenerate({ ...ROUND, params: { ...ROUND.params, k_dim: 4 } });
    await found(1);
    const { block_hash, block_height, public_key, node_id, node_count } = ROUND;
    expect(artifacts.status()).toEqual({
      status: "GENERATING",
      config: {
        ...{ block_hash, block_height, public_key, node_id, node_count },
        ...{ group_id: 0, n_groups: 1, seq_len: 16, k_dim: 4 },
      },
      stats: { total_processed: expect.any(Number), nonces_per_second: expect.any(Number) },
    });
    expect(artifacts.statusBeside(service.status())).toMatchObject({
      status: "GENERATING",
      state: "GENERATING",
      total_checked: 0,
    });
    await service.stop();
    expect(artifacts.status()).toEqual(idle);
    expect(artifacts.statusBeside(service.status())).toMatchObject({
      ...idle,
      state: "STOPPED",
    });
  });

  it("leaves out what is not finite, and counts it", async () => {
    const isBad = (seed: number) => seed % 3 === 0;
    const { service, artifacts, store, found } = await open(
      {},
      {
        vector: (seed, k) =>
          isBad(seed) ? new Float32Array(k).fill(Number.NaN) : fakeVector(seed, k),
      },
    );
    await artifacts.initGenerate(ROUND);
    await found(30);
    await service.stop();
    const { nonces, counters } = await stored(store);
    const all = Array.from({ length: counters.position }, (_, i) => 1 + 3 * i);
    const finite = all.filter((nonce) => !isBad(pickSeed(ROUND, nonce, 12)));
    expect(finite.length).toBeLessThan(all.length);
    expect(nonces).toEqual(finite);
    expect(counters.total_nonfinite).toBe(all.length - finite.length);
  });

  it("gives the runner the stronger generator's seeds where it is asked for", async () => {
    const { service, artifacts, runner } = await open();
    await artifacts.initGenerate({ ...ROUND, poc_stronger_rng: true });
    const job = await runner.started(0);
    await service.stop();
    const nonces = Array.from({ length: job.input_seeds.length / 8 }, (_, i) => 1 + 3 * i);
    expect(job).toMatchObject(artifactInputs(ROUND, nonces, true));
    expect(job.output).toMatchObject({ kind: "artifact", k_dim: 12 });
    if (job.output.kind === "artifact") expect(job.output.layer_seeds).toHaveLength(2);
  });

  it("tells those who follow it", async () => {
    const { artifacts, found, service } = await open();
    await artifacts.initGenerate(ROUND);
    await found(1);
    await service.stop();
    const ended = new AbortController();
    const seen: unknown[] = [];
    for await (const { event } of artifacts.watch({ signal: ended.signal })) {
      seen.push(event);
      if (seen.length === 2) ended.abort();
    }
    expect(seen[0]).toMatchObject({ type: "round", block_hash: "ABCDEF", k_dim: 12 });
    expect(seen[1]).toMatchObject({ type: "artifacts", from: 0 });
    expect((seen[1] as { vectors_b64: string[] }).vectors_b64[0]).toBe(vectorOf(1));
  });
});

describe("one round at a time", () => {
  it("of either protocol", async () => {
    const { service, artifacts } = await open();
    await artifacts.initGenerate(ROUND);
    const again = await refusal(artifacts.initGenerate({ ...ROUND, block_hash: "other" }));
    expect(again).toMatchObject({ status: 409, detail: "Already generating" });
    const other = { ...BODY, block_hash: "other" };
    for (const init of ["init", "initGenerate", "initValidate"] as const) {
      expect((await refusal(service[init](other))).code).toBe("ROUND_IN_PROGRESS");
    }
    await service.stop();
    expect((await refusal(service.phaseGenerate())).code).toBe("POC_NOT_INITIALIZED");
    const proof = { ...BODY, nonces: [], dist: [] };
    expect((await refusal(service.validate(proof))).code).toBe("NO_ROUND");
    expect(service.status()).toMatchObject({ state: "STOPPED", round_id: null, total_checked: 0 });

    await service.initGenerate(BODY);
    expect((await refusal(artifacts.initGenerate(ROUND))).code).toBe("ALREADY_GENERATING");
    expect(artifacts.status().status).toBe("IDLE");
    expect(artifacts.statusBeside(service.status())).toMatchObject({ status: "GENERATING" });
  });

  it("a stale one ends, and no other", async () => {
    const { service, artifacts, store } = await open();
    await artifacts.initGenerate(ROUND);
    const { round_id } = await stored(store);
    expect(await artifacts.endStale("another")).toBe(false);
    expect(artifacts.status().status).toBe("GENERATING");
    expect(await artifacts.endStale(round_id)).toBe(true);
    expect(artifacts.status().status).toBe("IDLE");
    expect(await artifacts.endStale(round_id)).toBe(false);
    expect(artifacts.endedStale).toBe(1);
    await service.initGenerate(BODY);
    expect(await artifacts.endStale(round_id)).toBe(false);
    expect(service.state).toBe("GENERATING");
  });
});

describe("an equal round", () => {
  it("goes on where it was, also after others, and after a restart", async () => {
    const { service, artifacts, store, found } = await open();
    const first = await run(ROUND);
    const second = await run(ROUND);
    expect(second.round_id).toBe(first.round_id);
    expect(second.nonces.length).toBeGreaterThan(first.nonces.length);
    expect(second.nonces).toEqual(second.nonces.map((_, i) => 1 + 3 * i));

    const other = await run({ ...ROUND, block_hash: "other" });
    expect(other.nonces[0]).toBe(1);
    const third = await run({ ...ROUND, batch_size: 7 });
    expect(third.round_id).not.toBe(first.round_id);
    expect(third.nonces[0]).toBe(1 + 3 * second.nonces.length);

    await service.close();
    const restarted = await open({ store });
    await restarted.artifacts.initGenerate(ROUND);
    await restarted.found(third.nonces.length + 1);
    await restarted.service.stop();
    const fourth = await stored(store);
    expect(fourth.nonces.slice(0, third.nonces.length)).toEqual(third.nonces);
    const walked = fourth.nonces.map((_, i) => 1 + 3 * (second.nonces.length + i));
    expect(fourth.nonces).toEqual(walked);

    async function run(body: object) {
      await artifacts.initGenerate(body);
      const before = artifacts.status().stats?.total_processed ?? 0;
      await found(before + 3);
      await service.stop();
      return stored(store);
    }
  });

  it("is one whose every field is equal: any other begins at the front", async () => {
    const changes = [
      { block_hash: "x" },
      { block_height: 101 },
      { public_key: "x" },
      { node_id: 2 },
      { node_count: 4 },
      { poc_stronger_rng: true },
      { url: null },
      { params: { ...ROUND.params, seq_len: 17 } },
      { params: { ...ROUND.params, k_dim: 11 } },
      { group_id: 0, n_groups: 2 },
    ];
    for (const change of changes) {
      const { service, artifacts, store, found } = await open();
      await artifacts.initGenerate(ROUND);
      await found(3);
      await service.stop();
      const body = { ...ROUND, ...change };
      await artifacts.initGenerate(body);
      await found(1);
      await service.stop();
      expect((await stored(store)).nonces[0], JSON.stringify(change)).toBe(body.node_id);
    }
  });
});

describe("a job", () => {
  it("that is waited for", async () => {
    const { artifacts } = await open();
    const answer = await artifacts.generate({ ...JOB, wait: true });
    expect(answer).toEqual({
      status: "completed",
      request_id: expect.stringMatching(/^[0-9a-f-]{36}$/),
      artifacts: JOB.nonces.map((nonce) => ({ nonce, vector_b64: vectorOf(nonce) })),
      encoding: { dtype: "f16", k_dim: 12, endian: "le" },
    });
  });

  it("that is queued: its result can be asked for and is due once", async () => {
    const { service, artifacts, store } = await open();
    const url = "http://api:9100/x";
    const { request_id, ...queued } = await artifacts.generate({ ...JOB, url });
    expect(queued).toEqual({ status: "queued", queued_count: 3 });
    await due(store, 1);
    const expected = JOB.nonces.map((nonce) => ({ nonce, vector_b64: vectorOf(nonce) }));
    expect(store.verdicts).toEqual([
      {
        callback_url: url,
        scheme: "artifact",
        kind: "generated",
        batch: {
          request_id,
          ...pick(ROUND),
          artifacts: expected,
          encoding: { dtype: "f16", k_dim: 12, endian: "le" },
        },
      },
    ]);
    await turns();
    expect(artifacts.job(request_id)).toMatchObject({ status: "completed", artifacts: expected });
    await service.stop();
    expect(() => artifacts.job(request_id)).toThrow(`Request ${request_id} not found`);
  });

  it("judges a prover, as the rule of mismatches says", async () => {
    const { artifacts, store } = await open();
    const nonces = Array.from({ length: 40 }, (_, i) => 3 * i);
    const wrong = [0, 9, 30];
    const received = nonces.map((nonce) => ({
      nonce,
      vector_b64: vectorOf(wrong.includes(nonce) ? nonce + 1 : nonce),
    }));
    received[1] = { nonce: 3, vector_b64: "" };
    received[2] = { nonce: 6, vector_b64: "no vector" };
    const body = { ...JOB, nonces, validation: { artifacts: received } };
    const answer = await artifacts.generate({ ...body, wait: true });
    expect(answer).toMatchObject({
      n_total: 40,
      n_mismatch: 4,
      mismatch_nonces: [0, 6, 9, 30],
      fraud_detected: true,
    });
    expect(answer).not.toHaveProperty("artifacts");
    const lenient = { dist_threshold: 0.02, p_mismatch: 0.1, p_value_threshold: 0.9 };
    expect(await artifacts.generate({ ...body, wait: true, stat_test: lenient })).toMatchObject({
      n_mismatch: 4,
      fraud_detected: false,
    });

    await artifacts.generate({ ...body, url: "http://api:9100/x" });
    await due(store, 1);
    const [{ kind, batch } = {} as DueVerdict] = store.verdicts;
    expect(kind).toBe("validated");
    expect(Object.keys(batch)).toEqual([
      ...["request_id", "block_hash", "block_height", "public_key", "node_id"],
      ...["n_total", "n_mismatch", "mismatch_nonces", "p_value", "fraud_detected"],
    ]);
  });

  it("uses p_value_threshold only where it is told to, and says once that it does not", async () => {
    const log = new MemoryLog();
    const body = {
      ...JOB,
      nonces: [0],
      wait: true,
      validation: { artifacts: [{ nonce: 0, vector_b64: vectorOf(1) }] },
      stat_test: { dist_threshold: 0.02, p_mismatch: 0.02, p_value_threshold: 0.05 },
    };
    const { artifacts } = await open({ log });
    for (let i = 0; i < 2; i++) {
      expect(await artifacts.generate(body)).toMatchObject({
        p_value: 0.02,
        fraud_detected: false,
      });
    }
    const said = log.messages("info").filter((message) => message.includes("p_value_threshold"));
    expect(said).toHaveLength(1);
    const honouring = await open({ honoursPValueThreshold: true });
    expect(await honouring.artifacts.generate(body)).toMatchObject({ fraud_detected: true });
    const both = { ...body, stat_test: { ...body.stat_test, fraud_threshold: 0.01 } };
    expect(await honouring.artifacts.generate(both)).toMatchObject({ fraud_detected: false });
  });

  it("accuses nobody where the node's own arithmetic failed", async () => {
    const bad = pickSeed(ROUND, 5, 12);
    const { artifacts } = await open(
      {},
      {
        vector: (seed, k) =>
          seed === bad ? new Float32Array(k).fill(Number.NaN) : fakeVector(seed, k),
      },
    );
    const nonces = [5, 7];
    const received = nonces.map((nonce) => ({ nonce, vector_b64: vectorOf(nonce) }));
    const body = { ...JOB, nonces, wait: true, validation: { artifacts: received } };
    expect(await artifacts.generate(body)).toMatchObject({ n_total: 1, excluded_nonces: [5] });
    const twice = { ...body, nonces: [5, 5, 7] };
    expect(await refusal(artifacts.generate(twice))).toMatchObject({
      status: 503,
      detail: "validation aborted: 2 of 3 recomputed vectors are not finite",
    });
    const plain = await artifacts.generate({ ...JOB, nonces, wait: true });
    expect(plain).toMatchObject({ artifacts: [{ nonce: 7 }] });
  });

  it("of no nonces", async () => {
    const { artifacts } = await open();
    const empty = { ...JOB, nonces: [], wait: true };
    expect(await artifacts.generate(empty)).toMatchObject({ artifacts: [] });
    const judged = await artifacts.generate({ ...empty, validation: { artifacts: [] } });
    expect(judged).toMatchObject({ n_total: 0, p_value: 1, fraud_detected: false });
    const queued = await artifacts.generate({ ...empty, wait: false });
    expect(queued).toMatchObject({ status: "queued", queued_count: 0 });
  });

  it("waits until a search has ended", async () => {
    const { service, artifacts, found, runner } = await open();
    await artifacts.initGenerate(ROUND);
    const waited = artifacts.generate({ ...JOB, wait: true });
    const { request_id } = await artifacts.generate({ ...JOB, nonces: [8] });
    await found(20);
    expect(artifacts.job(request_id)).toEqual({ status: "queued", request_id });
    expect(runner.jobs.some((job) => seedsOf(job).includes(pickSeed(ROUND, 8, 12)))).toBe(false);
    await service.stop();
    // A stop ends jobs as well; who was waiting is told.
    expect((await refusal(waited)).code).toBe("JOB_CANCELLED");
    await turns();
    expect(artifacts.job(request_id)).toEqual({ status: "cancelled", request_id });
  });

  it("goes on by itself when the search ends without a stop", async () => {
    const { artifacts, store } = await open();
    await artifacts.initGenerate(ROUND);
    const waited = artifacts.generate({ ...JOB, wait: true });
    const { round_id } = await stored(store);
    expect(await artifacts.endStale(round_id)).toBe(true);
    expect(await waited).toMatchObject({ status: "completed" });
  });

  it("that fails says why, and nothing is due", async () => {
    const { artifacts, runner, store } = await open();
    runner.fail(new Error("no"), 1);
    const { request_id } = await artifacts.generate({ ...JOB, url: "http://api/x" });
    await turns(20);
    expect(artifacts.job(request_id)).toMatchObject({ status: "failed", request_id });
    expect(store.verdicts).toEqual([]);
    runner.fail(new Error("no"), 1);
    expect((await refusal(artifacts.generate({ ...JOB, wait: true }))).code).toBe("COMPUTE_FAILED");
  });

  it("whose caller is gone is dropped", async () => {
    const { artifacts, runner } = await open();
    runner.hold();
    const caller = new AbortController();
    const waited = artifacts.generate({ ...JOB, wait: true }, { signal: caller.signal });
    await runner.started(0);
    caller.abort();
    expect((await refusal(waited)).code).toBe("CALLER_GONE");
    expect(runner.cancelled).toHaveLength(1);
  });

  it("does not fit into a full queue", async () => {
    const { artifacts, runner } = await open();
    runner.hold();
    const nonces = Array.from({ length: 60_000 }, (_, i) => i);
    await artifacts.generate({ ...JOB, nonces });
    expect(await refusal(artifacts.generate({ ...JOB, nonces }))).toMatchObject({
      status: 429,
      detail: "Queue full: 60000 nonces queued, limit is 100000",
    });
    await artifacts.generate({ ...JOB, nonces: nonces.slice(0, 40_000) });
  });
});

describe("a queued job with a receiver", () => {
  const PUSHED = { ...JOB, url: "http://api:9100/a" };

  /** One that is queued while nothing is computed, in a process that ends so. */
  async function leftBy(end: (process: Awaited<ReturnType<typeof open>>) => Promise<unknown>) {
    const kept = new MemoryRoundStore();
    const { store, kill } = mortal(kept);
    const process = await open({ store });
    process.runner.hold();
    const { request_id } = await process.artifacts.generate(PUSHED);
    const { request_id: unpushed } = await process.artifacts.generate(JOB);
    await end(process);
    kill();
    return { kept, request_id, unpushed };
  }

  it.each([
    ["killed", async () => {}],
    ["closed", ({ service }: { service: PocService }) => service.close()],
  ])("is computed by the next process, under its id, when one is %s", async (_, end) => {
    const { kept, request_id, unpushed } = await leftBy(end);
    const service = await openService({ store: kept, modelNames: () => ["model"] });
    onTestFinished(() => service.close());
    expect(service.artifacts.job(request_id)).toEqual({ status: "queued", request_id });
    expect(() => service.artifacts.job(unpushed)).toThrow("not found");
    service.attach(createFakeRunner({ info: { hidden_size: 32 } }));
    await vi.waitUntil(() => kept.verdicts.length > 0);
    expect(kept.verdicts).toMatchObject([
      { kind: "generated", callback_url: PUSHED.url, batch: { request_id } },
    ]);
    expect(await kept.jobs()).toEqual([]);
  });

  it("is computed by the next process where that knows the model by another of its names", async () => {
    const kept = new MemoryRoundStore();
    const { store, kill } = mortal(kept);
    const named = await open({ store, modelNames: () => ["alias", "/models/m", "model"] });
    named.runner.hold();
    const { request_id } = await named.artifacts.generate({
      ...{ ...PUSHED, params: { ...PUSHED.params, model: "alias" } },
    });
    kill();
    const service = await openService({ store: kept, modelNames: () => ["other", "/models/m"] });
    onTestFinished(() => service.close());
    expect(service.artifacts.job(request_id)).toEqual({ status: "queued", request_id });
    service.attach(createFakeRunner({ info: { hidden_size: 32 } }));
    await vi.waitUntil(() => kept.verdicts.length > 0);
    expect(kept.verdicts).toMatchObject([{ batch: { request_id } }]);
  });

  it("that is ended while it is on its way into the store is not kept", async () => {
    const { service, artifacts, runner, store } = await open();
    runner.hold();
    const nonces = Array.from({ length: 50_000 }, (_, i) => i);
    const keepJob = vi.spyOn(store, "keepJob");
    const asked = artifacts.generate({ ...PUSHED, nonces });
    await service.stop();
    expect(keepJob).not.toHaveBeenCalled();
    const { request_id } = await asked;
    expect(keepJob).toHaveBeenCalledOnce();
    await vi.waitUntil(() => artifacts.job(request_id).status === "cancelled");
    expect(await store.jobs()).toEqual([]);
  });

  it("is judged by the next process with what its prover sent", async () => {
    const kept = new MemoryRoundStore();
    const { store, kill } = mortal(kept);
    const { artifacts, runner } = await open({ store });
    runner.hold();
    const nonces = [5, 7, 9];
    const sent = nonces.map((nonce, i) => ({ nonce, vector_b64: vectorOf(nonce + (i && 1)) }));
    await artifacts.generate({ ...PUSHED, nonces, validation: { artifacts: sent.reverse() } });
    kill();
    const service = await openService({ store: kept, modelNames: () => ["model"] });
    onTestFinished(() => service.close());
    service.attach(createFakeRunner({ info: { hidden_size: 32 } }));
    await vi.waitUntil(() => kept.verdicts.length > 0);
    expect(kept.verdicts).toMatchObject([
      { kind: "validated", batch: { n_total: 3, mismatch_nonces: [7, 9] } },
    ]);
  });

  it("is forgotten by a stop, and by a node of another model", async () => {
    const stopped = await leftBy(async ({ service }) => {
      await service.stop();
      await turns(20);
    });
    expect(await stopped.kept.jobs()).toEqual([]);
    const { kept } = await leftBy(async () => {});
    const log = new MemoryLog();
    const service = await openService({ store: kept, modelNames: () => ["another"], log });
    onTestFinished(() => service.close());
    await turns();
    expect(await kept.jobs()).toEqual([]);
    expect(log.messages("warn")).toEqual(["a job of before is not taken any more"]);
  });

  it("is not refused for what others wait for", async () => {
    const { artifacts, runner, store } = await open({ maxQueuedValidateNonces: 4 });
    runner.hold();
    const waited = artifacts.generate({ ...JOB, wait: true });
    await runner.started(0);
    const tooMany = await refusal(artifacts.generate({ ...JOB, wait: true }));
    expect(tooMany.code).toBe("TOO_MANY_QUEUED_NONCES");
    const { request_id } = await artifacts.generate(PUSHED);
    await turns();
    runner.release();
    await waited;
    await vi.waitUntil(() => store.verdicts.length > 0);
    expect(store.verdicts).toMatchObject([{ batch: { request_id } }]);
  });

  it("whose end cannot be stored is delivered once the store works again", async () => {
    class FullStore extends MemoryRoundStore {
      isFull = true;
      override async endJob(...end: Parameters<MemoryRoundStore["endJob"]>) {
        if (this.isFull) throw new Error("the disk is full");
        await super.endJob(...end);
      }
    }
    const store = new FullStore();
    const { service, artifacts } = await open({ store });
    const { request_id } = await artifacts.generate(PUSHED);
    await vi.waitUntil(() => artifacts.job(request_id).status === "completed");
    expect(service.storeFault).toBe("the disk is full");
    expect(await store.jobs()).toHaveLength(1);
    store.isFull = false;
    await until(service, () => service.storeFault === null);
    await vi.waitUntil(async () => (await store.jobs()).length === 0);
    expect(store.verdicts).toMatchObject([
      { kind: "generated", callback_url: PUSHED.url, batch: { request_id } },
    ]);
  });

  it("is refused where it cannot be stored", async () => {
    const store = new MemoryRoundStore();
    store.keepJob = async () => {
      throw new Error("the disk is full");
    };
    const { artifacts } = await open({ store });
    expect((await refusal(artifacts.generate(PUSHED))).code).toBe("STORE_FAILED");
    await turns();
    expect(store.verdicts).toEqual([]);
  });
});

describe("refusals", () => {
  it("come in order: body, params, engine, the rest", async () => {
    const service = await openService({ modelNames: () => ["model", "m"] });
    onTestFinished(() => service.close());
    const { artifacts } = service;
    const mismatch = { ...ROUND, params: { model: "other", seq_len: 16 } };
    expect((await refusal(artifacts.initGenerate({ ...mismatch, node_id: "1" }))).status).toBe(422);
    expect(await refusal(artifacts.initGenerate(mismatch))).toMatchObject({
      status: 409,
      detail: {
        error: "params mismatch",
        requested: { model: "other", seq_len: 16, k_dim: 12 },
        deployed: { model: ["model", "m"], seq_len: null, k_dim: null },
      },
    });
    const unready = await refusal(artifacts.initGenerate(ROUND));
    expect(unready).toMatchObject({ status: 503, detail: "Engine not available" });
    expect((await refusal(artifacts.generate(JOB))).code).toBe("ENGINE_NOT_AVAILABLE");
  });

  it.each([
    ["params.decode", { params: { ...ROUND.params, decode: true } }, "extra_forbidden"],
    ["params.k_dim", { params: { ...ROUND.params, k_dim: 33 } }, "less_than_equal"],
    ["params.seq_len", { params: { ...ROUND.params, seq_len: 1025 } }, "less_than_equal"],
    ["params.model", { params: { seq_len: 16 } }, "missing"],
    ["node_count", { node_count: 0 }, "greater_than_equal"],
    ["group_id", { group_id: 2, n_groups: 2 }, "value_error"],
    ["batch_size", { batch_size: 0 }, "greater_than_equal"],
    ["url", { url: "ftp://x/" }, "url_scheme"],
  ])("422 for %s", async (path, change, type) => {
    const { artifacts } = await open();
    const { detail } = await refusal(artifacts.initGenerate({ ...ROUND, ...change }));
    expect(detail).toMatchObject([{ type, loc: ["body", ...path.split(".")] }]);
  });

  it("but no check of node_id against node_count, and unknown fields are dropped", async () => {
    const { artifacts } = await open();
    const body = { ...JOB, node_id: 3, node_count: 1, hello: { a: 1 }, wait: true };
    expect(await artifacts.generate(body)).toMatchObject({ status: "completed" });
  });

  it("nonces that the validation's are not", async () => {
    const { artifacts } = await open();
    const validation = { artifacts: [{ nonce: 5, vector_b64: "" }] };
    const refused = await refusal(artifacts.generate({ ...JOB, validation }));
    expect(refused).toMatchObject({
      status: 400,
      detail: "validation.artifacts nonces must match nonces field",
    });
  });
});

function pick({
  public_key,
  block_hash,
  block_height,
  node_id,
}: typeof ROUND): Omit<GeneratedArtifacts, "artifacts" | "encoding"> {
  return { public_key, block_hash, block_height, node_id };
}

function seedsOf({ output }: { output: { kind: string; pick_seeds?: Uint32Array } }): number[] {
  return [...(output.pick_seeds ?? [])];
}

async function due(store: MemoryRoundStore, count: number): Promise<void> {
  while (store.verdicts.length < count) await turns(1);
}
