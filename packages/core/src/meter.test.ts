/** What a service tells whoever measures it. */
import { expect, test } from "vitest";
import type { Meter, SearchedNonces } from "./round/meter.ts";
import type { EndedJob } from "./runner/dispatcher.ts";
import { createFakeRunner } from "./runner/fake.ts";
import { BODY, distanceOf, FaultyStore, openService, until } from "./test-support.ts";
import type { ValidatedBatch } from "./wire/schemas.ts";

/** Remembers what it is told. */
class Notebook implements Meter {
  readonly jobs: EndedJob[] = [];
  readonly steps: SearchedNonces[] = [];
  readonly verdicts: { verdict: ValidatedBatch; seconds: number }[] = [];
  jobEnded = (job: EndedJob) => void this.jobs.push(job);
  artifactJob = () => {};
  searched = (step: SearchedNonces) => void this.steps.push(step);
  judged = (verdict: ValidatedBatch, seconds: number) =>
    void this.verdicts.push({ verdict, seconds });

  sum(key: keyof SearchedNonces): number {
    return this.steps.reduce((sum, step) => sum + step[key], 0);
  }
}

test("nonces are told once, when they count, over rounds and stores that fail", async () => {
  const meter = new Notebook();
  const store = new FaultyStore();
  const service = await openService({ meter, store });
  service.attach(
    createFakeRunner({ distance: ({ input_seed }) => (input_seed % 10 === 0 ? Number.NaN : 0.5) }),
  );
  let total = 0;
  for (const block_hash of ["one", "two"]) {
    store.failures = 1;
    store.takesAnyway = true; // the step is stored again: it must not be told twice
    await service.initGenerate({ ...BODY, block_hash });
    await until(service, () => service.status({ limit: 1 }).total_checked >= 100);
    const { pow_status } = await service.stop();
    total += pow_status.total_checked;
  }
  await service.close();
  expect(meter.sum("checked")).toBe(total);
  expect(meter.sum("valid") + meter.sum("nonfinite")).toBe(total);
  expect(meter.sum("nonfinite")).toBeGreaterThan(0);
  const computed = meter.jobs.map(({ outcome }) =>
    outcome.kind === "done" ? outcome.completed : 0,
  );
  expect(computed.reduce((sum, count) => sum + count, 0)).toBeGreaterThanOrEqual(total);
});

test("jobs are told with what they were for, how they ended and for how long", async () => {
  const meter = new Notebook();
  const service = await openService({ meter });
  const runner = createFakeRunner();
  const detach = service.attach(runner);
  await service.initValidate(BODY);
  const nonces = [1, 2, 3];
  const dist = nonces.map((nonce) => distanceOf(nonce, BODY.public_key));
  await service.validate({ ...BODY, nonces, dist: dist.with(1, 5) });
  expect(meter.jobs).toMatchObject([
    { work: "proofs", seq_len: 256, runner: runner.info, outcome: { kind: "done", completed: 3 } },
  ]);
  expect(meter.verdicts).toMatchObject([{ verdict: { nonces, n_invalid: 1 } }]);
  expect(meter.verdicts[0]?.seconds).toBeGreaterThan(0);
  await service.initGenerate(BODY);
  detach(new Error("it is gone"));
  expect(meter.jobs.at(-1)).toMatchObject({ work: "search", outcome: { kind: "lost" } });
  await service.close();
});
