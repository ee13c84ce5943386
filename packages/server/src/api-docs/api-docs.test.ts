/**
 * The API document says what the server does.
 *
 * By hand, with every change: `npx @redocly/cli@2 lint openapi.json` over what `/openapi.json`
 * answers, and `npx openapi-typescript@7`, a generator.
 */
import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { OPERATIONS, type OperationTable, SCOPES } from "@proofmill/core";
import type { FastifyInstance } from "fastify";
import { describe, expect, test } from "vitest";
import { z } from "zod";
import { OPEN_PATHS } from "../access/guard.ts";
import { digestOf } from "../access/keys.ts";
import { type TestServer, testServer } from "../test-support.ts";
import { describeApi } from "./document.ts";
import { type ApiExample, OVERSIZED, type Situation } from "./example.ts";
import { EXAMPLES, INIT } from "./examples.ts";
import { inferencePaths } from "./inference.ts";
import { INFERENCE_EXAMPLES } from "./inference-examples.ts";
import {
  type Answer,
  type JsonSchema,
  nameOf,
  type OpenApi,
  type Operation,
  type Reference,
  SCHEMAS,
} from "./openapi.ts";
import { renderPage } from "./page.ts";
import { commonAnswer } from "./refused.ts";

const DEFAULTS = { batch_size: 32, seq_len: 256 };

/** A server in that situation; what it then computes stands still, so that answers do too. */
const SITUATIONS: Record<Situation, (chats: boolean) => Promise<TestServer>> = {
  "PoC is off": (chats) => testServer({ chats, enabled: false }),
  "the model is loading": (chats) => testServer({ chats, loaded: false }),
  "the runner is gone": async (chats) => {
    const server = await testServer({ chats });
    server.detach(new Error("killed"));
    return server;
  },
  "the runner fails": async (chats) => {
    const server = await testServer({ chats });
    await server.post("/init/validate", INIT);
    server.runner.fail(new Error("no memory"), 2);
    return server;
  },
  "no round": (chats) => held(chats),
  searching: async (chats) => {
    const server = await held(chats);
    await server.post("/init/generate", INIT);
    return server;
  },
  validating: async (chats) => {
    const server = await testServer({ chats, distance: () => 1.375 });
    await server.post("/init/validate", INIT);
    return server;
  },
  stopped: async (chats) => {
    const server = await testServer({ chats, distance: () => 1.375 });
    await server.post("/init/generate", INIT);
    await server.runner.started(2);
    server.runner.hold();
    await server.post("/stop");
    for (let second = 0; second < 10; second++) server.history.tick();
    return server;
  },
  closing: async (chats) => {
    const server = await testServer({ chats });
    await server.service.close();
    return server;
  },
};

async function held(chats: boolean): Promise<TestServer> {
  const server = await testServer({ chats });
  server.runner.hold();
  return server;
}

const TABLE: Readonly<Record<string, { rest?: string }>> = {
  ...(OPERATIONS as OperationTable),
  ...inferencePaths("test-model"),
};
const CASES = Object.entries({ ...EXAMPLES, ...INFERENCE_EXAMPLES }).flatMap(
  ([name, { examples }]) =>
    examples.map((example, i) => ({
      key: TABLE[name]?.rest?.replace(/^\w+/, (method) => method.toLowerCase()) ?? name,
      example,
      chats: name in INFERENCE_EXAMPLES,
      name: `${name} ${example.status}, ${example.given} #${i}`,
    })),
);

function send(app: FastifyInstance, key: string, { body, query, path: other }: ApiExample) {
  const [method = "", known = ""] = key.split(" ");
  const path = other ?? known.replace("{id}", "test-model");
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
  test.each(CASES)("$name", async ({ key, example, chats }) => {
    const { app } = await SITUATIONS[example.given](chats);
    const response = await send(app, key, example);
    expect(response.statusCode).toBe(example.status);
    const answer = response.json();
    if (example.status === 200) expect(shapeOf(answer)).toEqual(shapeOf(example.answer));
    else expect(answer).toEqual(example.answer);
  });
});

