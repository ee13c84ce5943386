// How late do finds reach a thousand subscribers, and what does it cost?
//
//   node test/bench/subscribers.mjs [subscribers] [nonces per second] [seconds] [client processes]
import { fork } from "node:child_process";
import { once } from "node:events";
import { setTimeout as sleep } from "node:timers/promises";
import { createPocClient } from "@proofmill/client";
import { machine } from "./support.mjs";

const [count = 1000, perSecond = 2000, seconds = 30, processes = 1] = process.argv
  .slice(2)
  .map(Number);
const script = (name) => new URL(name, import.meta.url);

const node = fork(script("paced-node.mjs"), [perSecond], { execArgv: ["--expose-gc"] });
const ask = async (message) => {
  node.send(message);
  return (await once(node, "message"))[0];
};
const [{ url }] = await once(node, "message");
const client = createPocClient({ url });
const idle = await ask("memory after collection");

const round = { r_target: 1, public_key: "k", node_id: 0, node_count: 1, batch_size: 100 };
await client.init({ ...round, block_hash: "a", block_height: 1 });
const clients = Array.from({ length: processes }, () =>
  fork(script("subscribers-client.mjs"), [url, count / processes]),
);
const reports = () => Promise.all(clients.map(async (each) => (await once(each, "message"))[0]));
// A subscriber is there when it knows the round.
await reports();
// A first round, for the compilers of all these processes.
await client.phaseGenerate();
await sleep(5000);
await client.stop();
const before = await ask("memory after collection");
await sleep(1000);

node.send("begin");
await client.initGenerate({ ...round, block_hash: "b", block_height: 2 });
await sleep(seconds * 500);
const middle = await ask("memory");
await sleep(seconds * 500);
const { pow_status } = await client.stop();
const after = await ask("memory");
await sleep(1500);
for (const each of clients) each.send("end");
const ended = await reports();
const lists = ended.flatMap((each) => each.lists);
const events = ended.flatMap((each) => each.events);
const cpuSeconds = ended.reduce((sum, each) => sum + each.cpuSeconds, 0);
await sleep(500);
const gone = await ask("memory after collection");
const answers = await ask("answers");
node.send("close");
await once(node, "exit");

/** When the runner had answered with nonce `index`, the first of an event and so the oldest. */
function answeredAt(index) {
  let [low, high] = [0, answers.length - 1];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (answers[middle][0] > index) high = middle;
    else low = middle + 1;
  }
  return answers[low][1];
}

const lags = Array.from({ length: events.length / 3 }, (_, i) => events.slice(3 * i, 3 * i + 3))
  .map(([from, nonces, at]) => [at - answeredAt(from), nonces])
  .sort(([a], [b]) => a - b);
const total = lags.reduce((sum, [, n]) => sum + n, 0);
const quantile = (q) => {
  let seen = 0;
  for (const [lag, nonces] of lags) {
    seen += nonces;
    if (seen >= q * total) return Math.round(lag);
  }
};
const mib = (bytes) => Math.round(bytes / 2 ** 20);
const memory = ({ rss, heapUsed }) => ({ rss_mib: mib(rss), heap_mib: mib(heapUsed) });
console.log(
  JSON.stringify(
    {
      bench: "subscribers",
      machine: machine(),
      subscribers: count,
      found: pow_status.total_valid,
      lists_equal: lists.every(
        ({ length, hash, faults }) =>
          length === pow_status.total_valid && hash === lists[0].hash && faults === 0,
      ),
      // From the runner's answer to the subscriber; 100 ms of it may be coalescing.
      lag_ms: { p50: quantile(0.5), p99: quantile(0.99), max: quantile(1) },
      node_cpu_cores: (after.cpuSeconds - before.cpuSeconds) / seconds,
      clients_cpu_cores: cpuSeconds / seconds,
      memory: {
        idle: memory(idle),
        subscribed: memory(before),
        middle: memory(middle),
        end: memory(after),
        gone: memory(gone),
      },
    },
    null,
    2,
  ),
);
