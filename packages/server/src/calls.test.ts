import { OPERATIONS, type Operation } from "@proofmill/core";
import { expect, test, vi } from "vitest";
import { INIT_GENERATE, testServer } from "./test-support.ts";
import { version } from "./version.ts";

test("health is 503 until the model is there, then 200, also with PoC off", async () => {
  const loading = await testServer({ loaded: false });
  const response = await loading.get("/health");
  const reasons = [{ code: "MODEL_LOADING", text: "Model is loading" }];
  expect([response.statusCode, response.json()]).toEqual([
    503,
    { status: "unavailable", detail: "Model is loading", reasons, warnings: [] },
  ]);
  expect((await loading.get("/livez")).json()).toEqual({ status: "ok" });
  expect(response.headers["retry-after"]).toBeDefined();
  const off = await testServer({ enabled: false });
  expect((await off.get("/health")).json()).toEqual({ status: "ok", reasons: [], warnings: [] });
});

test("health is 200 during a round and 503 without the runner", async () => {
  const { get, post, detach } = await testServer();
  await post("/init/generate", INIT_GENERATE);
  expect((await get("/health")).statusCode).toBe(200);
  detach(new Error("gone"));
  const response = await get("/health");
  const detail = "Runner is not available: gone";
  expect(response.statusCode).toBe(503);
  expect(response.json()).toMatchObject({
    detail,
    reasons: [{ code: "RUNNER_LOST", text: detail }],
  });
  expect((await get("/readyz")).json()).toEqual(response.json());
  expect((await get("/livez")).statusCode).toBe(200);
});

test("results that are not finite are told by health, which is 200 all the same", async () => {
  const { get, post, service } = await testServer({ distance: () => Number.NaN });
  await post("/init/generate", INIT_GENERATE);
  await vi.waitUntil(() => service.status().total_nonfinite > 0);
  const response = await get("/health");
  expect(response.statusCode).toBe(200);
  const { warnings } = response.json();
  expect(warnings).toEqual([
    { code: "RESULTS_NOT_FINITE", text: expect.stringMatching(/^\d+ of the \d+ nonces/) },
  ]);
});

test("version", async () => {
  const { get } = await testServer({ loaded: false });
  expect((await get("/version")).json()).toEqual({ version });
});

test("the model, in OpenAI's shape", async () => {
  const { get } = await testServer();
  expect((await get("/v1/models")).json()).toEqual({
    object: "list",
    data: [
      {
        id: "test-model",
        object: "model",
        created: expect.any(Number),
        owned_by: "proofmill",
        max_model_len: 1024,
      },
    ],
  });
  const loading = await testServer({ loaded: false });
  expect((await loading.get("/v1/models")).statusCode).toBe(503);
});

test("the API document describes every path with its bodies", async () => {
  const { get } = await testServer();
  const document = (await get("/openapi.json")).json();
  expect(document.openapi).toBe("3.1.0");
  const paths = Object.values<Operation>(OPERATIONS).flatMap(({ rest, rounds }) =>
    rounds === "artifacts" ? [] : (rest?.split(" ")[1] ?? []),
  );
  expect(Object.keys(document.paths).sort()).toEqual(paths.sort());
  const init = document.paths["/api/v1/pow/init"].post;
  /** What a body's schema is, by its name among the components. */
  const schemaOf = (body: { content: Record<string, { schema: { $ref: string } }> }) =>
    document.components.schemas[body.content["application/json"]?.schema.$ref.split("/")[3] ?? ""];
  const body = schemaOf(init.requestBody);
  expect(body.required).toEqual(["block_hash", "block_height", "public_key", "r_target"]);
  expect(body.properties.batch_size).toMatchObject({ default: 32, minimum: 1, maximum: 1024 });
  expect(Object.keys(init.responses)).toEqual(
    expect.arrayContaining(["200", "400", "413", "422", "503"]),
  );
  const proof = schemaOf(document.paths["/api/v1/pow/validate"].post.requestBody);
  expect(proof.properties.nonces.items).toMatchObject({ type: "integer" });
});
