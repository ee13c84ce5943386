/**
 * Deterministic and batch-invariant (docs/protocol.md §1): the same bits whatever a nonce's batch,
 * place, micro-batch and number of threads, and whatever was cut before.
 */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setImmediate as nextTurn } from "node:timers/promises";
import {
  artifactInputs,
  artifactOutput,
  type ModelRunner,
  type PrefillJob,
  type PrefillResult,
} from "@proofmill/core";
import { loadModel, type NativeRunner } from "@proofmill/native";
import { writeRandomModel } from "@proofmill/native/model/random-model";
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { bitsOf, goldenModel } from "./golden.ts";

const THREADS = [1, 2, 3];
const SEQ_LENS = [1, 2, 3, 5, 16, 17, 33, 100, 257];
/** At the short lengths all of them share one matrix product, at the long ones some do. */
const NONCES = Uint32Array.from({ length: 7 }, (_, i) => (i * 0x9e3779b9) >>> 0);

const LOADS = [
  { model: "qwen3-tiny-strong", dtype: "bfloat16" },
  { model: "llama-tiny-strong", dtype: "float32" },
  { model: "qwen2-tiny-strong", dtype: "bfloat16" },
] as const;

describe.each(LOADS)("$model in $dtype", ({ model, dtype }) => {
  const runners: ModelRunner[] = [];
  /** Bits of each of NONCES alone, by seq_len: what every other way must give. */
  const alone = new Map<number, number[]>();

  beforeAll(async () => {
    const directory = goldenModel(model);
    for (const threads of THREADS) runners.push(await loadModel({ directory, dtype, threads }));
    for (const seq_len of SEQ_LENS) {
      const bits: number[] = [];
      for (const seed of NONCES) bits.push(...(await distances(first(runners), [seed], seq_len)));
      alone.set(seq_len, bits);
    }
  });
  afterAll(() => Promise.all(runners.map((runner) => runner.close())));

  test("nonces and lengths differ, so that the tests below can fail", () => {
    const all = [...alone.values()].flat();
    expect(new Set(all).size).toBe(NONCES.length * SEQ_LENS.length);
  });

  test("the tag does not name the number of threads", () => {
    expect(new Set(runners.map(({ info }) => info.arithmetic)).size).toBe(1);
  });

  test.each(SEQ_LENS)("every batch size, forward and backward, at seq_len %i", async (seq_len) => {
    const expected = alone.get(seq_len) ?? [];
    for (const runner of runners) {
      for (let batch = 1; batch <= NONCES.length; batch++) {
        const seeds = [...NONCES.subarray(0, batch)];
        expect(await distances(runner, seeds, seq_len)).toEqual(expected.slice(0, batch));
        expect(await distances(runner, seeds.toReversed(), seq_len)).toEqual(
          expected.slice(0, batch).toReversed(),
        );
      }
    }
  });

  test("any batch of any nonces, repeated ones too", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.constantFrom(...SEQ_LENS),
        fc.constantFrom(...THREADS.keys()),
        fc.array(fc.nat(NONCES.length - 1), { minLength: 1, maxLength: 20 }),
        async (seq_len, thread, places) => {
          const seeds = places.map((place) => NONCES[place] ?? 0);
          const expected = places.map((place) => alone.get(seq_len)?.[place]);
          expect(await distances(runners[thread] ?? first(runners), seeds, seq_len)).toEqual(
            expected,
          );
        },
      ),
      { numRuns: 60 },
    );
  });

  test("logits and hidden states too", async () => {
    for (const kind of ["logits", "hidden"] as const) {
      const [reference, ...others] = await Promise.all(
        runners.map((runner) =>
          runner.run({ id: 1, seq_len: 33, input_seeds: NONCES, output: { kind } }),
        ),
      );
      const rows = bitsOf(reference?.values ?? new Float32Array());
      for (const other of others) expect(bitsOf(other.values)).toEqual(rows);
      const last = await first(runners).run({
        id: 2,
        seq_len: 33,
        input_seeds: NONCES.subarray(6),
        output: { kind },
      });
      expect(bitsOf(last.values)).toEqual(rows.slice(-last.values.length));
    }
  });
});

