/** Whole forward passes against numbers of the reference implementation. */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { inputSeed, type ModelRunner, permutationSeed, targetSeed } from "@proofmill/core";
import type { Precision } from "../model/precision.ts";
import { brief, type Check, type Device } from "./check.ts";

/** The same path from lib/ and dist/, in the repository and in a bundle. */
const GOLDEN = fileURLToPath(new URL("../../lib/selftest/golden", import.meta.url));

/**
 * Greatest errors of a distance; of logits' norm in shares of it. Models with strong weights apart.
 * test/golden/README.md allows 6e-3 for them in bfloat16: the CPU shows 2.2e-3, and a GPU rounds more.
 */
const ALLOWED = {
  cpu: {
    float32: { distance: 2e-6, strong: 2e-6, norm: 5e-6 },
    bfloat16: { distance: 5e-4, strong: 3e-3, norm: 1e-2 },
  },
  cuda: {
    float32: { distance: 2e-5, strong: 2e-5, norm: 5e-5 },
    bfloat16: { distance: 5e-4, strong: 6e-3, norm: 1e-2 },
  },
};

interface Case {
  pair: number;
  nonce: number;
  seq_len: number;
  input_dtype: Precision;
  A: { logits_norm: number; distance: number };
  /** Its vector and text, and how far a number of it is at least from where it rounds otherwise. */
  B: { vector: { cuda: number[] }; b64: { cuda: string }; fp16_margin_abs: { cuda: number } };
}

interface Expected {
  meta: { pairs: { block_hash: string; public_key: string }[] };
  cases: Case[];
}

/** A case with what its seeds are made from. */
export interface GoldenCase extends Case {
  label: string;
  source: { block_hash: string; public_key: string };
}

export function goldenDirectory(model: string): string {
  return `${GOLDEN}/${model}`;
}

/** All golden models. */
export function goldenModels(): string[] {
  if (!existsSync(GOLDEN)) throw new Error(`${GOLDEN} is not there: it holds the golden models`);
  return readdirSync(GOLDEN).sort();
}

export function goldenCases(model: string, dtype: Precision): GoldenCase[] {
  const { meta, cases }: Expected = JSON.parse(
    readFileSync(`${goldenDirectory(model)}/expected.json`, "utf8"),
  );
  return cases
    .filter((one) => one.input_dtype === dtype)
    .map((one) => {
      const source = meta.pairs[one.pair];
      if (!source) throw new Error(`${model}: no pair ${one.pair}`);
      return { ...one, source, label: `${model}, nonce ${one.nonce}, seq_len ${one.seq_len}` };
    });
}

export function goldenCheck(dtype: Precision): Check {
  return { name: `golden models, ${dtype}`, run: (device) => checkAll(device, dtype) };
}

async function checkAll(device: Device, dtype: Precision) {
  const allowed = ALLOWED[device.kind][dtype];
  const models = goldenModels();
  const worst = { distance: 0, strong: 0, norm: 0 };
  let cases = 0;
  const failures: string[] = [];
  for (const model of models) {
    const kind = model.endsWith("-strong") ? "strong" : "distance";
    const runner = await device.loadGolden(model, dtype);
    try {
      for (const { label, distance, norm } of await errorsOf(runner, model, dtype)) {
        cases++;
        worst[kind] = Math.max(worst[kind], distance);
        worst.norm = Math.max(worst.norm, norm);
        // Written so that NaN fails.
        if (!(distance <= allowed[kind] && norm <= allowed.norm)) failures.push(label);
      }
    } finally {
      await runner.close();
    }
  }
  const figures =
    `${cases} nonces of ${models.length} models: distances within ${brief(worst.distance)}, strong ones ` +
    `${brief(worst.strong)}, logits' norm ${brief(worst.norm)} ` +
    `(allowed ${brief(allowed.distance)}, ${brief(allowed.strong)}, ${brief(allowed.norm)})`;
  const first = failures.length > 0 ? `; ${failures.length} are off, first ${failures[0]}` : "";
  return { ok: failures.length === 0 && cases > 0, detail: figures + first };
}

async function errorsOf(runner: ModelRunner, model: string, dtype: Precision) {
  const errors: { label: string; distance: number; norm: number }[] = [];
  for (const { label, source, nonce, seq_len, A } of goldenCases(model, dtype)) {
    const job = { id: 0, seq_len, input_seeds: Uint32Array.of(inputSeed(source, nonce)) };
    const permutation_seeds = Uint32Array.of(permutationSeed(source, nonce));
    const target_seed = targetSeed(source.block_hash);
    const output = { kind: "distance", permutation_seeds, target_seed } as const;
    const [distance = Number.NaN] = (await runner.run({ ...job, output })).values;
    const logits = (await runner.run({ ...job, output: { kind: "logits" } })).values;
    errors.push({
      label,
      distance: Math.abs(distance - A.distance),
      norm: Math.abs(Math.hypot(...logits) / A.logits_norm - 1),
    });
  }
  return errors;
}
