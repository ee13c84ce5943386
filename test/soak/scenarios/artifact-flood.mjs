// A hundred thousand artifacts of one round for a slow receiver, and all of them back at once to be judged.
import { setTimeout as sleep } from "node:timers/promises";
import { startBroker } from "../broker.mjs";
import { poll, startNode, withFolder } from "../node.mjs";

export const about = "100,000 artifacts of one round for a slow receiver, then judged in one job";

export const bounds = {
  artifacts: { least: 1000 },
  lost: { most: 0 },
  again: { most: 0 },
  disordered: { most: 0 },
  /** The receiver is slower than the node: what waits for it stands on the disk. */
  most_pending: { least: 1 },
  heap_growth_mb: { most: 30 },
  memory_growth_mb: { most: 60 },
  /** Tenfold: what is measured on a quiet machine stands in attack's bounds. */
  generating_standstill_ms: { most: 2000 },
  judged: { least: 1000 },
  mismatches: { most: 0 },
  judging_standstill_ms: { most: 2000 },
};

const ARTIFACTS = 100_000;
/** Milliseconds that the receiver takes for each payload, which has at most 10,000. */
const DELAY = 1500;
const MODEL = "proofmill-demo";

export const play = ({ share }) =>
  withFolder(async (folder) => {
    const wanted = Math.round(ARTIFACTS * share);
    const broker = await startBroker({ model: MODEL, seqLen: 1 });
    const node = await startNode({ folder, args: ["--callback-interval", "50ms"] });
    broker.use(node.url);
    broker.delay = DELAY * Math.min(1, 5 * share);
    await broker.reach("INFERENCE");
    await node.measure();
    broker.nextStage();
    const samples = [];
    let most_pending = 0;
    await broker.reach("POC");
    const processed = async () => (await node.client.artifactStatus()).stats?.total_processed ?? 0;
    for (let count = await processed(); count < wanted; count = await processed()) {
      const { delivery } = await node.client.nodeInfo();
      most_pending = Math.max(most_pending, delivery.pending_nonces);
      samples.push({ count, ...(await node.measure()) });
      await sleep(200);
    }
    await broker.stopPow();
    const { delivered, pending } = await drain(node);
    const { vectors, again, disordered } = broker.taken;
    samples.push({ count: delivered, ...(await node.measure()) });

    broker.phase = "validate";
    broker.delay = 0;
    const claimed = vectors.slice(0, Math.min(ARTIFACTS, vectors.length));
    const artifacts = claimed.map((vector_b64, place) => ({
      nonce: broker.nonce(place),
      vector_b64,
    }));
    const request_id = await broker.validate(artifacts);
    await broker.until(() => broker.verdicts.has(request_id));
    const { n_total = 0, n_mismatch = Number.NaN } = broker.verdicts.get(request_id) ?? {};
    const { standstill_ms } = await node.measure();
    await node.end("SIGTERM");
    broker.close();
    const first = samples.find(({ count }) => count >= wanted / 5) ?? samples[0];
    const growth = (what) => (samples.at(-1)[what] - first[what]) / 1e6;
    return {
      artifacts: vectors.length,
      ...{ lost: pending + delivered - vectors.length, again, disordered, most_pending },
      heap_growth_mb: growth("heap_bytes"),
      memory_growth_mb: growth("resident_bytes"),
      memory_mb: samples.at(-1).resident_bytes / 1e6,
      generating_standstill_ms: Math.max(...samples.map((each) => each.standstill_ms)),
      ...{ judged: n_total, mismatches: n_mismatch, judging_standstill_ms: standstill_ms },
    };
  });

/** Waits until all is delivered, or nothing more will be. */
async function drain(node) {
  const { delivery } = await poll(
    () => node.client.nodeInfo(),
    (info) => info.delivery.pending_nonces === 0,
    120_000,
  );
  return { delivered: delivery.delivered_nonces, pending: delivery.pending_nonces };
}
