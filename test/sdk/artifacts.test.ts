/** Rounds and jobs of artifacts over the SDK, of a whole node whose runner pretends. */
import { type ArtifactEvent, createPocClient } from "@proofmill/client";
import { expect, test, vi } from "vitest";
import { startFakeNode } from "../fake-node.ts";

const MODEL = "the-model";
const ROUND = {
  ...{ block_hash: "ABC", block_height: 7, public_key: "02ab", node_id: 1, node_count: 3 },
  params: { model: MODEL, seq_len: 8, k_dim: 4 },
};
type Found = ArtifactEvent & { type: "artifacts" };

/** Follows until so many artifacts have come; gives the events. */
async function follow(events: AsyncIterable<ArtifactEvent>, count: number) {
  const found: Found[] = [];
  const rounds: string[] = [];
  for await (const event of events) {
    if (event.type === "round") rounds.push(event.round_id);
    else found.push(event);
    if (found.reduce((sum, { nonces }) => sum + nonces.length, 0) >= count) break;
  }
  const nonces = found.flatMap((event) => event.nonces);
  const vectors = found.flatMap(({ vectors_b64 }) => vectors_b64);
  return { rounds, nonces, vectors, lastEventId: found.at(-1)?.id };
}

test("a round is begun, followed, gone on with after an id, and stopped", async () => {
  const { url } = await startFakeNode({ servedModelName: MODEL });
  const client = createPocClient({ url });
  expect(await client.artifactStatus()).toEqual({ status: "IDLE", config: null, stats: null });
  expect(await client.initArtifacts(ROUND)).toEqual({
    ...{ status: "OK", pow_status: { status: "GENERATING" } },
  });
  expect(await client.initArtifacts(ROUND).catch((error) => error)).toMatchObject({
    ...{ name: "RoundError", status: 409, code: "ALREADY_GENERATING" },
  });
  const first = await follow(client.watchArtifacts(), 100);
  expect(first.rounds).toHaveLength(1);
  expect(first.vectors).toHaveLength(first.nonces.length);
  const second = await follow(client.watchArtifacts({ lastEventId: first.lastEventId }), 100);
  expect(second.rounds).toEqual([]);
  const nonces = [...first.nonces, ...second.nonces];
  expect(nonces).toEqual(nonces.map((_, i) => 1 + 3 * i)); // in order, each once
  expect(await client.artifactStatus()).toMatchObject({
    ...{ status: "GENERATING", config: { block_hash: "ABC", node_id: 1, seq_len: 8, k_dim: 4 } },
  });
  await client.stop();
  expect((await client.artifactStatus()).status).toBe("IDLE");
});

test("jobs are queued and waited for, and a prover is judged", async () => {
  const { url } = await startFakeNode({ servedModelName: MODEL });
  const client = createPocClient({ url });
  const job = { ...ROUND, nonces: [1, 4, 7] };
  const own = await client.generateArtifacts({ ...job, wait: true });
  if (!("artifacts" in own)) throw new Error("no artifacts");
  expect(own.artifacts.map(({ nonce }) => nonce)).toEqual(job.nonces);

  // One of the three is another's.
  const [a, b, c] = own.artifacts;
  if (!a || !b || !c) throw new Error("not three");
  const false1 = { nonce: c.nonce, vector_b64: Buffer.from(new Uint8Array(8)).toString("base64") };
  const stat_test = { dist_threshold: 0.4, p_mismatch: 0.1, fraud_threshold: 0.5 };
  const claim = { ...job, validation: { artifacts: [a, b, false1] }, stat_test };
  const queued = await client.generateArtifacts(claim);
  expect(queued).toMatchObject({ status: "queued", queued_count: 3 });
  const { request_id } = queued;
  const verdict = { n_total: 3, n_mismatch: 1, mismatch_nonces: [7], fraud_detected: true };
  await vi.waitUntil(async () => (await client.artifactJob({ request_id })).status === "completed");
  expect(await client.artifactJob({ request_id })).toMatchObject(verdict);
  const { waiting_nonces, jobs } = await client.artifactJobs();
  expect(waiting_nonces).toBe(0);
  expect(jobs).toMatchObject([{ request_id, status: "completed", count: 3, error: null, verdict }]);

  await expect(client.artifactJob({ request_id: "another" })).rejects.toMatchObject({
    ...{ name: "NodeError", status: 404, code: "JOB_NOT_FOUND" },
  });
  const other = { ...job, params: { ...job.params, model: "another" } };
  await expect(client.generateArtifacts(other)).rejects.toMatchObject({ code: "PARAMS_MISMATCH" });
  await expect(client.initArtifacts({ ...ROUND, node_count: 0 })).rejects.toMatchObject({
    ...{ name: "InvalidRequestError", issues: [{ loc: ["body", "node_count"] }] },
  });
});
