// What do several runners cost? Pairs of stretches: a search by two runners of one thread each, and by
// one runner of two; prints the median ratio of their rates.
//
//   node test/bench/devices.mjs [pairs] [seconds per stretch] [model directory] [seq_len]
import { machine, median, searchRate, startBenchNode } from "./support.mjs";

const [pairs = 8, seconds = 3] = process.argv.slice(2, 4).map(Number);
const model = process.argv[4] ? [process.argv[4]] : [];
const round = { seq_len: Number(process.argv[5] ?? 64), r_target: 1.36 };

const start = (device) => startBenchNode([...model, "--device", device, "--threads", "2"]);
const nodes = [await start("cpu,cpu"), await start("cpu")];

const rates = [[], []];
for (let pair = 0; pair < pairs; pair++) {
  // Whoever is first has the machine as the other left it.
  const order = pair % 2 === 0 ? [0, 1] : [1, 0];
  for (const i of order) rates[i].push(await searchRate({ url: nodes[i].url, round, seconds }));
}
const [two, one] = rates.map(median);
const ratio = median(rates[0].map((rate, i) => rate / rates[1][i]));
console.log(JSON.stringify({ ...machine(), round, pairs, seconds, two, one, ratio }));
for (const node of nodes) await node.close();
