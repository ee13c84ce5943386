// A node whose model only pretends, and what the processes of an attack share about rounds.
import { parseConfig, startNode } from "@proofmill/server";
import { pacedRunner } from "../bench/paced-runner.mjs";

/** A round's body; one nonce in a hundred of the demo model is valid. */
export const ROUND = {
  ...{ block_hash: "attack", block_height: 1, public_key: "attack", r_target: 1.36 },
  ...{ node_id: 0, node_count: 1009, seq_len: 32, batch_size: 32 },
};

/**
 * Every nonce is valid, and its distance as long as a real one when it is written.
 *
 * @param {readonly string[]} args of `proofmill serve`
 * @param {{ perSecond: number, info?: object }} pace nonces per second, and what differs in ModelInfo
 */
export async function startPacedNode(args, { perSecond, info }) {
  const runner = pacedRunner({
    perSecond,
    info: { preferred_tokens: 32 * 256, ...info },
    distance: (seed) => 1 + (seed / 2 ** 32) * 0.35,
  });
  const node = await startNode(parseConfig([...args]), { startRunner: async () => runner });
  await node.loaded;
  return node;
}

/** A REST call: GET for `status…`, else POST. */
export async function call(url, path, body) {
  const response = await fetch(`${url}/api/v1/pow/${path}`, {
    method: path.startsWith("status") ? "GET" : "POST",
    ...(body && { headers: { "content-type": "application/json" }, body: JSON.stringify(body) }),
  });
  if (!response.ok) throw new Error(`${path}: ${response.status} ${await response.text()}`);
  return response.json();
}
