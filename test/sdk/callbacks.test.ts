/** A node's callbacks as the SDK's receiver hands them on. */
import { createServer } from "node:http";
import { createPocClient } from "@proofmill/client";
import {
  createReceiver,
  type GeneratedArtifacts,
  type GeneratedBatch,
  type ValidatedArtifacts,
  type ValidatedBatch,
} from "@proofmill/client/receiver";
import { expect, test } from "vitest";
import { startFakeNode } from "../fake-node.ts";
import { listen, poll } from "../helpers.ts";

test("rounds of one block and key are told apart, and each of their nonces comes once", async () => {
  const generated: GeneratedBatch[] = [];
  const validated: ValidatedBatch[] = [];
  const receiver = createReceiver({
    secret: false,
    onGenerated: (batch) => void generated.push(batch),
    onValidated: (batch) => void validated.push(batch),
  });
  const callback_url = await listen(createServer(receiver.handler));
  const { url } = await startFakeNode();
  const client = createPocClient({ url });
  const round = {
    ...{ block_hash: "abc123", block_height: 1, public_key: "node1", r_target: 0.25 },
    ...{ node_id: 0, node_count: 1, seq_len: 8, callback_url },
  };
  // Another length, another target, and the very same again.
  for (const change of [{}, { seq_len: 16 }, { r_target: 0.125 }, {}]) {
    await client.initGenerate({ ...round, ...change });
    await poll(
      () => client.status({ limit: 1 }),
      ({ total_valid }) => total_valid > 40,
    );
    const { round_id, r_target, valid_nonces, valid_distances } = (await client.stop()).pow_status;
    const ofRound = () => generated.filter((batch) => batch.round_id === round_id);
    const nonces = await poll(
      () => ofRound().flatMap((batch) => batch.nonces),
      ({ length }) => length >= valid_nonces.length,
    );
    expect(nonces).toEqual(valid_nonces);
    expect(ofRound().flatMap(({ dist }) => dist)).toEqual(valid_distances);
    expect(new Set(ofRound().map((batch) => batch.r_target))).toEqual(new Set([r_target]));
  }
  // The last answer may still be on its way to the node.
  const received = generated.flatMap(({ nonces }) => nonces).length;
  const { delivery } = await poll(
    () => client.nodeInfo(),
    (info) => info.delivery.delivered_nonces >= received,
  );
  expect(delivery).toMatchObject({ pending_nonces: 0, delivered_nonces: received });

  const { round_id } = (await client.phaseValidate()).pow_status;
  const proof = { ...{ block_hash: "abc123", block_height: 1, node_id: 0 }, public_key: "other" };
  const answer = await client.validate({ ...proof, nonces: [1, 2], dist: [0.5, 0.5] });
  expect(answer.status).toBe("OK");
  expect(answer.computed_distances).toEqual(answer.distances);
  await poll(
    () => validated.length,
    (count) => count > 0,
  );
  expect(validated).toMatchObject([{ public_key: "other", round_id, dist: answer.distances }]);
});

test("artifacts of rounds and jobs come, and the verdicts of jobs", async () => {
  const generated: GeneratedArtifacts[] = [];
  const verdicts: ValidatedArtifacts[] = [];
  const receiver = createReceiver({
    secret: false,
    onArtifacts: (batch) => void generated.push(batch),
    onArtifactVerdict: (verdict) => void verdicts.push(verdict),
  });
  const url = await listen(createServer(receiver.handler));
  const node = await startFakeNode({ servedModelName: "the-model" });
  const client = createPocClient({ url: node.url });
  const block = { block_hash: "abc123", block_height: 1, public_key: "02ab", node_id: 0, url };
  const round = { ...block, node_count: 1, params: { model: "the-model", seq_len: 8, k_dim: 4 } };
  await client.initArtifacts(round);
  await poll(
    () => generated.flatMap(({ artifacts }) => artifacts).length,
    (count) => count >= 40,
  );
  await client.stop();
  expect(new Set(generated.map(({ request_id }) => request_id))).toEqual(new Set([null]));
  const artifacts = generated.flatMap((batch) => batch.artifacts).slice(0, 3);
  expect(artifacts.map(({ nonce }) => nonce)).toEqual([0, 1, 2]);
  const nonces = [0, 1, 2];
  await client.generateArtifacts({ ...round, nonces, validation: { artifacts } });
  await client.generateArtifacts({ ...round, nonces });
  const ofJob = await poll(
    () => generated.filter(({ request_id }) => request_id !== null),
    ({ length }) => length > 0,
  );
  expect(ofJob.flatMap((batch) => batch.artifacts)).toEqual(artifacts);
  expect(verdicts).toMatchObject([{ n_total: 3, n_mismatch: 0, fraud_detected: false }]);
});
