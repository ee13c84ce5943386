// A dashboard's feed: everything a node does, as it happens, over as many reconnects as it takes.
//
//   node examples/dashboard.mjs http://127.0.0.1:8000        (Ctrl-C ends it)
import { createPocClient } from "@proofmill/client";

const node = createPocClient({ url: process.argv[2] ?? "http://127.0.0.1:8000" });
const end = new AbortController();
process.once("SIGINT", () => end.abort());

const onConnection = ({ state, error }) => {
  if (error) console.error(`${state}: ${error.message}`);
};

async function showStatus() {
  for await (const status of node.watchStatus({ signal: end.signal, onConnection })) {
    const { state, rate_per_second, total_valid, total_checked } = status;
    const rate = rate_per_second.toFixed(1);
    console.log(`${state}: ${rate} nonces/s, ${total_valid} of ${total_checked} valid`);
  }
}

async function showFinds() {
  for await (const event of node.watchValidNonces({ signal: end.signal })) {
    if (event.type === "round") {
      console.log(`round ${event.round_id}: block ${event.block_hash}, below ${event.r_target}`);
    } else {
      for (const [i, nonce] of event.nonces.entries()) {
        console.log(`#${event.from + i}: nonce ${nonce} at ${event.distances[i]}`);
      }
    }
  }
}

await Promise.all([showStatus(), showFinds()]);
