// Does a bad aggregator slow the search? Pairs of stretches of one node's search, with a callback and
// without, one after the other; prints the median ratio of their rates with its interval.
//
//   node test/bench/callbacks.mjs [pairs] [seconds per stretch]
import { once } from "node:events";
import { createServer } from "node:http";
import { setTimeout as sleep } from "node:timers/promises";
import { createPocClient } from "@proofmill/client";
import { machine, startBenchNode } from "./support.mjs";

const [pairs = 10, seconds = 3] = process.argv.slice(2).map(Number);

/** Ways to be of no use. */
const aggregators = {
  "answers 500": (_, response) => response.writeHead(500).end("no"),
  hangs: () => {},
  "closes in the middle": (_, response) => {
    response.writeHead(200, { "content-length": 100 });
    response.write("half", () => response.destroy());
  },
  redirects: (_, response) => response.writeHead(307, { location: "/elsewhere" }).end(),
};

const node = await startBenchNode();
const client = createPocClient({ url: node.url });

let block = 0;

/** Nonces per second of a round of its own; one nonce in ten is valid. */
async function rate(callback_url) {
  await client.initGenerate({
    ...{ block_hash: `block-${block++}`, block_height: 1, public_key: "bench", r_target: 1.385 },
    ...{ node_id: 0, node_count: 1, seq_len: 32, batch_size: 64, callback_url },
  });
  await sleep(500); // the first jobs are small
  const first = await client.status({ limit: 1 });
  await sleep(seconds * 1000);
  const last = await client.status({ limit: 1 });
  await client.stop();
  const time = last.elapsed_seconds - first.elapsed_seconds;
  return (last.total_checked - first.total_checked) / time;
}

/** The median, and the interval that holds it with at least 95 %, from the order statistics. */
function medianOf(values) {
  const sorted = values.toSorted((a, b) => a - b);
  const n = sorted.length;
  let tail = 0.5 ** n;
  let term = tail;
  let k = 0;
  // Binomial(n, 1/2): as many values as may be left out on either side.
  while (tail + (term * (n - k)) / (k + 1) <= 0.025) {
    term *= (n - k) / (k + 1);
    tail += term;
    k++;
  }
  const middle = (sorted[(n - 1) >> 1] + sorted[n >> 1]) / 2;
  return { median: middle, interval: [sorted[k], sorted[n - 1 - k]] };
}

const results = {};
await rate(null);
for (const [name, answer] of Object.entries(aggregators)) {
  const server = createServer(answer).listen(0, "127.0.0.1");
  await once(server, "listening");
  const url = `http://127.0.0.1:${server.address().port}`;
  const ratios = [];
  for (let i = 0; i < pairs; i++) {
    const [a, b] = i % 2 ? [null, url] : [url, null];
    const [first, second] = [await rate(a), await rate(b)];
    ratios.push(a === url ? first / second : second / first);
  }
  results[name] = medianOf(ratios);
  server.closeAllConnections();
  server.close();
}
const { delivery } = await client.nodeInfo();
await node.close();
console.log(
  JSON.stringify(
    { bench: "callbacks", machine: machine(), pairs, seconds, ratio: results, delivery },
    null,
    2,
  ),
);
