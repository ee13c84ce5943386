/**
 * The API document says what the server does.
 *
 * By hand, with every change: `npx @redocly/cli@2 lint openapi.json` over what `/openapi.json`
 * answers. It finds no error, and warns only of the four operations that have no 4xx answer.
 */
import { OPERATIONS, type OperationTable } from "@proofmill/core";
import type { FastifyInstance } from "fastify";
import { describe, expect, test } from "vitest";
import { z } from "zod";
import { type TestServer, testServer } from "../test-support.ts";
import type { OpenApi, Operation } from "./document.ts";
import { type ApiExample, EXAMPLES, INIT, OVERSIZED, type Situation } from "./examples.ts";
import { renderPage } from "./page.ts";

/** A server in that situation; what it then computes stands still, so that answers do too. */
const SITUATIONS: Record<Situation, () => Promise<TestServer>> = {
  "PoC is off": () => testServer({ enabled: false }),
  "the model is loading": () => testServer({ loaded: false }),
  "the runner is gone": async () => {
    const server = await testServer();
    server.detach(new Error("killed"));
    return server;
  },
  "the runner fails": async () => {
    const server = await testServer();
    await server.post("/init/validate", INIT);
    server.runner.fail(new Error("no memory"), 2);
    return server;
  },
  "no round": () => held(),
  searching: async () => {
    const server = await held();
    await server.post("/init/generate", INIT);
    return server;
  },
  validating: async () => {
    const server = await testServer({ distance: () => 1.375 });
    await server.post("/init/validate", INIT);
    return server;
  },
  stopped: async () => {
    const server = await testServer({ distance: () => 1.375 });
    await server.post("/init/generate", INIT);
    await server.runner.started(2);
    server.runner.hold();
    await server.post("/stop");
    return server;
  },
  closing: async () => {
    const server = await testServer();
    await server.service.close();
    return server;
  },
};

async function held(): Promise<TestServer> {
  const server = await testServer();
  server.runner.hold();
  return server;
}

const TABLE: OperationTable = OPERATIONS;
const CASES = Object.entries(EXAMPLES).flatMap(([name, { examples }]) =>
  examples.map((example, i) => ({
    key: TABLE[name]?.rest?.replace(/^\w+/, (method) => method.toLowerCase()) ?? name,
    example,
    name: `${name} ${example.status}, ${example.given} #${i}`,
  })),
);

function send(app: FastifyInstance, key: string, { body, query }: ApiExample) {
  const [method = "", path = ""] = key.split(" ");
  const payload = body === OVERSIZED ? `"${"x".repeat(2 ** 20)}"` : body;
  return app.inject({
    method: method === "post" ? "POST" : "GET",
    url: query === undefined ? path : `${path}?${query}`,
    ...(payload === undefined
      ? {}
      : {
          payload: typeof payload === "string" ? payload : JSON.stringify(payload),
          headers: { "content-type": "application/json" },
        }),
  });
}

describe("each example is what the server answers", () => {
  test.each(CASES)("$name", async ({ key, example }) => {
    const { app } = await SITUATIONS[example.given]();
    const response = await send(app, key, example);
    expect(response.statusCode).toBe(example.status);
    const answer = response.json();
    if (example.status === 200) expect(shapeOf(answer)).toEqual(shapeOf(example.answer));
    else expect(answer).toEqual(example.answer);
  });
});

/** Names and types; of a list those of its items. States and the like must be the same. */
function shapeOf(value: unknown, name = ""): unknown {
  if (Array.isArray(value)) {
    const shapes = value.map((item) => JSON.stringify(shapeOf(item)));
    return [...new Set(shapes)].sort();
  }
  if (typeof value === "object" && value !== null) {
    const fields = Object.entries(value).map(([key, field]) => [key, shapeOf(field, key)]);
    return Object.fromEntries(fields);
  }
  if (["state", "status", "object", "block_hash", "version"].includes(name)) return value;
  return value === null ? null : typeof value;
}

