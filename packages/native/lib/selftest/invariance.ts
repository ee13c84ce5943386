/** A nonce's bits must not depend on its batch or its place in it (docs/protocol.md §1). */
import type { ModelRunner, PrefillOutput } from "@proofmill/core";
import type { Precision } from "../model/precision.ts";
import type { Check } from "./check.ts";

const MODEL = "qwen3-tiny-strong";
const LENGTHS = [1, 17, 64, 200];
const NONCES = Uint32Array.from({ length: 40 }, (_, i) => Math.imul(i + 1, 0x9e3779b9) >>> 0);

export function invarianceCheck(dtype: Precision): Check {
  return {
    name: `batch invariance, ${dtype}`,
    run: async (device) => {
      const runner = await device.loadGolden(MODEL, dtype);
      try {
        const wrong: string[] = [];
        let compared = 0;
        for (const seqLen of LENGTHS) {
          const together = await bits(runner, NONCES, seqLen);
          const compare = async (how: string, order: number[]) => {
            const seeds = Uint32Array.from(order, (at) => NONCES[at] ?? 0);
            const values = await bits(runner, seeds, seqLen);
            compared += order.length;
            if (order.some((at, i) => values[i] !== together[at]))
              wrong.push(`${how} at ${seqLen}`);
          };
          const all = [...NONCES.keys()];
          await compare("again", all);
          await compare("backwards", all.toReversed());
          for (const at of [0, 7, 39]) await compare("alone", [at]);
          for (const n of [2, 3, 5, 13]) await compare(`${n} at once`, all.slice(n, 2 * n));
        }
        const complaint = wrong.length > 0 ? `; not the same ${wrong.join(", ")}` : "";
        return {
          ok: wrong.length === 0,
          detail: `${compared} nonces in other batches at seq_len ${LENGTHS.join(", ")}${complaint}`,
        };
      } finally {
        await runner.close();
      }
    },
  };
}

/** For each nonce the bits of its distance and of its artifact, as text. */
async function bits(runner: ModelRunner, seeds: Uint32Array, seq_len: number): Promise<string[]> {
  const k_dim = 5;
  const outputs: PrefillOutput[] = [
    { kind: "distance", permutation_seeds: seeds, target_seed: 1 },
    {
      kind: "artifact",
      k_dim,
      layer_seeds: Uint32Array.from({ length: runner.info.num_hidden_layers }, (_, i) => i),
      pick_seeds: seeds,
      rotation_seeds: Uint32Array.from(
        [...seeds].flatMap((seed) => [1, 2, 3, 4].map((j) => seed ^ j)),
      ),
    },
  ];
  const rows: number[][] = Array.from(seeds, () => []);
  for (const output of outputs) {
    const { values } = await runner.run({ id: 0, seq_len, input_seeds: seeds, output });
    const width = values.length / seeds.length;
    new Uint32Array(values.buffer, values.byteOffset, values.length).forEach((bits, i) => {
      rows[Math.floor(i / width)]?.push(bits);
    });
  }
  return rows.map((row) => row.join());
}
