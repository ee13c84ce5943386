import { setImmediate as nextTurn } from "node:timers/promises";
import { expect, test, vi } from "vitest";
import { INIT, INIT_GENERATE, PROOF, testServer } from "../../test-support.ts";

test("what is missing is named as FastAPI names it", async () => {
  const { post } = await testServer();
  const response = await post("/init", { block_height: 100, public_key: "node1", r_target: "1" });
  expect(response.statusCode).toBe(422);
  expect(response.json()).toEqual({
    detail: [
      { type: "missing", loc: ["body", "block_hash"], msg: "Field required", input: null },
      {
        type: "float_type",
        loc: ["body", "r_target"],
        msg: "Input should be a valid number",
        input: "1",
      },
    ],
  });
});

const deep = "[".repeat(100_000) + "]".repeat(100_000);

test.each([
  ["broken JSON", '{"block_hash": ', "json_invalid"],
  ["no JSON at all", "hello", "json_invalid"],
  [
    "bytes that are not UTF-8",
    Buffer.from([0x7b, 0x22, 0xff, 0x22, 0x3a, 0x31, 0x7d]),
    "json_invalid",
  ],
  ["two values", "{}{}", "json_invalid"],
  ["NaN", '{"r_target": NaN}', "json_invalid"],
  ["an empty body", "", "missing"],
  ["null", "null", "missing"],
  ["a list", "[]", "model_attributes_type"],
  ["deep nesting", deep, "model_attributes_type"],
  ["deep nesting, never closed", "[".repeat(1_000_000), "json_invalid"],
])("%s is 422", async (_name, body, type) => {
  const { post, service } = await testServer();
  for (const path of ["/init", "/init/generate", "/init/validate", "/validate"]) {
    const response = await post(path, body);
    expect(response.statusCode).toBe(422);
    expect(response.json().detail[0]).toMatchObject({ type, loc: ["body"] });
    expect(response.body.length).toBeLessThan(1000);
  }
  expect(service.status().round_id).toBeNull();
});

test("numbers beyond a double are refused", async () => {
  const { post } = await testServer();
  const body = JSON.stringify({ ...INIT, r_target: 1 }).replace('"r_target":1', '"r_target":1e400');
  const response = await post("/init", body);
  expect(response.statusCode).toBe(422);
  expect(response.json().detail[0]).toMatchObject({
    type: "finite_number",
    loc: ["body", "r_target"],
  });
});

test("a byte order mark before the JSON is no fault", async () => {
  const { post } = await testServer();
  expect((await post("/init", `\ufeff${JSON.stringify(INIT)}`)).statusCode).toBe(200);
});

test("prototypes cannot be reached through a body", async () => {
  const { post, service } = await testServer();
  const body = `{"__proto__": {"polluted": 1}, "constructor": {"prototype": {"polluted": 1}},
    "params": {"__proto__": {"polluted": 1}, "seq_len": 32}, ${JSON.stringify(INIT).slice(1)}`;
  expect((await post("/init", body)).statusCode).toBe(200);
  expect(({} as { polluted?: number }).polluted).toBeUndefined();
  expect(Object.getPrototypeOf(service.status())).toBe(Object.prototype);
});

test("a deep value in a field that nobody reads is no fault", async () => {
  const { post } = await testServer();
  const body = `{"extra": ${deep}, ${JSON.stringify(INIT).slice(1)}`;
  expect((await post("/init", body)).statusCode).toBe(200);
});

test.each([
  ["application/json; charset=utf-8", 200],
  ["application/vnd.api+json", 200],
  ["APPLICATION/JSON", 200],
  ["", 200],
  ["text/plain", 422],
  ["application/x-www-form-urlencoded", 422],
  ["application/jsonp", 422],
  [";;;not a media type", 422],
])("content type %j answers %i", async (type, status) => {
  const { post } = await testServer();
  const response = await post("/init", INIT, { "content-type": type });
  expect(response.statusCode).toBe(status);
  if (status === 422) {
    expect(response.json().detail[0]).toMatchObject({
      type: "model_attributes_type",
      loc: ["body"],
      input: JSON.stringify(INIT),
    });
  }
});

test("a body without a content type counts as JSON", async () => {
  const { app } = await testServer();
  const response = await app.inject({
    method: "POST",
    url: "/api/v1/pow/init",
    payload: Buffer.from(JSON.stringify(INIT)),
  });
  expect(response.statusCode).toBe(200);
});

test("paths without a body look at neither body nor content type", async () => {
  const { post } = await testServer();
  await post("/init", INIT_GENERATE);
  for (const path of ["/phase/validate", "/phase/generate", "/stop"]) {
    for (const type of ["application/json", "text/plain", ";;;", "multipart/form-data"]) {
      const response = await post(path, '{"broken', { "content-type": type });
      expect([path, type, response.statusCode]).toEqual([path, type, 200]);
    }
    expect((await post(path)).statusCode).toBe(200);
    expect((await post(path, undefined, { "transfer-encoding": "chunked" })).statusCode).toBe(200);
  }
});

test("a body beyond the limit is 413", async () => {
  const { post } = await testServer();
  const response = await post("/init", `"${"x".repeat(1024 * 1024)}"`);
  expect(response.statusCode).toBe(413);
  expect(response.json()).toEqual({ detail: "Request body is too large" });
});

