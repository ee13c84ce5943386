/** Paths as a broker writes them lead where they would without a prefix; others stay as they are. */
import { expect, test } from "vitest";
import { testServer } from "../test-support.ts";
import { prefixStripper } from "./prefixes.ts";

const any = prefixStripper({ versions: null, basePath: "" });
const one = prefixStripper({ versions: ["v3.0.13", "v3.0.14"], basePath: "/node-1/a" });

test.each([
  ["/api/v1/state", "/api/v1/state"],
  ["/v3.0.8/api/v1/state", "/api/v1/state"],
  ["/v3.0.8/v1/models?a=/v1/b", "/v1/models?a=/v1/b"],
  ["/anything/health", "/health"],
  ["/x/livez", "/livez"],
  ["/x/readyz?y", "/readyz?y"],
  // What is ours is no version, two segments are none, and nothing else stands behind one.
  ["/api/api/v1/state", "/api/api/v1/state"],
  ["/v1/api/v1/state", "/v1/api/v1/state"],
  ["/trpc/api/v1/state", "/trpc/api/v1/state"],
  ["/a/b/api/v1/state", "/a/b/api/v1/state"],
  ["/v3.0.8/metrics", "/v3.0.8/metrics"],
  ["/v3.0.8/health/more", "/v3.0.8/health/more"],
  ["/v3.0.8/", "/v3.0.8/"],
  ["//api/v1/state", "//api/v1/state"],
  ["", ""],
])("any version: %s", (target, expected) => {
  expect(any(target)).toBe(expected);
});

test.each([
  ["/v3.0.13/node-1/a/api/v1/state", "/api/v1/state"],
  ["/v3.0.14/api/v1/state", "/api/v1/state"],
  ["/node-1/a/v1/models", "/v1/models"],
  ["/api/v1/state", "/api/v1/state"],
  ["/v3.0.15/api/v1/state", "/v3.0.15/api/v1/state"],
  ["/v3.0.15/node-1/a/health", "/v3.0.15/node-1/a/health"],
  ["/v3.0.13/node-2/a/health", "/v3.0.13/node-2/a/health"],
  ["/node-1/a/v3.0.13/health", "/node-1/a/v3.0.13/health"],
])("some versions and a base path: %s", (target, expected) => {
  expect(one(target)).toBe(expected);
});

test("a node says the first of its versions, answers under each, and knows no other", async () => {
  const prefixes = { versions: ["v3.0.13", "v3.0.14"], basePath: "/node-1" };
  const { get, app } = await testServer({ protocol: "both", prefixes });
  for (const path of ["/api/v1/state", "/v3.0.13/node-1/api/v1/state", "/v3.0.14/api/v1/state"]) {
    expect((await get(path)).json()).toMatchObject({ version: "v3.0.13", state: "INFERENCE" });
  }
  expect((await get("/v3.0.15/api/v1/state")).statusCode).toBe(404);
  expect((await get("/v3.0.13/node-1/health")).statusCode).toBe(200);
  const stopped = await app.inject({ method: "POST", url: "/v3.0.13/node-1/api/v1/stop" });
  expect(stopped.json()).toEqual({ status: "OK" });
  expect((await get("/node-1/api/v1/state")).json()).toMatchObject({ state: "STOPPED" });
});

test("a node for rounds of distances alone takes no prefix", async () => {
  const { get } = await testServer({ protocol: "v1" });
  expect((await get("/v3.0.13/health")).statusCode).toBe(404);
});