describe("the document", () => {
  test("has an example of every status of every operation, and each fits its schema", async () => {
    const document = await documentOf();
    const seen: string[] = [];
    for (const { key, operation } of operationsOf(document)) {
      for (const [status, { description, content }] of Object.entries(operation.responses)) {
        expect([key, status, description]).not.toContain("Default Response");
        const { schema, examples = {} } = content?.["application/json"] ?? {};
        expect([key, status, Object.keys(examples).length]).not.toContain(0);
        const fits = z.fromJSONSchema(schema as Parameters<typeof z.fromJSONSchema>[0]);
        for (const { value } of Object.values(examples)) {
          expect([key, status, fits.safeParse(value).error]).toEqual([key, status, undefined]);
          seen.push(`${key} ${status}`);
        }
      }
    }
    // None is left out for want of a place.
    expect(seen.sort()).toEqual(CASES.map(({ key, example }) => `${key} ${example.status}`).sort());
  });

  test("has an example of every body, which fits", async () => {
    const document = await documentOf();
    for (const { key, operation } of operationsOf(document)) {
      if (!operation.requestBody) continue;
      const { schema, examples = {} } = operation.requestBody.content["application/json"] ?? {};
      expect([key, Object.keys(examples).length]).toEqual([key, 1]);
      const fits = z.fromJSONSchema(schema as Parameters<typeof z.fromJSONSchema>[0]);
      for (const { value } of Object.values(examples)) fits.parse(value);
    }
  });

  test("is OpenAPI 3.1 with a name for every operation", async () => {
    const document = await documentOf();
    expect(document).toMatchObject({
      openapi: "3.1.0",
      info: { title: "proofmill", license: { identifier: "Apache-2.0" } },
      servers: [{ url: "/" }],
      security: [],
    });
    const ids = operationsOf(document).map(({ operation }) => operation.operationId);
    expect(new Set(ids).size).toBe(ids.length);
    expect(ids).not.toContain(undefined);
  });

  test("is completed once, however often it is asked for", async () => {
    const { get } = await testServer();
    const first = (await get("/openapi.json")).body;
    await get("/docs");
    expect((await get("/openapi.json")).body).toBe(first);
  });
});

describe("the page", () => {
  test("shows every path, field, status and example, and runs no script", async () => {
    const { get } = await testServer();
    const document = await documentOf();
    const response = await get("/docs");
    expect(response.statusCode).toBe(200);
    expect(response.headers["content-type"]).toBe("text/html; charset=utf-8");
    expect(response.headers["content-security-policy"]).toMatch(/^default-src 'none';/);
    const page = response.body;
    for (const { key, operation } of operationsOf(document)) {
      const [method = "", path = ""] = key.split(" ");
      expect(page).toContain(`<b>${method.toUpperCase()}</b><code>${path}</code>`);
      expect(page).toContain(operation.summary);
    }
    for (const name of ["block_hash", "params.seq_len", "pow_status.state", "since", "data[].id"]) {
      expect(page).toContain(`<code>${name}</code>`);
    }
    expect(page).toContain("&quot;detail&quot;: &quot;Round already in progress&quot;");
    expect(page).toContain("integer ≥ 1, ≤ 1024");
    expect(page).not.toMatch(
      /<script|https?:\/\/(?!aggregator)|Default Response|undefined|\[object/,
    );
    expect(count(page, "<details>")).toBe(count(page, "</details>"));
  });

  test("escapes what the document says", () => {
    const hostile = `<img src=x onerror="alert(1)">&`;
    const page = renderPage({
      openapi: "3.1.0",
      info: { title: hostile, version: hostile, description: hostile },
      paths: {
        [`/${hostile}`]: {
          get: {
            summary: hostile,
            tags: [hostile],
            parameters: [
              { name: hostile, in: "query", schema: { type: hostile, enum: [hostile] } },
            ],
            responses: {
              200: {
                description: hostile,
                content: {
                  [hostile]: {
                    schema: {
                      properties: { [hostile]: { description: hostile, default: hostile } },
                    },
                    examples: { x: { summary: hostile, value: hostile } },
                  },
                },
              },
            },
          },
        },
      },
    });
    expect(page).not.toContain("<img");
    expect(page).toContain("&lt;img src=x onerror=&quot;alert(1)&quot;&gt;&amp;");
  });
});

async function documentOf(): Promise<OpenApi> {
  const { get } = await testServer();
  return (await get("/openapi.json")).json();
}

function operationsOf(document: OpenApi): { key: string; operation: Operation }[] {
  return Object.entries(document.paths ?? {}).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]) => ({ key: `${method} ${path}`, operation })),
  );
}

function count(text: string, part: string): number {
  return text.split(part).length - 1;
}