test("more nonces than allowed are 413, whatever the round", async () => {
  const { post } = await testServer();
  const nonces = Array.from({ length: 4097 }, (_, i) => i);
  const response = await post("/validate", { ...PROOF, nonces, dist: nonces });
  expect(response.statusCode).toBe(413);
  expect(response.json().detail).toContain("4097");
});

test("wrong methods are 405 and name the right ones, unknown paths are 404", async () => {
  const { app } = await testServer();
  const answer = async (method: "GET" | "POST" | "DELETE" | "OPTIONS" | "PUT", url: string) => {
    const response = await app.inject({
      method,
      url,
      ...(method === "PUT" ? { payload: "{", headers: { "content-type": ";;;" } } : {}),
    });
    return [response.statusCode, response.json(), response.headers.allow];
  };
  const notAllowed = { detail: "Method Not Allowed" };
  expect(await answer("GET", "/api/v1/pow/init")).toEqual([405, notAllowed, "POST"]);
  expect(await answer("PUT", "/api/v1/pow/validate?x=1")).toEqual([405, notAllowed, "POST"]);
  expect(await answer("DELETE", "/api/v1/pow/status")).toEqual([405, notAllowed, "GET, HEAD"]);
  expect(await answer("OPTIONS", "/health")).toEqual([405, notAllowed, "GET, HEAD"]);
  for (const url of ["/api/v1/pow", "/api/v1/pow/", "/api/v1/pow/nope", "/nope", "/%zz"]) {
    expect([url, ...(await answer("GET", url))]).toEqual([
      url,
      404,
      { detail: "Not Found", hint: expect.stringContaining("/docs") },
      undefined,
    ]);
    expect([url, ...(await answer("PUT", url))]).toEqual([
      url,
      404,
      { detail: "Not Found", hint: expect.stringContaining("/docs") },
      undefined,
    ]);
  }
});

test("a page of the finds, and what is no page", async () => {
  const { get } = await testServer();
  expect((await get("/api/v1/pow/status?since=5&limit=1")).statusCode).toBe(200);
  for (const query of [
    "since=-1",
    "limit=0",
    "since=x",
    "since=1.5",
    "since=1&since=2",
    "limit=",
  ]) {
    const response = await get(`/api/v1/pow/status?${query}`);
    expect([query, response.statusCode]).toEqual([query, 422]);
    expect(response.json().detail[0].loc).toEqual(["query", query.split("=")[0]]);
  }
  expect((await get("/api/v1/pow/status?__proto__=1&constructor=2")).statusCode).toBe(200);
});

test("while the model loads, status and stop answer and the others say so", async () => {
  const { post, get } = await testServer({ loaded: false });
  for (const path of [
    "/init",
    "/init/generate",
    "/init/validate",
    "/validate",
    "/phase/generate",
    "/phase/validate",
  ]) {
    const response = await post(path, "{broken");
    expect(response.statusCode).toBe(503);
    expect(response.json()).toEqual({ detail: "Model is loading" });
    expect(Number(response.headers["retry-after"])).toBeGreaterThan(0);
  }
  expect((await post("/stop")).json()).toMatchObject({
    pow_status: { is_model_initialized: false },
  });
  expect((await get("/api/v1/pow/status")).statusCode).toBe(200);
});

test("a runner that is lost: the round stops, its results stay", async () => {
  const { post, get, runner, detach } = await testServer();
  await post("/init/generate", { ...INIT_GENERATE, r_target: 3 });
  await runner.started(2);
  runner.hold();
  await nextTurn();
  runner.lose("killed");
  await nextTurn();
  detach(new Error("killed"));
  const status = (await get("/api/v1/pow/status")).json();
  expect(status.state).toBe("STOPPED");
  expect(status.total_valid).toBeGreaterThan(0);
  expect((await post("/phase/generate")).json()).toEqual({ detail: "Runner is not available" });
  expect((await get("/health")).statusCode).toBe(503);
});

test("a whole status grows with its round, and begins anew with the next", async () => {
  const { post, get, service } = await testServer();
  const body = async () => (await get("/api/v1/pow/status")).body;
  expect(await body()).toBe(JSON.stringify(service.status()));
  for (const block_hash of ["first", "second, \u00e9 \ud83d\ude00"]) {
    const response = await post("/init/generate", { ...INIT_GENERATE, block_hash, r_target: 1 });
    expect(response.statusCode).toBe(200);
    for (const finds of [0, 100, 1500]) {
      await vi.waitUntil(() => service.status().total_valid >= finds, { timeout: 20_000 });
      const { valid_nonces, valid_distances, total_valid } = JSON.parse(await body());
      const page = service.status({ limit: Math.max(total_valid, 1) });
      expect(valid_nonces).toEqual(page.valid_nonces.slice(0, total_valid));
      expect(valid_distances).toEqual(page.valid_distances.slice(0, total_valid));
    }
    await post("/stop");
    for (let i = 0; i < 2; i++) expect(await body()).toBe(JSON.stringify(service.status()));
  }
});

test("requests that come while the node closes are refused", async () => {
  const { post, get, service } = await testServer();
  await post("/init/generate", INIT_GENERATE);
  await service.close();
  expect((await post("/init", INIT)).json()).toEqual({ detail: "Server is shutting down" });
  expect((await get("/api/v1/pow/status")).json().state).toBe("STOPPED");
});
