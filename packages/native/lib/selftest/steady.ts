/** A long search of the same nonces: the same bits all along, a steady rate, and no memory that grows. */
import type { Check, Search } from "./check.ts";

/** What may be added while it searches; the process has a heap, which rises and falls. */
const ALLOWED_MIB = { process: 64, device: 1 };
const SLICES = 6;

export function steadyCheck(seconds: number): Check {
  return {
    name: `steady search, ${seconds} s`,
    run: async (device) => {
      const search = await device.loadSearch();
      try {
        return await watch(search, seconds);
      } finally {
        await search.model.close();
      }
    },
  };
}

async function watch(search: Search, seconds: number) {
  const first = await distances(search);
  await distances(search); // what a shape needs is there from its second run on
  const before = memory(search);
  const rates: number[] = [];
  let jobs = 0;
  let differing = 0;
  for (let slice = 0; slice < SLICES; slice++) {
    const started = performance.now();
    let nonces = 0;
    do {
      const bits = await distances(search);
      if (bits.some((value, i) => value !== first[i])) differing++;
      nonces += bits.length;
      jobs++;
    } while (performance.now() - started < (1000 * seconds) / SLICES);
    rates.push((1000 * nonces) / (performance.now() - started));
  }
  const after = memory(search);
  const grown = { process: after.process - before.process, device: after.device - before.device };
  const isSteady = grown.process <= ALLOWED_MIB.process && grown.device <= ALLOWED_MIB.device;
  const { shape, seqLen, batch } = search;
  return {
    ok: differing === 0 && isSteady && jobs > 0,
    detail:
      `${shape}, seq_len ${seqLen}: ${jobs} jobs of ${batch}, ${differing} with other bits than the first; ` +
      `${rates.map((rate) => Number(rate.toPrecision(3))).join(", ")} nonces/s; memory in MiB: process ` +
      `${before.process} → ${after.process}${after.device > 0 ? `, GPU ${before.device} → ${after.device}` : ""}`,
  };
}

async function distances({ model, seqLen, batch }: Search): Promise<Uint32Array> {
  const seeds = Uint32Array.from({ length: batch }, (_, i) => i);
  const output = { kind: "distance", permutation_seeds: seeds, target_seed: 0 } as const;
  const { values } = await model.run({ id: 0, seq_len: seqLen, input_seeds: seeds, output });
  return new Uint32Array(values.buffer, values.byteOffset, values.length);
}

function memory({ model }: Search) {
  const mib = (bytes: number) => Math.round(bytes / 2 ** 20);
  return { process: mib(process.memoryUsage.rss()), device: mib(model.memoryInUse()) };
}
