// What do metrics cost the search? Pairs of stretches of one round on one node, with a scrape every
// 250 ms (sixty times as many as Prometheus makes) and without; prints the median ratio of their rates,
// and how long the node takes to answer a scrape.
//
//   node test/bench/metrics.mjs [pairs] [seconds per stretch]
import { setTimeout as sleep } from "node:timers/promises";
import { createPocClient } from "@proofmill/client";
import { machine, median, ratiosBeside, round, startBenchNode, summaryOf } from "./support.mjs";

const [pairs = 10, seconds = 3] = process.argv.slice(2, 4).map(Number);
const SCRAPE_MS = 250;

const node = await startBenchNode();
const client = createPocClient({ url: node.url });
await client.initGenerate({
  ...{ block_hash: "metrics", block_height: 1, public_key: "bench", r_target: 1.36 },
  ...{ node_id: 0, node_count: 1, seq_len: 64 },
});
await sleep(2000); // jobs grow to their size

const scrapes = [];
async function scrape(signal) {
  while (!signal.aborted) {
    const asked = performance.now();
    await (await fetch(`${node.url}/metrics`)).text();
    scrapes.push(performance.now() - asked);
    await sleep(SCRAPE_MS);
  }
}

const ratios = await ratiosBeside({ client, pairs, seconds, beside: scrape });
await client.stop();
await node.close();

console.log(
  JSON.stringify({
    ...summaryOf(ratios),
    scrape_ms: { median: round(median(scrapes)), most: round(Math.max(...scrapes)) },
    pairs,
    machine: machine(),
  }),
);
