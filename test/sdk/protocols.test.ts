/** `--protocol` at every door: whose rounds a node takes, and how it says that it takes others alone. */
import { createPocClient } from "@proofmill/client";
import { BROKER_OPERATIONS, OPERATIONS, type Operation } from "@proofmill/core";
import type { ServeConfig } from "@proofmill/server";
import { expect, test } from "vitest";
import { INIT, PROOF, startFakeNode } from "../fake-node.ts";

const MODEL = "the-model";
const ROUND = {
  ...{ block_hash: "ABC", block_height: 7, public_key: "02ab", node_id: 1, node_count: 3 },
  params: { model: MODEL, seq_len: 8 },
};
const ALONE = {
  v1: "This node takes no rounds of this version: with --protocol v1 it takes those of distances alone",
  v2: "This node takes no rounds of this version: with --protocol v2 it takes those of artifacts alone",
};

async function start(protocol: ServeConfig["protocol"]) {
  const { url } = await startFakeNode({ protocol, servedModelName: MODEL });
  const ask = async (rest: string, body?: object) => {
    const [method = "", path = ""] = rest.replace("{request_id}", "any").split(" ");
    const answer = await fetch(url + path, {
      method,
      ...(body && { body: JSON.stringify(body), headers: { "content-type": "application/json" } }),
    });
    return { status: answer.status, body: await answer.text() };
  };
  return { url, client: createPocClient({ url, retries: 0 }), ask };
}

/** What a call is refused with. */
const refusal = (call: Promise<unknown>) =>
  call.then(
    () => "taken",
    ({ name, code, status, message }) => ({ name, code, status, message }),
  );

/** Whether there is such a path at all. */
const isThere = ({ body }: { body: string }) => !body.startsWith('{"detail":"Not Found"');

const RESTS = (table: Readonly<Record<string, Operation>>, rounds?: string) =>
  Object.values(table).flatMap((each) => (each.rest && each.rounds === rounds ? [each.rest] : []));

test("v1: artifacts and the broker's paths are not there, and calls say so", async () => {
  const { client, ask } = await start("v1");
  const refused = {
    ...{ name: "NodeError", code: "PROTOCOL_NOT_SPOKEN", status: 404, message: ALONE.v1 },
  };
  expect(
    await Promise.all([
      refusal(client.initArtifacts(ROUND)),
      refusal(client.generateArtifacts({ ...ROUND, nonces: [1] })),
      refusal(client.artifactJob({ request_id: "any" })),
      refusal(client.artifactJobs()),
      refusal(client.artifactStatus()),
      refusal(client.watchArtifacts().next()),
    ]),
  ).toEqual(Array.from({ length: 6 }, () => refused));
  const gone = [...RESTS(BROKER_OPERATIONS), ...RESTS(OPERATIONS, "artifacts")];
  expect(gone.length).toBeGreaterThan(20);
  for (const rest of gone) expect([rest, isThere(await ask(rest))]).toEqual([rest, false]);
  // What looks like a round of artifacts is a round of distances without its target.
  const { status, body } = await ask("POST /api/v1/pow/init/generate", ROUND);
  expect([status, JSON.parse(body).detail[0].loc]).toEqual([422, ["body", "r_target"]]);
  expect((await client.initGenerate(INIT)).pow_status.state).toBe("GENERATING");
  expect(await client.status()).not.toHaveProperty("config");
  expect(JSON.parse((await ask("GET /livez")).body)).toEqual({ status: "ok" });
});

test("v2: rounds of distances are not there, and calls say so", async () => {
  const { client, ask } = await start("v2");
  const refused = {
    ...{ name: "NodeError", code: "PROTOCOL_NOT_SPOKEN", status: 404, message: ALONE.v2 },
  };
  expect(
    await Promise.all([
      refusal(client.init(INIT)),
      refusal(client.initGenerate(INIT)),
      refusal(client.initValidate(INIT)),
      refusal(client.phaseGenerate()),
      refusal(client.phaseValidate()),
      refusal(client.validate(PROOF)),
    ]),
  ).toEqual(Array.from({ length: 6 }, () => refused));
  for (const rest of RESTS(OPERATIONS, "distances")) {
    const isEither = rest === "POST /api/v1/pow/init/generate";
    expect([rest, isThere(await ask(rest))]).toEqual([rest, isEither]);
  }
  const { status, body } = await ask("POST /api/v1/pow/init/generate", INIT);
  expect([status, JSON.parse(body).detail[0].loc]).toEqual([422, ["body", "params"]]);
  expect((await client.initArtifacts(ROUND)).pow_status.status).toBe("GENERATING");
  expect((await client.stop()).pow_status.state).toBe("STOPPED");
  const begun = await ask("POST /api/v1/pow/init/generate", ROUND);
  expect(begun).toEqual({
    ...{ status: 200, body: '{"status":"OK","pow_status":{"status":"GENERATING"}}' },
  });
});

test("both: one round at a time, whichever it is, and each caller hears it in its own words", async () => {
  const { client, ask } = await start("both");
  const begin = "POST /api/v1/pow/init/generate";
  expect((await ask(begin, INIT)).status).toBe(200);
  expect(await ask(begin, ROUND)).toEqual({ status: 409, body: '{"detail":"Already generating"}' });
  expect(await refusal(client.initArtifacts(ROUND))).toMatchObject({ code: "ALREADY_GENERATING" });
  await client.stop();
  expect((await ask(begin, ROUND)).status).toBe(200);
  const refused = { status: 400, body: '{"detail":"Round already in progress"}' };
  expect(await ask(begin, INIT)).toEqual(refused);
  expect(await refusal(client.initGenerate(INIT))).toMatchObject({ code: "ROUND_IN_PROGRESS" });
  const rests = [...RESTS(BROKER_OPERATIONS), ...RESTS(OPERATIONS, "artifacts")];
  for (const rest of [...rests, ...RESTS(OPERATIONS, "distances")]) {
    expect([rest, isThere(await ask(rest))]).toEqual([rest, true]);
  }
});

test("stopped by the broker: what is wrong with a body comes first", async () => {
  const { url } = await startFakeNode({ servedModelName: MODEL });
  await (await fetch(`${url}/api/v1/inference/down`, { method: "POST" })).text();
  const post = async (body: object) => {
    const begun = await fetch(`${url}/api/v1/pow/init/generate`, {
      method: "POST",
      body: new TextEncoder().encode(JSON.stringify(body)),
    });
    return [begun.status, ((await begun.json()) as { detail: unknown }).detail];
  };
  const other = { ...ROUND, params: { model: "another", seq_len: 8 } };
  expect((await post({ ...ROUND, node_id: "1" }))[0]).toBe(422);
  expect((await post(other))[0]).toBe(409);
  expect(await post(ROUND)).toEqual([503, "Engine not available"]);
});
