/**
 * The API document says what the server does.
 *
 * By hand, with every change: `npx @redocly/cli@2 lint openapi.json` over what `/openapi.json`
 * answers, and `npx openapi-typescript@7`, a generator.
 */

import { execFile } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { BROKER_OPERATIONS, OPERATIONS, SCOPES } from "@proofmill/core";
import { lacking, skipped } from "@proofmill/core/testing";
import { describe, expect, onTestFinished, test, vi } from "vitest";
import { z } from "zod";
import { OPEN_PATHS } from "../access/guard.ts";
import { digestOf } from "../access/keys.ts";
import { PROTOCOLS, type Protocol } from "../settings/config.ts";
import { type TestServer, testServer } from "../test-support.ts";
import { ARTIFACT_ROUND, JUDGED } from "./artifact-examples.ts";
import { describeApi } from "./document.ts";
import {
  type ApiExample,
  EXAMPLE_JOB,
  EXAMPLE_MODEL,
  EXAMPLE_PORT,
  OVERSIZED,
  replaced,
  type Situation,
} from "./example.ts";
import { INIT } from "./examples.ts";
import { inferencePaths } from "./inference.ts";
import { INFERENCE_EXAMPLES } from "./inference-examples.ts";
import { offeredBy } from "./offered.ts";
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

type Options = Parameters<typeof testServer>[0];
type Made = (options: Options) => Promise<TestServer>;

/** A server in that situation; what it then computes stands still, so that answers do too. */
const SITUATIONS: Record<Situation, Made> = {
  "PoC is off": (options) => testServer({ ...options, enabled: false }),
  "the model is loading": (options) => testServer({ ...options, loaded: false }),
  "the runner is gone": async (options) => {
    const server = await testServer(options);
    server.detach(new Error("killed"));
    return server;
  },
  "the runner fails": async (options) => {
    const server = await testServer(options);
    await server.post("/init/validate", INIT);
    server.runner.fail(new Error("no memory"), 2);
    return server;
  },
  "no round": (options) => held(options),
  searching: async (options) => {
    const server = await held(options);
    await server.post("/init/generate", INIT);
    return server;
  },
  validating: async (options) => {
    const server = await testServer({ ...options, distance: () => 1.375 });
    await server.post("/init/validate", INIT);
    return server;
  },
  stopped: async (options) => {
    const server = await testServer({ ...options, distance: () => 1.375 });
    await server.post("/init/generate", INIT);
    await server.runner.started(2);
    server.runner.hold();
    await server.post("/stop");
    for (let second = 0; second < 10; second++) server.history.tick();
    return server;
  },
  closing: async (options) => {
    const server = await testServer(options);
    await server.service.close();
    return server;
  },
  "artifacts are generated": async (options) => {
    const server = await held(options);
    await server.post("/init/generate", ROUND);
    return withJob(server);
  },
  "a job has ended": async (options) => {
    const server = await withJob(await testServer(options));
    const { artifacts } = server.service;
    await vi.waitUntil(() => artifacts.jobs().jobs[0]?.status === "completed");
    return server;
  },
  "the queue is full": async (options) => {
    const server = await held(options);
    const nonces = Array.from({ length: 100_000 }, (_, i) => i);
    await server.service.artifacts.generate({ ...ROUND, nonces });
    return server;
  },
  "stopped by the broker": async (options) => {
    const server = await testServer(options);
    await server.app.inject({ method: "POST", url: "/api/v1/stop" });
    return server;
  },
  "a GPU is there": async (options) => {
    const folder = mkdtempSync(join(tmpdir(), "proofmill-"));
    onTestFinished(() => rmSync(folder, { recursive: true }));
    const lines = ["DRIVER version : 580.95", "CUDA Version : 13.0", "NVML version : 580.95"];
    const program = lines.map((line) => `echo "${line}"`).join("\n");
    writeFileSync(join(folder, "nvidia-smi"), `#!/bin/sh\n${program}\n`, { mode: 0o755 });
    vi.stubEnv("PATH", `${folder}:${process.env.PATH}`);
    onTestFinished(() => void vi.unstubAllEnvs());
    return testServer(options);
  },
};

const MODEL = "test-model";
const ROUND = replaced(ARTIFACT_ROUND, EXAMPLE_MODEL, MODEL);

async function held(options: Options): Promise<TestServer> {
  const server = await testServer(options);
  server.runner.hold();
  return server;
}

/** Jobs have no names that an example could know. */
const jobs = new WeakMap<TestServer, string>();

