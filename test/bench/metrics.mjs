// What do metrics cost the search? Pairs of stretches of one round on one node, with a scrape every
// 250 ms (sixty times as many as Prometheus makes) and without; prints the median ratio of their rates,
// and how long the node takes to answer a scrape.
//
//   node test/bench/metrics.mjs [pairs] [seconds per stretch]
import { setTimeout as sleep } from "node:timers/promises";
import { createPocClient } from "@proofmill/client";
import { machine, median, quantile, startBenchNode } from "./support.mjs";

const [pairs = 10, seconds = 3] = process.argv.slice(2, 4).map(Number);
const SCRAPE_MS = 250;

const node = await startBenchNode();
const client = createPocClient({ url: node.url });
await client.initGenerate({
  ...{ block_hash: "metrics", block_height: 1, public_key: "bench", r_target: 1.36 },
  ...{ node_id: 0, node_count: 1, seq_len: 64 },
});
await sleep(2000); // jobs grow to their size

const checked = async () => (await client.status({ limit: 1 })).total_checked;
/** When the next batch is counted; a stretch of whole batches is not rounded to some. */
async function counted() {
  const last = await checked();
  for (;;) {
    const now = await checked();
    if (now !== last) return [now, performance.now()];
    await sleep(20);
  }
}

const scrapes = [];
async function rate(isScraped) {
  const [before, begin] = await counted();
  const end = performance.now() + 1000 * seconds;
  while (performance.now() < end) {
    if (isScraped) {
      const asked = performance.now();
      await (await fetch(`${node.url}/metrics`)).text();
      scrapes.push(performance.now() - asked);
    }
    await sleep(SCRAPE_MS);
  }
  const [after, stopped] = await counted();
  return (1000 * (after - before)) / (stopped - begin);
}

const ratios = [];
for (let i = 0; i < pairs; i++) {
  const rates = new Map();
  // In turn which comes first: a machine may get slower all the while.
  for (const isScraped of i % 2 ? [true, false] : [false, true]) {
    rates.set(isScraped, await rate(isScraped));
  }
  ratios.push(rates.get(true) / rates.get(false));
}
await client.stop();
await node.close();

const round = (value) => Math.round(value * 1e4) / 1e4;
console.log(
  JSON.stringify({
    ratio: round(median(ratios)),
    ratios: { tenth: round(quantile(ratios, 0.1)), nine_tenths: round(quantile(ratios, 0.9)) },
    scrape_ms: { median: round(median(scrapes)), most: round(Math.max(...scrapes)) },
    pairs,
    machine: machine(),
  }),
);
