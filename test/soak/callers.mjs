// Everybody who uses a node at once, for so many seconds, in a process of their own, so that what the
// node holds after it is the node's own doing:
//   callers.mjs <url> <callback_url> <seconds> <name>
// Its parent gets what each has done, and in `faults` what was not as it must be.
import { setTimeout as sleep } from "node:timers/promises";
import { createPocClient, UnavailableError } from "@proofmill/client";

const [url, callback_url, seconds, name] = process.argv.slice(2);
process.on("disconnect", () => process.exit(0));

const SUBSCRIBERS = 20;
const over = AbortSignal.timeout(Math.round(Number(seconds) * 1000));
const client = createPocClient({ url, retries: 0 });
const counts = { rounds: 0, proofs: 0, refused_proofs: 0, subscribers: 0, finds: 0 };
const faults = [];

const between = (least, most) => Math.round(least + Math.random() * (most - least));
const hashOf = (round) => `${name}-${round}`;

/** Rounds with finds, one after another: some are stopped, some validate, some are replaced. */
async function rounds() {
  for (let round = 0; !over.aborted; round++) {
    const { pow_status } = await client.initGenerate({
      ...{ block_hash: hashOf(round), block_height: round, public_key: "soak", r_target: 1.38 },
      ...{ node_id: 0, node_count: 1, seq_len: 16, callback_url },
    });
    counts.rounds++;
    await sleep(between(200, 3000));
    if (round % 3 === 0) await client.phaseValidate();
    if (round % 3 === 1) await client.stop();
    const { round_id, valid_nonces, total_valid } = await client.status();
    if (round_id !== pow_status.round_id) faults.push(`${round_id} is another round`);
    if (valid_nonces.length !== total_valid) faults.push("a status that is not whole");
    await sleep(between(0, 500));
  }
}

/** Proofs of nonces whose distances must be the same however often they are asked for. */
async function proofs() {
  const known = new Map();
  while (!over.aborted) {
    const { block_hash, block_height } = await client.status({ limit: 1 });
    const proof = { nonces: [3, 1, 4], dist: [1, 1, 1], public_key: "soak", node_id: 0 };
    try {
      const { distances } = await client.validate({ ...proof, block_hash, block_height });
      const before = known.get(block_hash) ?? `${distances}`;
      known.set(block_hash, before);
      if (`${distances}` !== before) faults.push(`distances ${distances}, they were ${before}`);
      counts.proofs++;
    } catch (error) {
      const isNext = error.code === "BLOCK_HASH_MISMATCH" || error.code === "NO_ROUND";
      if (!isNext && !(error instanceof UnavailableError)) throw error;
      counts.refused_proofs++;
    }
    await sleep(between(50, 300));
  }
}

/** One after another, each for a while; none may miss or repeat a find. */
async function subscribers() {
  while (!over.aborted) {
    const end = AbortSignal.any([over, AbortSignal.timeout(between(100, 3000))]);
    let next = 0;
    for await (const event of client.watchValidNonces({ signal: end })) {
      if (event.type === "round") next = 0;
      else {
        if (event.from !== next) faults.push(`finds from ${event.from}, expected ${next}`);
        next = event.from + event.nonces.length;
        counts.finds += event.nonces.length;
      }
    }
    counts.subscribers++;
  }
}

/** Subscriptions and calls that end by their signal have done what they should. */
const untilOver = (work) => work().catch((error) => over.aborted || faults.push(error.stack));

await client.initGenerate({
  ...{ block_hash: hashOf("first"), block_height: 0, public_key: "soak", r_target: 1.38 },
  ...{ node_id: 0, node_count: 1, seq_len: 16, callback_url },
});
const all = [rounds, proofs, proofs, ...Array(SUBSCRIBERS).fill(subscribers)];
await Promise.all(all.map(untilOver));
await client.stop();
process.send({ ...counts, faults }, () => process.exit(0));
