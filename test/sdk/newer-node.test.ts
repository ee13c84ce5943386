/** This version's SDK beside a node of a later one: what it knows it hands on, and nothing is thrown. */
import { createPocClient, toProofBatch } from "@proofmill/client";
import { expect, test } from "vitest";
import { INIT } from "../fake-node.ts";
import { NEWER, startNewerNode } from "../newer-node.ts";

test("commands and questions answer what a newer node says, with its fields and words", async () => {
  const { url, node } = await startNewerNode();
  const client = createPocClient({ url });
  const { pow_status } = await client.initGenerate(INIT);
  expect(pow_status.state).toBe(`GENERATING${NEWER}`);
  for await (const event of client.watchValidNonces()) if (event.type === "nonces") break;
  await client.stop();
  const status = await client.status();
  expect(status).toMatchObject({ state: `STOPPED${NEWER}`, further: { of_a_newer: ["node"] } });
  expect((await client.nodeInfo()).scopes).toContain("future");
  const { events } = await client.nodeEvents();
  expect(events.map(({ kind }) => kind)).toContain(`round${NEWER}`);
  const { fraud_detected, valid } = await client.validate(toProofBatch(status));
  expect([fraud_detected, valid.length]).toEqual([false, status.valid_nonces.length]);
  expect((await createPocClient({ url: node.url }).status()).total_valid).toBe(status.total_valid);
});

test("its finds come once and in order, over connections that break; of what else it tells nothing is heard", async () => {
  const { url, node, unknown, breakAll } = await startNewerNode();
  const direct = createPocClient({ url: node.url });
  const end = new AbortController();
  const { signal } = end;
  await direct.initGenerate(INIT);
  const nonces: number[] = [];
  const types = new Set<string>();
  let connections = 0;
  const onConnection = ({ state }: { state: string }) => {
    if (state === "open") connections++;
  };
  const finds = createPocClient({ url }).watchValidNonces({ signal, onConnection });
  for await (const event of finds) {
    types.add(event.type);
    if (event.type !== "nonces") continue;
    nonces.push(...event.nonces);
    if (connections < 4 && nonces.length > 20 * connections) breakAll();
    if (connections === 4 && nonces.length > 100) end.abort();
  }
  await direct.stop();
  const { valid_nonces } = await direct.status({ limit: nonces.length });
  expect(nonces).toEqual(valid_nonces);
  expect([...types]).toEqual(["round", "nonces"]);
  expect(unknown()).toBeGreaterThan(0);
});

test("its statuses are streamed with their fields and words", async () => {
  const { url } = await startNewerNode();
  for await (const status of createPocClient({ url }).watchStatus()) {
    expect(status).toMatchObject({ state: `IDLE${NEWER}`, further: { of_a_newer: ["node"] } });
    break;
  }
});