test("each operation is refused as the document says: without a key, without its scope, too often", async () => {
  const keys = SCOPES.map((scope) => ({
    ...{ label: scope, scopes: [scope], digest: digestOf(scope) },
  }));
  const [server, limited] = await Promise.all([
    testServer({ chats: true, keys }),
    testServer({ chats: true, keys, maxRequestsPerSecond: 1 }),
  ]);
  const bearer = (key: string) => ({ authorization: `Bearer ${key}` });
  // Many calls at once are taken, and owed for a while.
  const many = `/trpc/${Array.from({ length: 60 }, () => "pow.stop").join()}?batch=1`;
  await limited.app.inject({ url: many, headers: bearer("read") });
  const document = (
    await server.app.inject({ url: "/openapi.json", headers: bearer("read") })
  ).json() as OpenApi;
  for (const { key, operation } of operationsOf(document)) {
    const [method = "", url = ""] = key.split(" ");
    const common = Object.entries(operation.responses).filter(([, answer]) => "$ref" in answer);
    const statuses = common.map(([status]) => status).filter((status) => status !== "default");
    expect([key, statuses]).toEqual([key, OPEN_PATHS.has(url) ? [] : ["401", "403", "429"]]);
    const scope = Object.values(operation.security?.[0] ?? {})[0]?.[0] ?? "";
    const other = scope === "read" ? "inference" : "read";
    const answers = {
      "401": () => server.app.inject({ method: method as "get", url }),
      "403": () => server.app.inject({ method: method as "get", url, headers: bearer(other) }),
      "429": () => limited.app.inject({ method: method as "get", url, headers: bearer("read") }),
    };
    for (const status of statuses as (keyof typeof answers)[]) {
      const { content } = commonAnswer(operation.responses[status] as Reference) ?? {};
      const { examples = {}, schema } = content?.["application/json"] ?? {};
      const example = examples[`without-${scope}`] ?? Object.values(examples)[0];
      const answer = await answers[status]();
      expect([key, answer.statusCode, answer.json()]).toEqual([key, +status, example?.value]);
      readable(schema, document).parse(example?.value);
    }
  }
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
      for (const [status, answer] of Object.entries(operation.responses)) {
        if ("$ref" in answer) continue; // what all operations have in common
        expect([key, status, answer.description]).not.toEqual([key, status, ""]);
        const { schema, examples = {} } = answer.content?.["application/json"] ?? {};
        expect([key, status, Object.keys(examples).length]).not.toContain(0);
        const fits = readable(schema, document);
        for (const { value } of Object.values(examples)) {
          expect([key, status, fits.safeParse(value).error]).toEqual([key, status, undefined]);
          seen.push(`${key} ${status}`);
        }
      }
    }
    // None is left out for want of a place.
    expect(seen.sort()).toEqual(CASES.map(({ key, example }) => `${key} ${example.status}`).sort());
  });

  test("has an example of every body and of every callback's, which fit", async () => {
    const document = await documentOf();
    const callbacks = Object.values(document.components?.callbacks ?? {}).flatMap((paths) =>
      Object.entries(paths).map(([key, { post }]) => ({ key, operation: post as Operation })),
    );
    expect(callbacks.map(({ key }) => key)).toEqual([
      "{$request.body#/callback_url}/generated",
      "{$request.body#/callback_url}/validated",
    ]);
    for (const { key, operation } of [...operationsOf(document), ...callbacks]) {
      if (!operation.requestBody) continue;
      const { schema, examples = {} } = operation.requestBody.content["application/json"] ?? {};
      expect([key, Object.keys(examples).length]).toEqual([key, 1]);
      for (const { value } of Object.values(examples)) readable(schema, document).parse(value);
    }
  });

  test("names every object once, and refers to it by its name", async () => {
    const document = await documentOf();
    const text = JSON.stringify(document);
    const names = Object.keys(document.components?.schemas ?? {});
    expect(names).toEqual(expect.arrayContaining(["Status", "InitRequest", "GeneratedBatch"]));
    const referred = [...text.matchAll(/"#\/components\/schemas\/(\w+)"/g)].map(([, name]) => name);
    expect([...new Set(referred)].sort()).toEqual(names.toSorted());
    const bodies = operationsOf(document).flatMap(({ operation }) => [
      operation.requestBody?.content,
      ...Object.values(operation.responses).map((answer) => "content" in answer && answer.content),
    ]);
    for (const content of bodies.filter(Boolean)) {
      expect(content).toMatchObject({
        "application/json": { schema: { $ref: expect.any(String) } },
      });
    }
    expect(document.paths?.["/api/v1/pow/init"]?.post?.callbacks).toEqual({
      generated: { $ref: "#/components/callbacks/generated" },
      validated: { $ref: "#/components/callbacks/validated" },
    });
  });

  test("says what key an operation needs, where the node has keys", async () => {
    const open = await documentOf();
    const locked = describeApi({ operations: OPERATIONS, defaults: DEFAULTS, isLocked: true });
    expect(open.paths?.["/api/v1/pow/stop"]?.post?.security).toEqual([{}, { key: ["admin"] }]);
    expect(locked.paths?.["/api/v1/pow/stop"]?.post?.security).toEqual([{ key: ["admin"] }]);
    expect(locked.paths?.["/livez"]?.get?.security).toEqual([{}, { key: ["read"] }]);
    const page = renderPage(locked, "https://node.example");
    expect(page).toContain(
      `<pre class="curl" tabindex="0">curl -X POST 'https://node.example/api/v1/pow/stop' \\\n  ` +
        "-H &quot;Authorization: Bearer $PROOFMILL_API_KEY&quot;</pre>",
    );
    expect(page).toContain(
      `<pre class="curl" tabindex="0">curl 'https://node.example/livez'</pre>`,
    );
  });

  test("is OpenAPI 3.1 with a name for every operation", async () => {
    const document = await documentOf();
    expect(document).toMatchObject({
      openapi: "3.1.0",
      info: { title: "proofmill", license: { identifier: "Apache-2.0" } },
      servers: [{ url: "/" }],
    });
    const ids = operationsOf(document).map(({ operation }) => operation.operationId);
    expect(new Set(ids).size).toBe(ids.length);
    expect(ids).not.toContain(undefined);
  });

  test("is completed once, however often it is asked for", async () => {
    const { get } = await testServer({ chats: true });
    const first = (await get("/openapi.json")).body;
    await get("/docs");
    expect((await get("/openapi.json")).body).toBe(first);
  });
});

