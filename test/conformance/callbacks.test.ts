/** What a whole node sends by callback is part B's formula, computed apart from it in float64. */
import { cpSync } from "node:fs";
import { join } from "node:path";
import { decodeVector, encodeVector } from "@proofmill/core";
import { Float64Artifacts } from "@proofmill/native/float64-artifact";
import { expect, test } from "vitest";
import { startServer, temporaryFolder } from "../helpers.ts";
import { startReceiver } from "../mlnode/receiver.ts";
import { expected, goldenModel } from "./golden.ts";

const COUNT = 64;
const K_DIM = 12;
/** Beside the error before it is rounded: half a unit of twelve half-precision numbers up to 1. */
const ROUNDING = Math.sqrt(K_DIM) * 2 ** -12;

/** Greatest L2 errors before the rounding to half precision. */
const LOADS = [
  { model: "qwen3-tiny", dtype: "float32", seq_len: 16, isStronger: false, allowed: 2e-5 },
  { model: "llama-tiny-strong", dtype: "float32", seq_len: 64, isStronger: true, allowed: 2e-5 },
  { model: "qwen2-tiny", dtype: "bfloat16", seq_len: 16, isStronger: true, allowed: 2e-2 },
  { model: "qwen3-tiny-strong", dtype: "bfloat16", seq_len: 64, isStronger: false, allowed: 8e-2 },
] as const;

test.each(LOADS)("$model in $dtype, $seq_len", async (load) => {
  const { model, dtype, seq_len, isStronger, allowed } = load;
  const folder = join(temporaryFolder(), model);
  cpSync(goldenModel(model), folder, { recursive: true });
  const node = await startServer({
    args: [folder, "--enable-poc", "--dtype", dtype, "--callback-interval", "20ms"],
  });
  const receiver = await startReceiver();
  const [source] = expected(model).meta.pairs;
  if (!source) throw new Error("no strings");
  const { block_hash, public_key } = source;
  const name = encodeURIComponent(encodeURIComponent(model));
  const begun = await node.post("/api/v1/inference/pow/init/generate", {
    ...{ block_hash, public_key, block_height: 5, node_id: 1, node_count: 3 },
    ...{ params: { model, seq_len }, url: `${receiver.url}/v2/poc-batches/${name}` },
    ...(isStronger && { poc_stronger_rng: true }),
  });
  expect(begun.status).toBe(200);
  await receiver.until(0, () => receiver.nonces.size >= COUNT);
  expect((await node.post("/api/v1/inference/pow/stop")).status).toBe(200);
  await node.stop();

  const float64 = await Float64Artifacts.load(folder);
  const artifacts = receiver.received.flatMap(({ body }) => body.artifacts ?? []).slice(0, COUNT);
  expect(artifacts.map(({ nonce }) => nonce)).toEqual(
    Array.from({ length: COUNT }, (_, i) => 1 + 3 * i),
  );
  // In float32 no number is farther off than this: else the texts are equal, byte for byte.
  const near = dtype === "float32" ? 2e-6 : allowed;
  let same = 0;
  for (const { nonce, vector_b64 } of artifacts) {
    const of = { block_hash, public_key, nonce, seq_len, k_dim: K_DIM, dtype };
    const vector = float64.of({ ...of, poc_stronger_rng: isStronger });
    const received = decodeVector(vector_b64, K_DIM);
    const errors = vector.map((x, i) => Math.abs(x - (received?.[i] ?? Number.NaN)));
    expect(Math.hypot(...errors), `nonce ${nonce}`).toBeLessThan(allowed + ROUNDING);
    const text = encodeVector(Float32Array.from(vector));
    if (text === vector_b64) same++;
    else expect(margin(vector), `nonce ${nonce}`).toBeLessThan(near);
  }
  if (dtype === "float32") expect(same).toBeGreaterThan(COUNT / 2);
});

/** How far a number of it is at least from where it is rounded to another half-precision number. */
function margin(vector: Float64Array): number {
  const margins = [...vector].map((x) => {
    const exponent = Math.max(Math.floor(Math.log2(Math.abs(x))), -14);
    const units = Math.abs(x) / 2 ** (exponent - 10);
    return Math.abs(units - Math.floor(units) - 0.5) * 2 ** (exponent - 10);
  });
  return Math.min(...margins);
}