describe("a job that is cut", () => {
  const SEQ_LEN = 256;
  let directory: string;
  const progress = new Int32Array(1);
  let runner: NativeRunner;

  // Large enough that a pass has many parts, between which a cut may come.
  beforeAll(async () => {
    directory = await mkdtemp(join(tmpdir(), "proofmill-"));
    await writeRandomModel({
      directory,
      seed: 1,
      config: {
        architectures: ["Qwen3ForCausalLM"],
        hidden_size: 512,
        num_hidden_layers: 8,
        num_attention_heads: 8,
        num_key_value_heads: 4,
        head_dim: 64,
        intermediate_size: 1536,
        vocab_size: 1000,
        max_position_embeddings: 4096,
        rms_norm_eps: 1e-6,
        tie_word_embeddings: true,
      },
    });
    runner = await loadModel({ directory, progress, threads: 2 });
  });
  afterAll(async () => {
    await runner.close();
    await rm(directory, { recursive: true, force: true });
  });

  test("keeps whole passes of several nonces; the rest, run later, has the same bits", async () => {
    const shared = Math.floor(runner.info.preferred_tokens / SEQ_LEN);
    expect(shared).toBeGreaterThan(1);
    const batch = 3 * shared;
    const seeds = Uint32Array.from({ length: batch }, (_, i) => i);
    const all = await cutAfter(Number.POSITIVE_INFINITY, job(1, seeds));
    const whole = bitsOf(all.result.values);
    expect(whole).toHaveLength(batch);

    // In the second of three passes or the third. Of a busy machine's parts fewer are seen.
    let cut: PrefillResult = { completed: 0, values: new Float32Array() };
    for (let parts = all.parts / 2; cut.completed === 0 || cut.completed === batch; ) {
      cut = (await cutAfter(parts, job(2, seeds))).result;
      parts *= cut.completed === 0 ? 1.3 : 0.7;
    }
    expect(cut.completed % shared).toBe(0);
    expect(bitsOf(cut.values)).toEqual(whole.slice(0, cut.completed));

    const rest = await runner.run(job(3, seeds.subarray(cut.completed)));
    expect(bitsOf(rest.values)).toEqual(whole.slice(cut.completed));
  });

  test("gives all nonces back when the first pass is cut", async () => {
    const seeds = Uint32Array.from(
      { length: Math.floor(runner.info.preferred_tokens / SEQ_LEN) },
      (_, i) => i,
    );
    const { result } = await cutAfter(1, job(4, seeds));
    expect(result).toEqual({ completed: 0, values: new Float32Array() });
  });

  test("in the middle of a long sequence's layer gives it up there", async () => {
    const seeds = Uint32Array.of(1);
    const long = { ...job(11, seeds), seq_len: 4096 };
    const begun = performance.now();
    const whole = bitsOf((await runner.run(long)).values);
    const took = performance.now() - begun;

    const { result, ms } = await cutAfter(1, { ...long, id: 12 });
    expect(result.completed).toBe(0);
    // Of eight layers none was finished.
    expect(ms).toBeLessThan(took / 24);
    expect(bitsOf((await runner.run({ ...long, id: 13 })).values)).toEqual(whole);
  });

  test("shows that it gets on, many times in each layer of a long sequence", async () => {
    let shown = 0;
    const look = () => Atomics.exchange(progress, 0, 0);
    const watch = setInterval(() => {
      shown += look();
    }, 1);
    await runner.run({ ...job(14, Uint32Array.of(1)), seq_len: 4096 });
    clearInterval(watch);
    expect(shown).toBeGreaterThan(5 * runner.info.num_hidden_layers);
    look();
    expect(look()).toBe(0);
  });

  test("while it waits comes back empty, and jobs around it are not touched", async () => {
    const seeds = Uint32Array.of(1, 2, 3);
    const before = runner.run(job(5, seeds));
    const waiting = runner.run(job(6, seeds));
    const after = runner.run(job(7, seeds));
    runner.cancel(6);
    runner.cancel(999); // unknown
    expect((await waiting).completed).toBe(0);
    expect((await before).completed).toBe(3);
    expect(bitsOf((await after).values)).toEqual(bitsOf((await before).values));
  });

  test("by close resolves, and later jobs are refused", async () => {
    const closing = await loadModel({ directory, progress, threads: 1 });
    Atomics.store(progress, 0, 0);
    const seeds = Uint32Array.from({ length: 64 }, (_, i) => i);
    const cut = closing.run(job(8, seeds));
    const queued = closing.run(job(9, seeds));
    while (progress[0] === 0) await nextTurn();
    await Promise.all([closing.close(), closing.close()]);
    expect((await cut).completed).toBeLessThan(64);
    expect((await queued).completed).toBe(0);
    await expect(closing.run(job(10, seeds))).rejects.toThrow("the model is closed");
    closing.cancel(8);
  });

  function job(id: number, input_seeds: Uint32Array): PrefillJob {
    return { id, seq_len: SEQ_LEN, input_seeds, output: distanceOutput(input_seeds) };
  }

  /**
   * Runs a job and cuts it once so many of its parts were seen to be done.
   *
   * @returns how many there were, and for how many milliseconds it ran on
   */
  async function cutAfter(
    most: number,
    job: PrefillJob,
  ): Promise<{ result: PrefillResult; parts: number; ms: number }> {
    let hasEnded = false;
    Atomics.store(progress, 0, 0);
    const running = runner.run(job).finally(() => {
      hasEnded = true;
    });
    let parts = 0;
    for (; parts < most && !hasEnded; parts += Atomics.exchange(progress, 0, 0)) await nextTurn();
    const since = performance.now();
    runner.cancel(job.id);
    return { result: await running, parts, ms: performance.now() - since };
  }
});

