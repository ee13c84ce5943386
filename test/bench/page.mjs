// What does an open page cost the search? Pairs of stretches of one round on one node, with the calls of
// the page played by a script and without; prints the median ratio of their rates, and how many calls and
// events there were. The script shares the node's process: what it costs itself counts, too.
//
//   node test/bench/page.mjs [pairs] [seconds per stretch] [pages]
import { setTimeout as sleep } from "node:timers/promises";
import { createPocClient } from "@proofmill/client";
import { machine, ratiosBeside, startBenchNode, summaryOf } from "./support.mjs";

const [pairs = 10, seconds = 3, pages = 1] = process.argv.slice(2, 5).map(Number);
/** As in packages/dashboard/src/node/followed-node.ts. */
const POLL_MS = 2000;

const node = await startBenchNode();
const client = createPocClient({ url: node.url });
await client.initGenerate({
  ...{ block_hash: "page", block_height: 1, public_key: "bench", r_target: 1.36 },
  ...{ node_id: 0, node_count: 1, seq_len: 64 },
});
await sleep(2000); // jobs grow to their size

const counts = { calls: 0, statuses: 0, finds: 0 };

/** What a page asks that is opened now, until it is left. */
async function open(signal) {
  const page = createPocClient({ url: node.url });
  const followStatus = async () => {
    for await (const _ of page.watchStatus({ signal })) counts.statuses++;
  };
  const followFinds = async () => {
    for await (const event of page.watchValidNonces({ signal })) {
      if (event.type === "nonces") counts.finds += event.nonces.length;
    }
  };
  const ask = async () => {
    let since = 0;
    for (let isFirst = true; !signal.aborted; isFirst = false) {
      await page.nodeInfo();
      await page.nodeHistory(isFirst ? undefined : { seconds: POLL_MS / 1000 + 12 });
      const { events } = await page.nodeEvents({ since });
      since = events.at(-1)?.id ?? since;
      counts.calls += 3;
      await sleep(POLL_MS, undefined, { signal }).catch(() => {});
    }
  };
  await Promise.all([followStatus(), followFinds(), ask()]);
}

const beside = async (signal) => {
  await Promise.all(Array.from({ length: pages }, () => open(signal)));
};
const ratios = await ratiosBeside({ client, pairs, seconds, beside });
await client.stop();
await node.close();
console.log(JSON.stringify({ ...summaryOf(ratios), ...counts, pages, pairs, machine: machine() }));
