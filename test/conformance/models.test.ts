/** Whole forward passes against golden ones (docs/protocol.md §1, steps 5 to 9). */
import {
  artifactOutput,
  encodeVector,
  inputSeed,
  type ModelRunner,
  type PrefillOutput,
  permutationSeed,
  targetSeed,
} from "@proofmill/core";
import { loadModel } from "@proofmill/native";
import { addon } from "@proofmill/native/binding";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { emulatedCuda } from "./cuda.ts";
import { type ExpectedCase, expected, goldenModel, MODELS } from "./golden.ts";

/** Greatest errors of a distance, and of logits and hidden states in shares of their norm. */
const BOUNDS = {
  float32: { distance: 2e-6, strong: 2e-6, share: 5e-6 },
  bfloat16: { distance: 5e-4, strong: 3e-3, share: 1e-2 },
};

/** Greatest L2 errors of an artifact before it is rounded. */
const VECTOR_BOUNDS = {
  float32: { plain: 2e-5, strong: 2e-5 },
  bfloat16: { plain: 2e-2, strong: 8e-2 },
};

const DEVICES = [
  ...addon.isas().map((isa) => ({ name: isa, options: { device: "cpu", isa, threads: 2 } })),
  ...emulatedCuda().map((options) => ({ name: "emulated CUDA", options })),
];

const LOADS = MODELS.flatMap((model) =>
  DEVICES.flatMap((device) => [
    { ...device, model, dtype: "float32" as const },
    { ...device, model, dtype: "bfloat16" as const },
  ]),
);

describe.each(LOADS)("$model in $dtype on $name", ({ name, model, options, dtype }) => {
  const { share, distance, strong } = BOUNDS[dtype];
  const tolerance = model.endsWith("-strong") ? strong : distance;
  const artifact = VECTOR_BOUNDS[dtype][model.endsWith("-strong") ? "strong" : "plain"];
  const { meta, cases } = expected(model);
  const batches = batchesOf(cases.filter((one) => one.input_dtype === dtype));
  /** An emulation takes its time. */
  const some = name === "emulated CUDA" ? batches.slice(0, 2) : batches;
  let runner: ModelRunner;

  beforeAll(async () => {
    runner = await loadModel({ directory: goldenModel(model), dtype, ...options });
  });
  afterAll(() => runner.close());

  test("distances", async () => {
    for (const batch of batches) {
      const { block_hash } = pairOf(batch);
      const distances = await run(batch, {
        kind: "distance",
        permutation_seeds: Uint32Array.from(batch, ({ pair, nonce }) =>
          permutationSeed(sourceOf(pair), nonce),
        ),
        target_seed: targetSeed(block_hash),
      });
      for (const [i, { A, nonce, seq_len }] of batch.entries()) {
        const error = Math.abs((distances[i] ?? Number.NaN) - A.distance);
        expect(error, `nonce ${nonce}, seq_len ${seq_len}`).toBeLessThanOrEqual(tolerance);
      }
    }
  });

  test("artifacts", async () => {
    let texts = 0;
    for (const batch of batches) {
      const { num_hidden_layers } = runner.info;
      const source = { ...pairOf(batch), k_dim: 12, num_hidden_layers };
      const nonces = batch.map(({ nonce }) => nonce);
      const values = await run(batch, artifactOutput(source, nonces));
      for (const [i, { B, nonce, seq_len }] of batch.entries()) {
        const vector = rowOf(values, i, batch.length);
        const errors = B.vector.cuda.map((x, j) => Math.abs(x - (vector[j] ?? Number.NaN)));
        const label = `nonce ${nonce}, seq_len ${seq_len}`;
        expect(Math.hypot(...errors), label).toBeLessThanOrEqual(artifact);
        if (Math.max(...errors) >= B.fp16_margin_abs.cuda) continue;
        texts++;
        expect(encodeVector(vector), label).toBe(B.b64.cuda);
      }
    }
    if (dtype === "float32") expect(texts).toBeGreaterThan(0);
  });

  test("logits", async () => {
    for (const batch of some) {
      const values = await run(batch, { kind: "logits" });
      for (const [i, { A }] of batch.entries()) {
        const logits = rowOf(values, i, batch.length);
        expect(logits).toHaveLength(runner.info.vocab_size);
        const norm = Math.hypot(...logits);
        expect(Math.abs(norm / A.logits_norm - 1)).toBeLessThanOrEqual(share);
        // The greatest one, but for noise: two may be closer to each other than that.
        const lead = Math.max(...logits) - (logits[A.logits_argmax] ?? Number.NaN);
        expect(lead / A.logits_norm).toBeLessThanOrEqual(share);
        for (const [j, expected] of A.logits_first8.entries()) {
          const error = Math.abs((logits[j] ?? Number.NaN) - expected);
          expect(error / A.logits_norm).toBeLessThanOrEqual(share);
        }
      }
    }
  });

  test("last hidden states", async () => {
    for (const batch of some) {
      const values = await run(batch, { kind: "hidden" });
      for (const [i, { A }] of batch.entries()) {
        const hidden = rowOf(values, i, batch.length);
        expect(hidden).toHaveLength(runner.info.hidden_size);
        const norm = Math.hypot(...hidden);
        for (const [j, expected] of A.last_hidden_first8.entries()) {
          const error = Math.abs((hidden[j] ?? Number.NaN) - expected);
          expect(error / norm).toBeLessThanOrEqual(share);
        }
      }
    }
  });

  function sourceOf(pair: number) {
    const source = meta.pairs[pair];
    if (!source) throw new Error(`no pair ${pair}`);
    return source;
  }

  function pairOf(batch: ExpectedCase[]) {
    return sourceOf(batch[0]?.pair ?? -1);
  }

  async function run(batch: ExpectedCase[], output: PrefillOutput): Promise<Float32Array> {
    const { completed, values } = await runner.run({
      id: 0,
      seq_len: batch[0]?.seq_len ?? 0,
      input_seeds: Uint32Array.from(batch, ({ pair, nonce }) => inputSeed(sourceOf(pair), nonce)),
      output,
    });
    expect(completed).toBe(batch.length);
    return values;
  }
});

/** Cases that can share a job: of one pair and one seq_len. */
function batchesOf(cases: ExpectedCase[]): ExpectedCase[][] {
  const batches = new Map<string, ExpectedCase[]>();
  for (const one of cases) {
    const key = `${one.pair} ${one.seq_len}`;
    batches.set(key, [...(batches.get(key) ?? []), one]);
  }
  if (batches.size === 0) throw new Error("no cases");
  return [...batches.values()];
}

function rowOf(values: Float32Array, row: number, rows: number): Float32Array {
  const width = values.length / rows;
  return values.subarray(row * width, (row + 1) * width);
}
