// What does the server cost the search? Pairs of stretches with the same model: a round over REST, and
// the runner alone, given jobs as a round gives them; prints the median ratio of their rates.
//
//   node test/bench/rest.mjs [pairs] [seconds per stretch] [model directory] [seq_len] [batch_size]
import { loadModel } from "@proofmill/native";
import { demoModel } from "../../packages/server/dist/models/demo.js";
import { machine, median, searchRate, startBenchNode } from "./support.mjs";

const [pairs = 10, seconds = 3] = process.argv.slice(2, 4).map(Number);
const directory = process.argv[4] ?? (await demoModel());
const [seq_len = 64, batch_size = 32] = process.argv.slice(5, 7).map(Number);
const round = { seq_len, batch_size };

const node = await startBenchNode([directory]);
const runner = await loadModel({ directory });

/** Of a random direction's distances one in ten is smaller; the normal's tenth lies at -1.2816. */
const r_target = Math.sqrt(2 - (2 * 1.2816) / Math.sqrt(runner.info.vocab_size));
const overRest = (seconds) => searchRate({ url: node.url, round: { r_target, ...round }, seconds });

/** Nonces per second of the runner alone, two jobs under way. */
async function alone(stretch) {
  const input_seeds = Uint32Array.from({ length: round.batch_size }, (_, i) => i);
  const output = { kind: "distance", permutation_seeds: input_seeds, target_seed: 0 };
  const begin = performance.now();
  let id = 0;
  let nonces = 0;
  const giveAll = async () => {
    while (performance.now() - begin < 1000 * stretch) {
      await runner.run({ id: id++, seq_len: round.seq_len, input_seeds, output });
      nonces += round.batch_size;
    }
  };
  await Promise.all([giveAll(), giveAll()]);
  return (1000 * nonces) / (performance.now() - begin);
}

const rates = [];
for (let i = 0; i <= pairs; i++) {
  // In turn which comes first: a machine may get slower all the while.
  const order = i % 2 ? [overRest, alone] : [alone, overRest];
  const rate = new Map();
  // The first pair warms up.
  for (const measure of order)
    rate.set(measure, await measure(i > 0 ? seconds : Math.min(seconds, 3)));
  if (i > 0) rates.push([rate.get(overRest), rate.get(alone)]);
}
await node.close();
await runner.close();

console.log(
  JSON.stringify({
    ratio: median(rates.map(([rest, direct]) => rest / direct)),
    nonces_per_second: {
      rest: median(rates.map(([rest]) => rest)),
      alone: median(rates.map(([, direct]) => direct)),
    },
    pairs: rates.length,
    ...round,
    machine: machine(runner.info.device),
  }),
);
