/** Rounds and jobs of artifacts over the SDK, of a whole node whose runner pretends. */
import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { type ArtifactEvent, createPocClient } from "@proofmill/client";
import { expect, onTestFinished, test, vi } from "vitest";
import { INIT, startFakeNode } from "../fake-node.ts";

const MODEL = "the-model";
const ROUND = {
  ...{ block_hash: "ABC", block_height: 7, public_key: "02ab", node_id: 1, node_count: 3 },
  params: { model: MODEL, seq_len: 8, k_dim: 4 },
};
/** A machine that is busy takes its time. */
const PATIENCE = { timeout: 20_000 };
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
  await vi.waitUntil(
    async () => (await client.artifactJob({ request_id })).status === "completed",
    PATIENCE,
  );
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

test("rounds and verdicts are events, and artifacts and jobs are counted", async () => {
  const { url } = await startFakeNode({ servedModelName: MODEL });
  const client = createPocClient({ url });
  const rounds = async () =>
    (await client.nodeEvents()).events
      .filter(({ kind }) => kind === "round")
      .map(({ text }) => text);
  await client.initArtifacts(ROUND);
  await vi.waitUntil(
    async () => ((await client.artifactStatus()).stats?.total_processed ?? 0) > 20,
    PATIENCE,
  );
  await client.stop();
  const [begun, stopped] = await rounds();
  expect(begun).toMatch(/^The round of artifacts of block ABC \(height 7\) begins and generates: /);
  expect(stopped).toMatch(
    /^The round of artifacts of block ABC \(height 7\) is stopped after [\d,]+ artifacts, [\d,]+ a minute: stop$/,
  );
  const job = { ...ROUND, nonces: [1], wait: true };
  const own = await client.generateArtifacts(job);
  if (!("artifacts" in own)) throw new Error("no artifacts");
  await client.generateArtifacts({ ...job, validation: { artifacts: own.artifacts } });
  const { artifacts } = await client.nodeInfo();
  expect(artifacts).toMatchObject({
    ...{ waiting_jobs: 0, waiting_nonces: 0, completed_jobs: 2, failed_jobs: 0 },
    ...{ cancelled_jobs: 0, verdicts: 1, frauds: 0 },
    round: { block_hash: "ABC", block_height: 7, public_key: "02ab", node_id: 1, node_count: 3 },
  });
  const made = artifacts.round?.total_artifacts.toLocaleString("en");
  expect(stopped).toContain(` after ${made} artifacts, `);
  const verdicts = (await client.nodeEvents()).events.filter(({ kind }) => kind === "verdict");
  expect(verdicts.map(({ text }) => text)).toEqual([
    "No fraud in 1 artifact: 0 mismatches; an honest node has so many or more with probability 1",
  ]);

  const metrics = await (await fetch(`${url}/metrics`)).text();
  const value = (sample: string) =>
    Number(
      metrics
        .split("\n")
        .find((line) => line.startsWith(`${sample} `))
        ?.split(" ")[1],
    );
  expect(`${value("proofmill_artifacts_total").toLocaleString("en")} artifacts`).toBe(
    / after ([\d,]+ artifacts)/.exec(stopped ?? "")?.[1],
  );
  expect(value('proofmill_artifact_jobs_total{result="completed"}')).toBe(1);
  expect(value('proofmill_artifact_jobs_total{result="no_fraud"}')).toBe(1);
  expect(value("proofmill_artifact_jobs_waiting_nonces")).toBe(0);
  const passes = `vllm:iteration_tokens_total_count{model_name="${MODEL}",engine="0"}`;
  expect(value(passes)).toBeGreaterThan(1);
});

test("a round that gives way to another says what it came to", async () => {
  const { url } = await startFakeNode({ servedModelName: MODEL });
  const client = createPocClient({ url });
  await client.initGenerate(INIT);
  await vi.waitUntil(async () => (await client.status({ limit: 1 })).total_checked > 20, PATIENCE);
  await client.initGenerate({ ...INIT, block_hash: "next", block_height: 101 });
  const { events } = await client.nodeEvents();
  const texts = events.filter(({ kind }) => kind === "round").map(({ text }) => text);
  expect(texts).toHaveLength(3);
  expect(texts[1]).toMatch(
    /^The round of block hash1 \(height 100\) gives way after [\d,]+ nonces, [\d,]+ of them valid$/,
  );
});

test("what becomes of a round's artifacts is an event: delivered, or refused and the round stopped", async () => {
  let isStale = false;
  const receiver = createServer((request, response) => {
    request.resume().on("end", () => {
      if (!isStale) response.end();
      else response.writeHead(400).end('{"message":"block_height is not the active PoC stage"}');
    });
  }).listen(0, "127.0.0.1");
  await once(receiver, "listening");
  onTestFinished(() => {
    receiver.closeAllConnections();
    receiver.close();
  });
  const host = `127.0.0.1:${(receiver.address() as AddressInfo).port}`;
  const { url } = await startFakeNode({ servedModelName: MODEL });
  const client = createPocClient({ url });
  const texts = async () => (await client.nodeEvents()).events.map(({ text }) => text);
  await client.initArtifacts({ ...ROUND, url: `http://${host}` });
  await follow(client.watchArtifacts(), 100);
  await client.stop();
  const total = (await client.nodeInfo()).artifacts.round?.total_artifacts.toLocaleString("en");
  const delivered = `All ${total} artifacts of block ABC (height 7) are with ${host}`;
  await vi.waitUntil(async () => (await texts()).includes(delivered), PATIENCE);
  isStale = true;
  await client.initArtifacts({ ...ROUND, block_hash: "DEF", url: `http://${host}` });
  const stopped =
    /^The round of artifacts of block DEF .* is stopped after .*: the receiver says that its block is over$/;
  await vi.waitUntil(async () => (await texts()).some((each) => stopped.test(each)), PATIENCE);
  expect(await texts()).toContain(
    `Artifacts cannot be delivered to ${host}, they are tried again: it answered 400`,
  );
});

test("what the network's broker has the node do is an event, and a refusal is told once", async () => {
  const { url } = await startFakeNode({ servedModelName: MODEL });
  const client = createPocClient({ url });
  const post = async (path: string, body: object = {}) => {
    const headers = { "content-type": "application/json" };
    const sent = { method: "POST", headers, body: JSON.stringify(body) };
    return (await fetch(`${url}/api/v1/${path}`, sent)).status;
  };
  const up = (model: string) => post("inference/up", { model, dtype: "auto" });
  expect([await post("stop"), await post("stop")]).toEqual([200, 200]);
  expect((await client.nodeInfo()).inference.gate).toBe("stopped");
  expect([await up("another"), await up("another"), await up(MODEL)]).toEqual([409, 409, 200]);
  expect((await client.nodeInfo()).inference.gate).toBe("open");
  const { events } = await client.nodeEvents();
  expect(events.filter(({ kind }) => kind === "broker").map(({ text }) => text)).toEqual([
    "The broker stops the node: no rounds, jobs and inference until it is brought up again",
    `The broker wants another, which is refused: This node holds ${MODEL}; it cannot load another`,
    `The broker has the node bring ${MODEL} up`,
  ]);
});