async function withJob(server: TestServer): Promise<TestServer> {
  const job = replaced(JUDGED, EXAMPLE_MODEL, MODEL);
  jobs.set(server, (await server.service.artifacts.generate(job)).request_id);
  return server;
}

function casesOf(protocol: Protocol) {
  const offered = offeredBy(protocol);
  const operations: Record<string, { rest?: string; success?: number | null }> = {
    ...offered.operations,
    ...inferencePaths(MODEL),
  };
  const examples = { ...offered.examples, ...INFERENCE_EXAMPLES };
  return Object.entries(operations).flatMap(([name, { rest, success = 200 }]) =>
    (rest ? (examples[name]?.examples ?? []) : []).map((example, i) => ({
      ...{ key: (rest ?? "").replace(/^\w+/, (method) => method.toLowerCase()), success },
      chats: name in INFERENCE_EXAMPLES,
      example: replaced(example, EXAMPLE_MODEL, MODEL),
      name: `${name} ${example.status}, ${example.given} #${i}`,
    })),
  );
}

function send({ app }: TestServer, key: string, { body, query, path = {} }: ApiExample) {
  const [method = "", url = ""] = key.split(" ");
  const asked = Object.entries({ id: MODEL, ...path }).reduce(
    (text, [name, value]) => text.replace(`{${name}}`, encodeURIComponent(value)),
    url,
  );
  const tooMany = LONGEST[/\/pow\/generate$/.test(url) ? "job" : "other"];
  const payload = body === OVERSIZED ? `"${"x".repeat(tooMany)}"` : body;
  return app.inject({
    method: method.toUpperCase() as "GET",
    url: query === undefined ? asked : `${asked}?${query}`,
    ...(payload === undefined
      ? {}
      : {
          payload: typeof payload === "string" ? payload : JSON.stringify(payload),
          headers: { "content-type": "application/json" },
        }),
  });
}

/** Bytes that are too many: for jobs, and for all else. */
const LONGEST = { job: 13 * 2 ** 20, other: 2 ** 20 };

/** A node for artifacts alone has no others than one for both, whose chats are like any. */
const played = (protocol: Protocol) =>
  casesOf(protocol).filter(({ chats }) => protocol === "v1" || !chats);

describe.each(["v1", "both"] as const)(
  "%s: each example is what the server answers",
  (protocol) => {
    test.each(played(protocol))("$name", async ({ key, success, chats, example: shown }) => {
      const server = await SITUATIONS[shown.given]({ protocol, chats });
      // The node does not listen, and has made its own job.
      const known = replaced(shown, `${EXAMPLE_PORT}:`, "0:");
      const isFound = shown.status !== 404;
      const job = isFound ? (jobs.get(server) ?? EXAMPLE_JOB) : EXAMPLE_JOB;
      const example = replaced(known, EXAMPLE_JOB, job);
      const response = await send(server, key, example);
      expect([response.statusCode, response.body]).toEqual([example.status, expect.anything()]);
      if (typeof example.answer === "string") {
        return expect(response.body.startsWith(example.answer)).toBe(true);
      }
      const text = response.body.replaceAll('"port":0', `"port":${EXAMPLE_PORT}`);
      const answer = JSON.parse(text);
      if (example.status === success) expect(shapeOf(answer)).toEqual(shapeOf(example.answer));
      else expect(answer).toEqual(example.answer);
    });
  },
);