test("events of a stream are as the document says", async () => {
  const { app } = await testServer({ chats: true });
  const document = (await app.inject({ url: "/openapi.json" })).json() as OpenApi;
  const chat = { messages: [{ role: "user", content: "Hello" }], logprobs: true, top_logprobs: 1 };
  const text = { prompt: ["a", "b"], logprobs: 1, echo: false };
  for (const [url, body] of [
    ["/v1/chat/completions", chat],
    ["/v1/chat/completions", { ...chat, logprobs: false, top_logprobs: 0, n: 2 }],
    ["/v1/completions", text],
  ] as const) {
    const answer = document.paths?.[url]?.post?.responses["200"] as Answer;
    const fits = readable(answer.content?.["text/event-stream"]?.schema, document);
    const more = { max_tokens: 5, stream: true, stream_options: { include_usage: true } };
    const payload = { ...body, ...more, return_token_ids: true };
    const { body: sent } = await app.inject({ method: "POST", url, payload });
    const events = sent
      .trimEnd()
      .split("\n\n")
      .map((event) => event.replace(/^data: /, ""));
    expect(events.at(-1)).toBe("[DONE]");
    expect(events.length).toBeGreaterThan(5);
    for (const event of events.slice(0, -1)) fits.parse(JSON.parse(event));
  }
});

