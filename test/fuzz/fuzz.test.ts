/** Short forms of `npm run fuzz`, always from the same seeds; and the model of a round itself. */
import { notLinux, skipped } from "@proofmill/core/testing";
import { expect, test } from "vitest";
import { fuzzKeys } from "./against-keys.mjs";
import { fuzzLoader } from "./against-loader.mjs";
import { fuzzNode } from "./against-node.mjs";
import { fuzzTokenizers } from "./against-tokenizers.mjs";
import { fuzzWords } from "./against-words.mjs";
import { FRESH, MODEL, step } from "./round-model.mjs";

const SEED = 20;

test.skipIf(skipped(notLinux))(
  "2,000 drawn requests: the node is as it was, and where its commands have led it",
  async () => {
    const { faults, commands, statuses } = await fuzzNode({ seed: SEED, count: 2000 });
    expect(faults).toEqual([]);
    // It would be no test if nothing got through.
    expect(commands).toBeGreaterThan(20);
    for (const status of [200, 400, 404, 405, 422]) expect(statuses).toHaveProperty(`${status}`);
  },
  120_000,
);

test.skipIf(skipped(notLinux))(
  "600 drawn requests to a node with keys: nothing is answered that the key does not allow",
  async () => {
    const { faults, commands, statuses } = await fuzzKeys({ seed: SEED, count: 600 });
    expect(faults).toEqual([]);
    expect(commands).toBeGreaterThan(5);
    for (const status of [200, 401, 403]) expect(statuses).toHaveProperty(`${status}`);
  },
  120_000,
);

test("300 drawn models: each is loaded or refused, and nothing else happens", async () => {
  const { faults, loaded, refused } = await fuzzLoader({ seed: SEED, count: 300 });
  expect(faults).toEqual([]);
  expect(loaded).toBeGreaterThan(10);
  expect(refused).toBeGreaterThan(100);
});

test("500 drawn tokenizers: each has words or says why not, and nothing else happens", async () => {
  const { faults, loaded, chats } = await fuzzTokenizers({ seed: SEED, count: 500 });
  expect(faults).toEqual([]);
  expect(chats).toBeGreaterThan(50);
  expect(500 - loaded).toBeGreaterThan(100);
});

test("500 drawn texts come back from the tokens of real models, as streams too", async () => {
  const { faults, texts, lone } = await fuzzWords({ seed: SEED, count: 500 });
  expect(faults).toEqual([]);
  expect(texts).toBe(500);
  expect(lone).toBeGreaterThan(50);
});

test("the model of a round: another block replaces a search, another field does not", () => {
  const body = { ...{ block_hash: "a", block_height: 1, public_key: "k" }, ...place(0) };
  const begin = { kind: "init/generate", isValid: true } as const;
  const { after } = step(FRESH, { ...begin, body: { ...body, r_target: 1 } });
  expect(after).toMatchObject({ state: "GENERATING", number: 1 });
  const another = { ...begin, body: { ...body, r_target: 2 } };
  expect(step(after, another)).toEqual({ status: 400, after });
  const next = { ...begin, body: { ...body, r_target: 2, block_height: 2 } };
  expect(step(after, next)).toMatchObject({ status: 200, after: { number: 2 } });
  expect(step(FRESH, { kind: "phase/generate" })).toEqual({ status: 400, after: FRESH });
  expect(step(FRESH, { ...begin, isValid: false, body: {} })).toEqual({
    status: 422,
    after: FRESH,
  });
});

test("the model of a round: one of artifacts yields to nothing but a stop, and not to a node that is down", () => {
  const body = { ...{ block_hash: "a", block_height: 1, public_key: "k" }, ...place(0) };
  const begin = {
    kind: "begin",
    isValid: true,
    body: { ...body, params: { model: MODEL } },
  } as const;
  const { after } = step(FRESH, begin);
  expect(after).toMatchObject({ state: "GENERATING", number: 1 });
  expect(step(after, begin).status).toBe(409);
  expect(step(after, begin, "mlnode").status).toBe(502);
  expect(step(after, { kind: "init/validate", isValid: true, body }).status).toBe(400);
  const { after: down } = step(after, { kind: "down" }, "mlnode");
  expect(step(down, begin).status).toBe(503);
  expect(step(down, { kind: "chat" }, "mlnode").status).toBe(503);
  const { after: up } = step(down, { kind: "up" }, "mlnode");
  expect(step(up, begin).after).toEqual({ ...after, number: 1 });
});

function place(node_id: number) {
  return { node_id, node_count: 2, r_target: 1 };
}
