// A caller of the older service: plain REST in its field names, and a server that the node's finds are
// pushed to. The receiver acknowledges only what has been taken, and sees each nonce once.
//
//   node examples/older-caller.mjs http://127.0.0.1:8000
import { once } from "node:events";
import { createServer } from "node:http";
import { createReceiver } from "@proofmill/client/receiver";

const FINDS = 20;
const node = process.argv[2] ?? "http://127.0.0.1:8000";

let received = 0;
let enough = () => {};
const done = new Promise((resolve) => {
  enough = resolve;
});
const receiver = createReceiver({
  secret: false, // the node signs nothing unless it has a --callback-secret
  onGenerated: async ({ nonces, dist }) => {
    for (const [i, nonce] of nonces.entries()) console.log(`nonce ${nonce} at ${dist[i]}`);
    received += nonces.length;
    if (received >= FINDS) enough();
  },
  onError: (error) => console.error(error),
});
const server = createServer(receiver.handler).listen(0, "127.0.0.1");
await once(server, "listening");

async function post(path, body) {
  const response = await fetch(`${node}/api/v1/pow${path}`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: body && JSON.stringify(body),
  });
  if (!response.ok) throw new Error(`${path}: ${response.status} ${await response.text()}`);
  return response.json();
}

await post("/init/generate", {
  block_hash: "abc123",
  block_height: 100,
  public_key: "node1",
  r_target: 1.4,
  node_id: 0,
  node_count: 1,
  params: { seq_len: 32 },
  url: `http://127.0.0.1:${server.address().port}`,
});
await done;
const { pow_status } = await post("/stop");
console.log(`${received} received, the node has found ${pow_status.total_valid}`);
server.closeAllConnections();
server.close();