describe("the page", () => {
  test("shows every path, field, status and example, and runs no script", async () => {
    const { get } = await testServer({ chats: true });
    const document = await documentOf();
    const response = await get("/docs");
    expect(response.statusCode).toBe(200);
    expect(response.headers["content-type"]).toBe("text/html; charset=utf-8");
    expect(response.headers["content-security-policy"]).toMatch(/^default-src 'none';/);
    const page = response.body;
    for (const { key, operation } of operationsOf(document)) {
      const [method = "", path = ""] = key.split(" ");
      expect(page).toContain(`<b class="method">${method.toUpperCase()}</b><code>${path}</code>`);
      expect(page).toContain(operation.summary);
    }
    for (const name of ["block_hash", "params.seq_len", "since", "data[].id", "received_dist"]) {
      expect(page).toContain(`<code>${name}</code>`);
    }
    expect(count(page, "<code>fraud_threshold</code>")).toBe(3); // InitRequest and two answers
    for (const [, anchor] of page.matchAll(/href="#([^"]*)"/g)) {
      expect(count(page, ` id="${anchor}"`)).toBe(1);
    }
    expect(count(page, "<table>")).toBe(count(page, '<div class="wide"'));
    expect(page).toContain("&quot;detail&quot;: &quot;Round already in progress&quot;");
    expect(page).toContain("&quot;nonces&quot;: [170, 241],\n");
    expect(page).toContain("integer ≥ 1, ≤ 1024");
    expect(page).not.toMatch(/<script|https?:\/\/(?!aggregator|localhost)|undefined|\[object/);
    expect(count(page, "<details>")).toBe(count(page, "</details>"));
  });

  test("its curl lines do what the examples say", async (context) => {
    const { app, get } = await testServer({ chats: true });
    const url = await app.listen({ host: "127.0.0.1", port: 0 });
    const page = await (await fetch(`${url}/docs`)).text();
    const lines = [...page.matchAll(/<pre class="curl" tabindex="0">(.*?)<\/pre>/gs)].map(
      ([, line = ""]) =>
        line.replaceAll("&quot;", '"').replaceAll("&lt;", "<").replaceAll("&amp;", "&"),
    );
    expect(lines).toHaveLength(operationsOf((await get("/openapi.json")).json()).length);
    for (const line of lines) {
      const { stdout } = await promisify(execFile)("sh", [
        "-c",
        `${line} -s -w '%{http_code}'`,
      ]).catch((error) =>
        error.code === 127 ? context.skip("there is no curl here") : Promise.reject(error),
      );
      // Which refusals come is the situation's: what is sent is right, and taken where it is meant.
      expect([line, stdout.slice(-3)]).toEqual([line, expect.stringMatching(/200|400|503/)]);
    }
  });

  test("names the address by which it was found, whatever that is", async () => {
    const { app } = await testServer({ chats: true });
    const headers = { host: "a'b:81" };
    const { statusCode, body } = await app.inject({ url: "/docs", headers });
    expect(statusCode).toBe(200);
    expect(body).toContain(String.raw`curl 'http://a'\''b:81/livez'`);
    expect((await app.inject({ url: "/docs" })).body).toContain("curl 'http://localhost:80/livez'");
  });

  test("escapes what the document says", () => {
    const hostile = `<img src=x onerror="alert(1)">&`;
    const schema = {
      properties: { [hostile]: { type: hostile, description: hostile, default: hostile } },
    };
    const content = {
      [hostile]: { schema, examples: { x: { summary: hostile, value: hostile } } },
    };
    const operation = {
      summary: hostile,
      tags: [hostile],
      security: [{ key: [hostile] }],
      parameters: [{ name: hostile, in: "query", schema: { type: hostile, enum: [hostile] } }],
      requestBody: { content: { "application/json": { schema: { $ref: hostile } }, ...content } },
      responses: { [hostile]: { description: hostile, content } },
    };
    const page = renderPage(
      {
        openapi: "3.1.0",
        info: { title: hostile, version: hostile, description: hostile },
        paths: { [`/${hostile}`]: { [hostile]: operation } },
        components: {
          schemas: { [hostile]: schema, other: { anyOf: [{ $ref: `${SCHEMAS}${hostile}` }] } },
          callbacks: { [hostile]: { [hostile]: { post: operation } } },
          securitySchemes: { key: { description: hostile } },
        },
      },
      hostile,
    );
    expect(page).not.toContain("<img");
    expect(page).not.toContain('"alert');
    expect(page).toContain("&lt;img src=x onerror=&quot;alert(1)&quot;&gt;&amp;");
  });
});

async function documentOf(): Promise<OpenApi> {
  const { get } = await testServer({ chats: true });
  return (await get("/openapi.json")).json();
}

/** What reads what the schema describes. */
function readable(schema: JsonSchema | undefined, { components }: OpenApi): z.ZodType {
  expect(schema && nameOf(schema)).toBeDefined();
  const whole = { ...schema, $defs: components?.schemas };
  return z.fromJSONSchema(JSON.parse(JSON.stringify(whole).replaceAll(SCHEMAS, "#/$defs/")));
}

function operationsOf(document: OpenApi): { key: string; operation: Operation }[] {
  return Object.entries(document.paths ?? {}).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]) => ({ key: `${method} ${path}`, operation })),
  );
}

function count(text: string, part: string): number {
  return text.split(part).length - 1;
}
