import { expect, test } from "vitest";
import { INIT, INIT_GENERATE, type TestServer, testServer } from "../test-support.ts";
import { isInferencePath } from "./gate.ts";

const REFUSAL = {
  detail: "PoC in progress",
  error: {
    message: "PoC in progress",
    type: "service_unavailable",
    param: null,
    code: "poc_in_progress",
  },
};

async function statusOf({ app }: TestServer, method: "GET" | "POST", url: string) {
  return (await app.inject({ method, url })).statusCode;
}

test("every /v1 request is refused while a round is active, known path or not", async () => {
  const server = await testServer();
  await server.post("/init/generate", INIT_GENERATE);
  for (const [method, url] of [
    ["GET", "/v1/models"],
    ["POST", "/v1/chat/completions"],
    ["GET", "/v1/nope?x=1"],
    ["POST", "/v1/models"],
    ["GET", "/%761/models"],
    ["GET", "/v1/%zz"],
  ] as const) {
    const response = await server.app.inject({ method, url });
    expect([url, response.statusCode, response.json()]).toEqual([url, 503, REFUSAL]);
    expect(Number(response.headers["retry-after"])).toBeGreaterThan(0);
  }
  expect(await statusOf(server, "GET", "/health")).toBe(200);
  expect(await statusOf(server, "GET", "/v2/models")).toBe(404);
});

test("it opens when the round stops, and stays open while there is none", async () => {
  const server = await testServer();
  expect(await statusOf(server, "GET", "/v1/models")).toBe(200);
  await server.post("/init", INIT);
  expect(await statusOf(server, "GET", "/v1/models")).toBe(200);
  await server.post("/init/validate", INIT);
  expect(await statusOf(server, "GET", "/v1/models")).toBe(503);
  await server.post("/stop");
  expect(await statusOf(server, "GET", "/v1/models")).toBe(200);
  expect(await statusOf(server, "POST", "/v1/chat/completions")).toBe(404);
});

test("inference while VALIDATING can be allowed, while GENERATING it cannot", async () => {
  const server = await testServer({ allowInferenceWhileValidating: true });
  await server.post("/init/generate", INIT_GENERATE);
  expect(await statusOf(server, "GET", "/v1/models")).toBe(503);
  await server.post("/phase/validate");
  expect(await statusOf(server, "GET", "/v1/models")).toBe(200);
});

test.each([
  ["/v1/x", true],
  ["/v1/", true],
  ["/%76%31/x", true],
  ["/v1%2fx", true],
  ["http://host:8000/v1/x", true],
  ["/v1", false],
  ["/v10/x", false],
  ["/x?/v1/", false],
  ["/x/v1/y", false],
])("%s lies under /v1/: %s", (target, expected) => {
  expect(isInferencePath(target)).toBe(expected);
});
