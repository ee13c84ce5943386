/** Whether a loaded model computes at all, and the same each time, before it counts. */
import type { ModelRunner } from "@proofmill/core";

const TOKENS = 16;
const SEEDS = Uint32Array.of(1, 2);

/**
 * Computes two short nonces again and again, as often as a device may compute them differently: a GPU
 * runs the first pass of a shape as it comes, records the second and replays the third.
 *
 * @returns their distances as a text, equal on all devices of one arithmetic. Some may be NaN
 * @throws Error where one time differs from the first
 */
export async function warmUp(runner: ModelRunner): Promise<string> {
  const times = runner.info.arithmetic.startsWith("cuda-") ? 3 : 2;
  const first = await distances(runner, 0);
  for (let id = 1; id < times; id++) {
    const next = await distances(runner, id);
    if (next === first) continue;
    throw new Error(
      `${runner.info.device} does not compute reliably and is refused: in its warm-up two nonces ` +
        `had the distances ${first}, and then ${next}`,
    );
  }
  return first;
}

async function distances(runner: ModelRunner, id: number): Promise<string> {
  const { values } = await runner.run({
    id,
    seq_len: Math.min(TOKENS, runner.info.max_seq_len),
    input_seeds: SEEDS,
    output: { kind: "distance", permutation_seeds: SEEDS, target_seed: 3 },
  });
  return values.join(" and ");
}