test("artifacts: any batch and number of threads, also by the stronger generator", async () => {
  const directory = goldenModel("qwen3-tiny-strong");
  for (const dtype of ["float32", "bfloat16"] as const) {
    const runners = [];
    for (const threads of THREADS) runners.push(await loadModel({ directory, dtype, threads }));
    for (const seq_len of [1, 17, 100]) {
      for (const isStronger of [false, true]) {
        const alone: number[] = [];
        for (const nonce of NONCES) {
          alone.push(...(await artifacts(first(runners), [nonce], { seq_len, isStronger })));
        }
        expect(new Set(alone).size).toBe(12 * NONCES.length);
        for (const runner of runners) {
          const nonces = [...NONCES].toReversed();
          const bits = await artifacts(runner, nonces, { seq_len, isStronger });
          const rows = nonces.map((_, i) => bits.slice(12 * i, 12 * (i + 1)));
          expect(rows.toReversed().flat()).toEqual(alone);
        }
      }
    }
    await Promise.all(runners.map((runner) => runner.close()));
  }
});

async function artifacts(
  runner: ModelRunner,
  nonces: number[],
  { seq_len, isStronger }: { seq_len: number; isStronger: boolean },
): Promise<number[]> {
  const block = { block_hash: "block", public_key: "key" };
  const { num_hidden_layers } = runner.info;
  const output = artifactOutput({ ...block, k_dim: 12, num_hidden_layers }, nonces);
  const inputs = artifactInputs(block, nonces, isStronger);
  return bitsOf((await runner.run({ id: 0, seq_len, ...inputs, output })).values);
}

async function distances(runner: ModelRunner, seeds: number[], seq_len: number): Promise<number[]> {
  const input_seeds = Uint32Array.from(seeds);
  const output = distanceOutput(input_seeds);
  const result = await runner.run({ id: 0, seq_len, input_seeds, output });
  expect(result.completed).toBe(seeds.length);
  return bitsOf(result.values);
}

/** Any permutation will do, as long as it follows the nonce. */
function distanceOutput(input_seeds: Uint32Array): PrefillJob["output"] {
  return {
    kind: "distance",
    permutation_seeds: input_seeds.map((seed) => seed ^ 0x55555555),
    target_seed: 42,
  };
}

function first<T>(items: T[]): T {
  const [item] = items;
  if (item === undefined) throw new Error("nothing there");
  return item;
}
