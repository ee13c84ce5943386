// A coordinator with two nodes: each walks its own half of the nonces, then judges the other's finds.
//
//   node examples/coordinator.mjs http://127.0.0.1:8000 http://127.0.0.1:8001
import { createPocClient } from "@proofmill/client";

const FINDS = 20;
const round = {
  block_hash: "abc123",
  block_height: 100,
  public_key: "node1",
  r_target: 1.4,
  seq_len: 32,
};

const urls = process.argv.slice(2);
if (urls.length !== 2) {
  console.error("usage: node examples/coordinator.mjs NODE NODE, e.g. http://127.0.0.1:8000");
  process.exit(2);
}
const nodes = urls.map((url) => createPocClient({ url }));

/** Searches with one node until it has some finds, and makes them a proof. */
async function search(node, node_id) {
  const enough = new AbortController();
  await node.initGenerate({ ...round, node_id, node_count: nodes.length });
  for await (const { total_valid } of node.watchStatus({ signal: enough.signal })) {
    if (total_valid >= FINDS) enough.abort();
  }
  const { pow_status } = await node.phaseValidate();
  console.log(`node ${node_id}: ${pow_status.total_valid} of ${pow_status.total_checked} valid`);
  const { block_hash, block_height, public_key } = round;
  const proof = { block_hash, block_height, public_key, node_id };
  return { ...proof, nonces: pow_status.valid_nonces, dist: pow_status.valid_distances };
}

const proofs = await Promise.all(nodes.map(search));

for (const [i, node] of nodes.entries()) {
  const proof = proofs[(i + 1) % proofs.length];
  const verdict = await node.validate(proof);
  console.log(
    `node ${i} on node ${proof.node_id}: ${verdict.n_invalid} of ${proof.nonces.length} invalid, ` +
      (verdict.fraud_detected ? "fraud" : "honest"),
  );
}
await Promise.all(nodes.map((node) => node.stop()));
