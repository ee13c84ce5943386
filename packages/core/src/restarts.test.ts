import { describe, expect, it } from "vitest";
import { createFakeRunner, type FakeRunnerOptions } from "./runner/fake.ts";
import {
  BODY,
  distanceOf,
  pass,
  passing,
  refusal,
  servicesOnFakeTimers,
  turns,
  until,
} from "./test-support.ts";

const openService = servicesOnFakeTimers();

/** A service with a place whose runner's jobs wait until they are released. */
async function start(options: FakeRunnerOptions = {}) {
  const service = await openService();
  const place = service.openPlace();
  const runner = createFakeRunner(options);
  runner.hold();
  place.attach(runner);
  return { service, place, runner };
}

const gone = new Error("killed");
const upTo = (count: number) => Array.from({ length: count }, (_, i) => i);
const proofOf = (nonces: number[]) => {
  const { block_hash, block_height } = BODY;
  const dist = nonces.map(() => 0.5);
  return { block_hash, block_height, public_key: "prover", nonces, dist, node_id: 0 };
};

describe("a runner whose place is not given up", () => {
  it("leaves its round GENERATING, and the next one goes on at the right nonce", async () => {
    const { service, place, runner } = await start();
    await service.initGenerate(BODY);
    await runner.started(1);
    runner.release(0);
    await until(service, () => service.status().total_checked > 0);
    runner.lose();
    await until(service, () => !service.ready);
    expect(service.status()).toMatchObject({ state: "GENERATING", is_model_initialized: false });
    expect(() => service.assertRunner()).toThrow("Model is loading");
    place.attach(createFakeRunner());
    await until(service, () => service.status().total_checked > 40);
    const { valid_nonces, total_checked } = service.status();
    expect(valid_nonces).toEqual(upTo(total_checked));
  });

  it("has commands carried out meanwhile", async () => {
    const { service, place, runner } = await start();
    runner.lose();
    await service.init(BODY); // shows to nobody that it is gone yet
    await service.initGenerate(BODY);
    await until(service, () => !service.ready);
    expect((await service.stop()).pow_status.state).toBe("STOPPED");
    expect((await service.phaseValidate()).pow_status.state).toBe("VALIDATING");
    expect((await service.phaseGenerate()).pow_status.state).toBe("GENERATING");
    expect(await refusal(service.init({ ...BODY, seq_len: 1025 }))).toMatchObject({ status: 422 });
    place.attach(createFakeRunner());
    await until(service, () => service.status().total_checked > 0);
  });

  it("has proofs wait for the next one, those at work and those that come", async () => {
    const { service, place, runner } = await start();
    await service.initValidate(BODY);
    const atWork = service.validate(proofOf([1]));
    await runner.started(0);
    runner.lose();
    await until(service, () => !service.ready);
    const later = service.validate(proofOf([2]));
    await pass(29_000);
    place.attach(createFakeRunner());
    const answers = await passing(Promise.all([atWork, later]));
    expect(answers.map(({ distances }) => distances)).toEqual([
      [distanceOf(1, "prover")],
      [distanceOf(2, "prover")],
    ]);
  });

  it("has proofs wait for 30 seconds at most", async () => {
    const { service, runner } = await start();
    await service.initValidate(BODY);
    const proof = refusal(service.validate(proofOf([1])));
    await runner.started(0);
    runner.lose();
    let isRefused = false;
    void proof.then(() => {
      isRefused = true;
    });
    await until(service, () => !service.ready);
    await pass(29_900);
    expect(isRefused).toBe(false);
    await pass(200);
    expect(await proof).toMatchObject({ code: "MODEL_LOADING", status: 503, retryAfter: 2 });
    expect(service.state).toBe("VALIDATING");
  });

  it("has proofs refused at once when the node closes", async () => {
    const { service, runner } = await start();
    await service.initValidate(BODY);
    const waiting = refusal(service.validate(proofOf([1])));
    await runner.started(0);
    runner.lose();
    await until(service, () => !service.ready);
    await service.close(); // no time passes
    expect(await waiting).toMatchObject({ code: "SHUTTING_DOWN" });
  });

  it("stops the round and refuses proofs once it is given up", async () => {
    const { service, place, runner } = await start();
    await service.initGenerate(BODY);
    await runner.started(0);
    const proof = refusal(service.validate(proofOf([1])));
    runner.lose();
    await until(service, () => !service.ready);
    place.giveUp(gone);
    expect(await proof).toMatchObject({ code: "RUNNER_LOST", cause: gone });
    expect(service.state).toBe("STOPPED");
    expect(() => service.assertRunner()).toThrow("Runner is not available: killed");
    expect(await refusal(service.phaseGenerate())).toMatchObject({ code: "RUNNER_LOST" });
  });

  it("stops the round when the next one does not compute its length", async () => {
    const { service, place, runner } = await start();
    await service.initGenerate({ ...BODY, seq_len: 1000 });
    await runner.started(0);
    const proof = refusal(service.validate(proofOf([1])));
    runner.lose();
    await until(service, () => !service.ready);
    place.attach(createFakeRunner({ info: { max_seq_len: 512 } }));
    expect(service.state).toBe("STOPPED");
    expect(await proof).toMatchObject({ code: "RUNNER_LOST" });
    await turns();
    expect(await refusal(service.phaseGenerate())).toMatchObject({ code: "ROUND_TOO_LONG" });
  });
});