test("each operation is refused as the document says: without a key, without its scope, too often", async () => {
  const keys = SCOPES.map((scope) => ({
    ...{ label: scope, scopes: [scope], digest: digestOf(scope) },
  }));
  const [server, limited] = await Promise.all([
    testServer({ protocol: "both", chats: true, keys }),
    testServer({ protocol: "both", chats: true, keys, maxRequestsPerSecond: 1 }),
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
    const hasOwn = "429" in operation.responses && !statuses.includes("429"); // a queue's
    const expected = ["401", "403", ...(hasOwn ? [] : ["429"])];
    expect([key, statuses]).toEqual([key, OPEN_PATHS.has(url) ? [] : expected]);
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
    // Those of a completion have tokens for names.
    const hasTokens = (item: object) => name === "top_logprobs" && !("token" in item);
    const items = value.map((item) => (hasTokens(item) ? Object.values(item) : item));
    const shapes = items.map((item) => JSON.stringify(shapeOf(item)));
    return [...new Set(shapes)].sort();
  }
  if (typeof value === "object" && value !== null) {
    const fields = Object.entries(value).map(([key, field]) => [key, shapeOf(field, key)]);
    return Object.fromEntries(fields);
  }
  if (["state", "status", "object", "block_hash", "version"].includes(name)) return value;
  return value === null ? null : typeof value;
}

describe.each(PROTOCOLS)("the document of %s", (protocol) => {
  test("has an example of every status of every operation, and each fits its schema", async () => {
    const document = await documentOf(protocol);
    const seen: string[] = [];
    for (const { key, operation } of operationsOf(document)) {
      for (const [status, answer] of Object.entries(operation.responses)) {
        if ("$ref" in answer) continue; // what all operations have in common
        expect([key, status, answer.description]).not.toEqual([key, status, ""]);
        const { schema, examples = {} } = Object.values(answer.content ?? {})[0] ?? {};
        expect([key, status, Object.keys(examples).length]).not.toContain(0);
        const fits = readable(schema, document);
        for (const { value } of Object.values(examples)) {
          expect([key, status, fits.safeParse(value).error]).toEqual([key, status, undefined]);
          seen.push(`${key} ${status}`);
        }
      }
    }
    // None is left out for want of a place.
    expect(seen.sort()).toEqual(
      casesOf(protocol)
        .map(({ key, example }) => `${key} ${example.status}`)
        .sort(),
    );
  });

  test("has an example of every body and of every callback's, which fit", async () => {
    const document = await documentOf(protocol);
    const callbacks = Object.values(document.components?.callbacks ?? {}).flatMap((paths) =>
      Object.entries(paths).map(([key, { post }]) => ({ key, operation: post as Operation })),
    );
    const ofDistances = ["callback_url}/generated", "callback_url}/validated"];
    const ofArtifacts = ["url}/generated", "url}/generated", "url}/validated"];
    expect(callbacks.map(({ key }) => key.replace("{$request.body#/", ""))).toEqual([
      ...(protocol === "v2" ? [] : ofDistances),
      ...(protocol === "v1" ? [] : ofArtifacts),
    ]);
    for (const { key, operation } of [...operationsOf(document), ...callbacks]) {
      if (!operation.requestBody) continue;
      const { schema, examples = {} } = operation.requestBody.content["application/json"] ?? {};
      expect([key, Object.keys(examples).length]).not.toContain(0);
      for (const { value } of Object.values(examples)) readable(schema, document).parse(value);
    }
  });

  test("names every object once, and refers to it by its name", async () => {
    const document = await documentOf(protocol);
    const text = JSON.stringify(document);
    const names = Object.keys(document.components?.schemas ?? {});
    const ofDistances = ["InitRequest", "GeneratedBatch", "ProofBatch"];
    const ofArtifacts = ["ArtifactRound", "GeneratedArtifacts", "NodeState", "GpuDevice"];
    expect(names.filter((name) => [...ofDistances, ...ofArtifacts].includes(name)).sort()).toEqual(
      [...(protocol === "v2" ? [] : ofDistances), ...(protocol === "v1" ? [] : ofArtifacts)].sort(),
    );
    const referred = [...text.matchAll(/"#\/components\/schemas\/(\w+)"/g)].map(([, name]) => name);
    expect([...new Set(referred)].sort()).toEqual(names.toSorted());
    const bodies = operationsOf(document).flatMap(({ operation }) => [
      operation.requestBody?.content,
      ...Object.values(operation.responses).map((answer) => "content" in answer && answer.content),
    ]);
    for (const content of bodies.filter(Boolean)) {
      for (const each of Object.values(content ?? {})) {
        expect(each).toMatchObject({ schema: { $ref: expect.any(String) } });
      }
    }
  });

  test("has the paths that the node has, and each of them", async () => {
    const { app, get } = await testServer({ protocol });
    const document: OpenApi = (await get("/openapi.json")).json();
    const all = [...Object.values(OPERATIONS), ...Object.values(BROKER_OPERATIONS)];
    const paths = [...new Set(all.flatMap((each) => ("rest" in each ? [each.rest] : [])))];
    for (const rest of paths) {
      const [method = "", path = ""] = rest.split(" ");
      const isTold = document.paths?.[path]?.[method.toLowerCase()] !== undefined;
      const url = path.replace(/\{\w+\}/, ":request_id");
      expect([rest, app.hasRoute({ method: method as "GET", url })]).toEqual([rest, isTold]);
    }
  });

  test("is OpenAPI 3.1 with a name for every operation", async () => {
    const document = await documentOf(protocol);
    expect(document).toMatchObject({
      openapi: "3.1.0",
      info: { title: "proofmill", license: { identifier: "Apache-2.0" } },
      servers: [{ url: "/" }],
    });
    const ids = operationsOf(document).map(({ operation }) => operation.operationId);
    expect(new Set(ids).size).toBe(ids.length);
    expect(ids).not.toContain(undefined);
  });
});

describe("the document", () => {
  test("says of each body what the node sends for it", async () => {
    const { paths = {} } = await documentOf("both");
    const sent = Object.entries(paths).flatMap(([path, { post }]) =>
      post?.callbacks ? [[path.replace("/api/v1", ""), Object.keys(post.callbacks)]] : [],
    );
    expect(Object.fromEntries(sent)).toEqual({
      "/pow/init": ["generated", "validated"],
      "/pow/init/generate": ["generated", "validated", "artifacts"],
      "/pow/init/validate": ["generated", "validated"],
      "/pow/generate": ["jobArtifacts", "jobVerdict"],
      "/inference/pow/init/generate": ["artifacts"],
      "/inference/pow/generate": ["jobArtifacts", "jobVerdict"],
    });
    expect(paths["/api/v1/pow/init"]?.post?.callbacks?.generated).toEqual({
      $ref: "#/components/callbacks/generated",
    });
  });

  test("names the node's own model in its examples", async () => {
    const document = JSON.stringify(await documentOf("both"));
    expect(document).not.toContain(EXAMPLE_MODEL);
    expect(document).toContain(`"params":{"model":"${MODEL}","seq_len":64}`);
  });

  test("says what key an operation needs, where the node has keys", async () => {
    const open = await documentOf("v1");
    const offered = offeredBy("both");
    const locked = describeApi({
      ...{ ...offered, defaults: DEFAULTS, modelName: MODEL, isLocked: true },
    });
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

describe.each(PROTOCOLS)("the page of %s", (protocol) => {
  test("shows every path, field, status and example, and runs no script", async () => {
    const { get } = await testServer({ protocol, chats: true });
    const document = await documentOf(protocol);
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
    const ofDistances = ["received_dist", "callback_url"];
    const ofArtifacts = ["params.k_dim", "total_memory_mb", "request_id", "vector_b64"];
    for (const name of [
      ...["block_hash", "params.seq_len", "since", "data[].id"],
      ...(protocol === "v2" ? [] : ofDistances),
      ...(protocol === "v1" ? [] : ofArtifacts),
    ]) {
      expect(page).toContain(`<code>${name}</code>`);
    }
    for (const [, anchor] of page.matchAll(/href="#([^"]*)"/g)) {
      expect(count(page, ` id="${anchor}"`)).toBe(1);
    }
    expect(count(page, "<table>")).toBe(count(page, '<div class="wide"'));
    expect(page).toContain(
      protocol === "v2"
        ? "&quot;detail&quot;: &quot;Already generating&quot;"
        : "&quot;detail&quot;: &quot;Round already in progress&quot;",
    );
    expect(page.includes("&quot;nonces&quot;: [170, 241],\n")).toBe(protocol !== "v2");
    expect(page).toContain("integer ≥ 1, ≤ 1024");
    expect(page).not.toMatch(/<script|https?:\/\/(?!aggregator|localhost)|undefined|\[object/);
    expect(count(page, "<details>")).toBe(count(page, "</details>"));
  });

  test.skipIf(skipped(lacking("curl")))("its curl lines do what the examples say", async () => {
    const { app, get } = await testServer({ protocol, chats: true });
    const url = await app.listen({ host: "127.0.0.1", port: 0 });
    const page = await (await fetch(`${url}/docs`)).text();
    const lines = [...page.matchAll(/<pre class="curl" tabindex="0">(.*?)<\/pre>/gs)].map(
      ([, line = ""]) =>
        line.replaceAll("&quot;", '"').replaceAll("&lt;", "<").replaceAll("&amp;", "&"),
    );
    expect(lines).toHaveLength(operationsOf((await get("/openapi.json")).json()).length);
    for (const line of lines) {
      const { stdout } = await promisify(execFile)("sh", ["-c", `${line} -s -w '%{http_code}'`]);
      // Which refusals come is the situation's: what is sent is right, and taken where it is meant.
      const meant = /200|202|400|503|40[49]/;
      expect([line, stdout.slice(-3)]).toEqual([line, expect.stringMatching(meant)]);
      // A path or method that the node does not have.
      expect(stdout).not.toContain('"Not Found"');
    }
  });
});

describe("the page", () => {
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

async function documentOf(protocol: Protocol): Promise<OpenApi> {
  const { get } = await testServer({ protocol, chats: true });
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
