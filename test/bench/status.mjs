// How long does GET /status take with many finds, both lists whole, while the search runs flat out?
//
//   node test/bench/status.mjs [finds] [requests]
import { fork } from "node:child_process";
import { once } from "node:events";
import { Agent, get } from "node:http";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { machine, quantile, startBenchNode } from "./support.mjs";

const NODE = "--as-node";
if (process.argv[2] === NODE) await serve();
else await measure();

/** The node, a process of its own as for its callers. */
async function serve() {
  const node = await startBenchNode();
  process.on("disconnect", () => node.close());
  process.send(node.url);
}

async function measure() {
  const [finds = 10_000, requests = 300] = process.argv.slice(2).map(Number);
  const child = fork(fileURLToPath(import.meta.url), [NODE]);
  const [address] = await once(child, "message");
  const url = `${address}/api/v1/pow`;
  await fetch(`${url}/init/generate`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({
      // About one in twenty is valid, so that the lists grow slowly while they are asked for.
      ...{ block_hash: "block", block_height: 1, public_key: "bench", r_target: 1.377 },
      ...{ node_id: 0, node_count: 1, seq_len: 16, batch_size: 64 },
    }),
  });
  const total = async () => (await (await fetch(`${url}/status?limit=1`)).json()).total_valid;
  while ((await total()) < finds) await sleep(200);

  const agent = new Agent({ keepAlive: true });
  async function ask() {
    const begin = performance.now();
    const [response] = await once(get(`${url}/status`, { agent }), "response");
    let bytes = 0;
    for await (const chunk of response) bytes += chunk.length;
    return { milliseconds: performance.now() - begin, bytes };
  }

  const listed = await total();
  const times = [];
  let bytes = 0;
  for (let i = 0; i < requests; i++) {
    const answer = await ask();
    times.push(answer.milliseconds);
    bytes = answer.bytes;
    await sleep(20);
  }
  agent.destroy();
  const { total_valid, rate_per_second } = await (await fetch(`${url}/status?limit=1`)).json();
  child.disconnect();

  const at = (share) => Number(quantile(times, share).toFixed(2));
  console.log(
    JSON.stringify({
      milliseconds: { p50: at(0.5), p99: at(0.99), max: at(1) },
      finds: { first: listed, last: total_valid },
      bytes,
      nonces_per_second: rate_per_second,
      requests,
      machine: machine(),
    }),
  );
}
