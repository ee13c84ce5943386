/** Artifacts of the golden models against those of the reference implementation. */
import { artifactInputs, artifactOutput, encodeVector, type ModelRunner } from "@proofmill/core";
import type { Precision } from "../model/precision.ts";
import { brief, type Check, type Device } from "./check.ts";
import { type GoldenCase, goldenCases, goldenModels } from "./golden.ts";

/**
 * Greatest L2 errors of a vector before it is rounded; models with strong weights apart. A GPU's
 * sums have another order than a CPU's, which float32 shows.
 */
const ALLOWED = {
  cpu: { float32: { plain: 2e-5, strong: 2e-5 }, bfloat16: { plain: 2e-2, strong: 8e-2 } },
  cuda: { float32: { plain: 2e-4, strong: 2e-4 }, bfloat16: { plain: 2e-2, strong: 8e-2 } },
};
const K_DIM = 12;

export function artifactCheck(dtype: Precision): Check {
  return { name: `golden artifacts, ${dtype}`, run: (device) => checkAll(device, dtype) };
}

async function checkAll(device: Device, dtype: Precision) {
  const allowed = ALLOWED[device.kind][dtype];
  const worst = { plain: 0, strong: 0 };
  const failures: string[] = [];
  let vectors = 0;
  let texts = 0;
  const models = goldenModels();
  for (const model of models) {
    const kind = model.endsWith("-strong") ? "strong" : "plain";
    const runner = await device.loadGolden(model, dtype);
    try {
      for (const one of goldenCases(model, dtype)) {
        const vector = await artifact(runner, one);
        const { vector: expected, b64, fp16_margin_abs } = one.B;
        const errors = expected.cuda.map((x, i) => Math.abs(x - (vector[i] ?? Number.NaN)));
        const error = Math.hypot(...errors);
        worst[kind] = Math.max(worst[kind], error);
        vectors++;
        // Where nothing is near enough to round otherwise the texts are equal, byte for byte.
        const isSure = Math.max(...errors) < fp16_margin_abs.cuda;
        if (isSure) texts++;
        const isSame = !isSure || encodeVector(vector) === b64.cuda;
        // Written so that NaN fails.
        if (!(error <= allowed[kind] && isSame)) failures.push(one.label);
      }
    } finally {
      await runner.close();
    }
  }
  const figures =
    `${vectors} vectors of ${models.length} models: within ${brief(worst.plain)}, strong ones ` +
    `${brief(worst.strong)} (allowed ${brief(allowed.plain)}, ${brief(allowed.strong)}); ` +
    (texts > 0 ? `${texts} were compared as text too` : "as text none is near enough to compare");
  const first = failures.length > 0 ? `; ${failures.length} are off, first ${failures[0]}` : "";
  return { ok: failures.length === 0 && vectors > 0, detail: figures + first };
}

async function artifact(runner: ModelRunner, { source, nonce, seq_len }: GoldenCase) {
  const { num_hidden_layers } = runner.info;
  const output = artifactOutput({ ...source, k_dim: K_DIM, num_hidden_layers }, [nonce]);
  const job = { id: 0, seq_len, ...artifactInputs(source, [nonce], false), output };
  return (await runner.run(job)).values;
}
