/** The unit tests of the older service's document, and its curl lines, against this server. */
import { describe, expect, test } from "vitest";
import { INIT, INIT_GENERATE, PROOF, testServer } from "../../test-support.ts";

describe("status", () => {
  test("returns data", async () => {
    const { get } = await testServer();
    const response = await get("/api/v1/pow/status");
    expect(response.statusCode).toBe(200);
    expect(response.json()).toMatchObject({
      state: "IDLE",
      status: "IDLE",
      is_model_initialized: true,
      valid_nonces: [],
      valid_distances: [],
      total_checked: 0,
      total_valid: 0,
      elapsed_seconds: 0,
      rate_per_second: 0,
    });
  });
});

describe("init", () => {
  test("succeeds", async () => {
    const { post, service } = await testServer();
    const response = await post("/init", INIT);
    expect(response.statusCode).toBe(200);
    expect(response.json()).toMatchObject({ status: "OK", pow_status: { block_hash: "hash1" } });
    expect(service.state).toBe("IDLE");
  });

  test("is blocked when generating", async () => {
    const { post, service } = await testServer();
    await post("/init/generate", INIT_GENERATE);
    const response = await post("/init", INIT);
    expect(response.statusCode).toBe(400);
    expect(response.json()).toEqual({ detail: "Round already in progress" });
    expect(service.state).toBe("GENERATING");
  });
});

describe("init/generate", () => {
  test("requires node id", async () => {
    const { post, service } = await testServer();
    const response = await post("/init/generate", INIT);
    expect(response.statusCode).toBe(400);
    expect(response.json()).toEqual({ detail: "Node ID and node count must be set" });
    expect(service.status().round_id).toBeNull();
  });

  test("succeeds with node info, and the search begins", async () => {
    const { post, service, runner } = await testServer();
    const response = await post("/init/generate", INIT_GENERATE);
    expect(response.statusCode).toBe(200);
    expect(response.json()).toMatchObject({ status: "OK", pow_status: { state: "GENERATING" } });
    expect(service.state).toBe("GENERATING");
    expect((await runner.started(0)).seq_len).toBe(256);
  });
});

describe("phase/generate", () => {
  test("requires init first", async () => {
    const { post } = await testServer();
    const response = await post("/phase/generate");
    expect(response.statusCode).toBe(400);
    expect(response.json()).toEqual({ detail: "PoC not initialized" });
  });

  test("requires node info", async () => {
    const { post } = await testServer();
    await post("/init", INIT);
    const response = await post("/phase/generate");
    expect(response.statusCode).toBe(400);
    expect(response.json()).toEqual({ detail: "Node ID and node count must be set" });
  });
});

describe("phase/validate", () => {
  test("requires init first", async () => {
    const { post } = await testServer();
    const response = await post("/phase/validate");
    expect(response.statusCode).toBe(400);
    expect(response.json()).toEqual({ detail: "PoC not initialized" });
  });

  test("succeeds after init", async () => {
    const { post, service } = await testServer();
    await post("/init", INIT);
    const response = await post("/phase/validate");
    expect(response.statusCode).toBe(200);
    expect(service.state).toBe("VALIDATING");
  });
});

describe("stop", () => {
  test("succeeds", async () => {
    const { post } = await testServer();
    const response = await post("/stop");
    expect(response.statusCode).toBe(200);
    expect(response.json()).toMatchObject({ status: "OK", pow_status: { state: "STOPPED" } });
  });
});

describe("validate", () => {
  test("requires a round", async () => {
    const { post } = await testServer();
    const response = await post("/validate", PROOF);
    expect(response.statusCode).toBe(400);
    expect(response.json()).toEqual({ detail: "No round configured" });
  });

  test("refuses another block", async () => {
    const { post } = await testServer();
    await post("/init", { ...INIT, block_hash: "correct_hash" });
    const response = await post("/validate", { ...PROOF, block_hash: "wrong_hash" });
    expect(response.statusCode).toBe(400);
    expect(response.json()).toEqual({ detail: "Block hash mismatch" });
  });

  test("answers nonces, distances and verdict", async () => {
    const distances = [0.25, 0.375, 0.625];
    const { post } = await testServer({ distance: () => distances.shift() ?? Number.NaN });
    await post("/init", INIT);
    const response = await post("/validate", PROOF);
    expect(response.statusCode).toBe(200);
    expect(response.json()).toMatchObject({
      status: "OK",
      nonces: [0, 1, 2],
      distances: [0.25, 0.375, 0.625],
      computed_distances: [0.25, 0.375, 0.625],
      valid: [true, true, false],
      received_dist: [0.3, 0.4, 0.6],
      r_target: 0.5,
      n_invalid: 1,
      arithmetic: "fake-1",
    });
  });
});

describe("PoC not enabled", () => {
  test.each([
    ["POST", "/init"],
    ["POST", "/init/generate"],
    ["POST", "/init/validate"],
    ["POST", "/phase/generate"],
    ["POST", "/phase/validate"],
    ["POST", "/validate"],
    ["POST", "/stop"],
    ["GET", "/status"],
    ["GET", "/init"], // before the method is looked at,
    ["GET", "/status?since=x"], // the query,
  ] as const)("%s %s is 503", async (method, path) => {
    const { app } = await testServer({ enabled: false });
    const response = await app.inject({ method, url: `/api/v1/pow${path}` });
    expect(response.statusCode).toBe(503);
    expect(response.json()).toEqual({
      detail: "PoC not enabled",
      hint: "start the node with --enable-poc",
    });
  });

  test("comes before the body", async () => {
    const { post } = await testServer({ enabled: false });
    for (const body of ["{", "x".repeat(2 * 1024 * 1024)]) {
      const response = await post("/init", body);
      expect([response.statusCode, response.json()]).toEqual([
        503,
        { detail: "PoC not enabled", hint: "start the node with --enable-poc" },
      ]);
    }
  });
});

describe("the curl lines", () => {
  test("a whole round", async () => {
    const { post, get, service } = await testServer();
    // The document's own targets: half of the fake distances lie below 1.
    const round = { ...INIT_GENERATE, block_hash: "abc123", r_target: 1 };
    expect((await post("/init/generate", round)).statusCode).toBe(200);
    await new Promise<void>((resolve) => {
      const off = service.on("change", () => {
        if (service.status().total_valid < 3) return;
        off();
        resolve();
      });
    });
    expect((await post("/phase/validate")).json().pow_status.state).toBe("VALIDATING");
    expect((await post("/stop")).json().pow_status.state).toBe("STOPPED");
    const status = (await get("/api/v1/pow/status?since=1&limit=2")).json();
    expect(status.valid_nonces).toHaveLength(2);
    const answer = await post("/validate", {
      ...PROOF,
      block_hash: "abc123",
      nonces: status.valid_nonces,
      dist: status.valid_distances,
    });
    expect(answer.json().distances).toEqual(status.valid_distances);
    expect(answer.json().valid).toEqual([true, true]);
  });

  test("with a callback URL", async () => {
    const { post } = await testServer();
    const callback_url = "http://aggregator:9000/pow";
    expect((await post("/init/generate", { ...INIT_GENERATE, callback_url })).statusCode).toBe(200);
  });
});

test("fields of older callers are understood", async () => {
  const { post, runner } = await testServer();
  const response = await post("/init/generate", {
    ...INIT_GENERATE,
    url: "http://aggregator:9000/pow",
    params: { seq_len: 64, dim: 1024, n_layers: 12 },
    batch_size: 8,
    model: "unknown fields are dropped",
  });
  expect(response.statusCode).toBe(200);
  expect((await runner.started(0)).seq_len).toBe(64);
});
