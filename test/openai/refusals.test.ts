/** Whatever OpenAI's paths are refused with, the official client reads it, and other callers do too. */
import { createHash } from "node:crypto";
import { writeFileSync } from "node:fs";
import { connect } from "node:net";
import { join } from "node:path";
import type { RunningNode } from "@proofmill/server";
import OpenAI from "openai";
import { afterAll, beforeAll, expect, onTestFinished, test, vi } from "vitest";
import { temporaryFolder } from "../helpers.ts";
import {
  CANCELLED,
  clientOf,
  DEMO,
  figures,
  PAGES,
  post,
  startChats,
  untilFigures,
} from "./support.ts";

const SCOPES = ["admin", "read", "validate", "inference"];
const CHAT = "/v1/chat/completions";
const asked = {
  model: DEMO,
  messages: [{ role: "user" as const, content: "Hello" }],
  max_tokens: 1,
};
const endless = { ...asked, max_tokens: 4000, ignore_eos: true };
const ROUND = {
  ...{ block_hash: "abc123", block_height: 100, public_key: "node1", r_target: 0.1 },
  ...{ node_id: 0, node_count: 1, seq_len: 16 },
};

let node: RunningNode;

beforeAll(async () => {
  const file = join(temporaryFolder(), "keys");
  const digest = (key: string) => createHash("sha256").update(key).digest("hex");
  writeFileSync(
    file,
    SCOPES.map((scope) => `of-${scope} ${scope} sha256:${digest(scope)}\n`).join(""),
    { mode: 0o600 },
  );
  node = await startChats(["--api-key-file", file, "--max-num-seqs", "1"]);
});

afterAll(() => node?.close());

interface Asked {
  method?: string;
  path: string;
  body?: unknown;
  key?: string;
  type?: string;
}

function send({ method = "POST", path, body, key = "inference", type }: Asked): Promise<Response> {
  const headers = {
    ...(key !== "" && { authorization: `Bearer ${key}` }),
    ...(type !== undefined && { "content-type": type }),
  };
  if (method === "GET" || method === "DELETE") return fetch(node.url + path, { method, headers });
  return post(node.url + path, body ?? {}, { method, headers });
}

/** Answers of a refusal, whose two forms say the same. */
async function refusal(request: Asked) {
  const response = await send(request);
  const { detail, error } = (await response.json()) as {
    detail: string;
    error: { message: string; type: string; param: string | null; code: string | null };
  };
  expect(detail.length).toBeGreaterThan(5);
  expect(error.message.startsWith(detail)).toBe(true);
  expect(Object.keys(error).sort()).toEqual(["code", "message", "param", "type"]);
  const { type, param, code } = error;
  const { headers } = response;
  return {
    ...{ status: response.status, type, param, code, detail },
    retryAfter: headers.get("retry-after"),
    allow: headers.get("allow"),
  };
}

const INVALID = "invalid_request_error";
const text = "x".repeat(2 ** 20);

test.each<[string, Asked, object]>([
  ["a chat by GET", { method: "GET", path: CHAT }, { status: 405, allow: "POST" }],
  ["a chat by PUT", { method: "PUT", path: CHAT }, { status: 405, allow: "POST" }],
  [
    "a completion by GET",
    { method: "GET", path: "/v1/completions" },
    { status: 405, allow: "POST" },
  ],
  ["tokens by GET", { method: "GET", path: "/tokenize" }, { status: 405, allow: "POST" }],
  ["text by DELETE", { method: "DELETE", path: "/detokenize" }, { status: 405, allow: "POST" }],
  ["models by POST", { path: "/v1/models" }, { status: 405, allow: "GET, HEAD" }],
  ["a model by DELETE", { method: "DELETE", path: "/v1/models/x" }, { status: 405 }],
  ["an unknown path", { path: "/v1/embeddings" }, { status: 404, code: null }],
  [
    "another model",
    { path: CHAT, body: { ...asked, model: "x" } },
    { status: 404, param: "model" },
  ],
  ["another model's entry", { method: "GET", path: "/v1/models/x" }, { status: 404 }],
  [
    "another model's tokens",
    { path: "/tokenize", body: { model: "x", prompt: "" } },
    { status: 404 },
  ],
  ["no JSON", { path: CHAT, body: "{" }, { status: 400 }],
  ["another type", { path: CHAT, body: "{}", type: "text/plain" }, { status: 400 }],
  ["too long a body", { path: CHAT, body: { ...asked, user: text } }, { status: 413 }],
  ["too long a prompt", { path: CHAT, body: { ...asked, max_tokens: 1e5 } }, { status: 400 }],
  ["a wrong field", { path: CHAT, body: { ...asked, n: "two" } }, { status: 422, param: "n" }],
  ["no prompt", { path: "/v1/completions" }, { status: 422, param: "prompt" }],
  ["no tokens", { path: "/detokenize" }, { status: 422, param: "tokens" }],
  ["text for ids", { path: "/detokenize", body: { tokens: ["a"] } }, { status: 422 }],
  ["an id too high", { path: "/v1/completions", body: { prompt: [1e6] } }, { status: 400 }],
  ["no key", { path: CHAT, key: "" }, { status: 401, code: "invalid_api_key" }],
  ["another key", { path: CHAT, key: "other" }, { status: 401, code: "invalid_api_key" }],
])("%s is refused", async (_, request, expected) => {
  expect(await refusal(request)).toMatchObject({ type: INVALID, ...expected });
});

test("each key does what its scopes say, and nothing else", async () => {
  const paths: [string, Asked][] = [
    ["inference", { path: CHAT, body: asked }],
    ["inference", { path: "/v1/completions", body: { prompt: "x", max_tokens: 1 } }],
    ["inference", { path: "/tokenize", body: { prompt: "x" } }],
    ["inference", { path: "/detokenize", body: { tokens: [65] } }],
    ["inference", { method: "GET", path: "/v1/models" }],
    ["inference", { method: "GET", path: `/v1/models/${DEMO}` }],
    ["read", { method: "GET", path: "/api/v1/pow/status" }],
    ["read", { method: "GET", path: "/openapi.json" }],
    ["admin", { path: "/api/v1/pow/init/validate", body: ROUND }],
    ["validate", { path: "/api/v1/pow/validate", body: {} }],
    ["admin", { path: "/api/v1/pow/stop" }],
  ];
  for (const [scope, request] of paths) {
    for (const key of SCOPES) {
      const { status } = await send({ ...request, key });
      const isAllowed = key === scope || key === "admin";
      expect([request.path, key, status !== 403]).toEqual([request.path, key, isAllowed]);
      if (!isAllowed) {
        const code = "insufficient_permissions";
        expect(await refusal({ ...request, key })).toMatchObject({ status: 403, code });
      }
    }
  }
});

test("past one that runs and eight that wait a request is told to come again, and then is answered", async () => {
  const client = clientOf(node, "inference");
  const streams = await Promise.all(
    Array.from({ length: 9 }, () => client.chat.completions.create({ ...endless, stream: true })),
  );
  // Each has its place before its stream begins.
  const { [CANCELLED]: before = 0, ...now } = await figures(node.url, "admin");
  expect(now.proofmill_inference_requests_running).toBe(9);
  const full = { status: 429, type: "rate_limit_exceeded", code: "queue_full", retryAfter: "2" };
  expect(await refusal({ path: CHAT, body: asked })).toMatchObject(full);
  expect(await refusal({ path: "/v1/completions", body: { prompt: "x" } })).toMatchObject(full);
  for (const stream of streams) stream.controller.abort();
  await untilFigures(node.url, (seen) => expect(seen[CANCELLED]).toBe(before + 9), "admin");
  expect((await client.chat.completions.create(asked)).usage?.completion_tokens).toBe(1);
});

test("during a round all of them are refused, and after it none", async () => {
  const begun = await send({ path: "/api/v1/pow/init/generate", body: ROUND, key: "admin" });
  expect(begun.status).toBe(200);
  const closed = { status: 503, type: "service_unavailable", code: "poc_in_progress" };
  for (const path of [CHAT, "/v1/completions", "/tokenize", "/detokenize", "/v1/embeddings"]) {
    expect(await refusal({ path, body: asked })).toMatchObject({ ...closed, retryAfter: "5" });
  }
  for (const path of ["/v1/models", `/v1/models/${DEMO}`, CHAT]) {
    expect(await refusal({ method: "GET", path })).toMatchObject(closed);
  }
  const error = await clientOf(node, "inference")
    .models.list()
    .catch((thrown) => thrown);
  expect(error).toBeInstanceOf(OpenAI.InternalServerError);
  await send({ path: "/api/v1/pow/stop", key: "admin" });
  expect((await send({ path: CHAT, body: asked })).status).toBe(200);
});

test("bodies that are not whole are bounded together, and those that are ended are told why", async () => {
  // Bodies of artifacts may be longer, and four of the longest have room.
  const small = await startChats(["--protocol", "v1"]);
  onTestFinished(async () => void (await small.close()));
  const { port } = new URL(small.url);
  const size = 1_000_000;
  const sent = `{"model":"x","user":"${"u".repeat(size - 100)}`;
  const answers = Array.from({ length: 20 }, () => "");
  const sockets = answers.map((_, i) => {
    const socket = connect(Number(port), "127.0.0.1");
    socket.on("error", () => {}); // it may be reset
    socket.on("data", (chunk) => {
      answers[i] = `${answers[i]}${chunk}`;
    });
    socket.write(
      `POST ${CHAT} HTTP/1.1\r\nHost: 127.0.0.1\r\n` +
        `Content-Type: application/json\r\nContent-Length: ${size}\r\n\r\n${sent}`,
    );
    return socket;
  });
  onTestFinished(() => {
    for (const socket of sockets) socket.destroy();
  });
  // 16 MiB are sixteen of them and a part: at least three are ended.
  const ended = () => answers.filter((answer) => answer.endsWith("}"));
  await vi.waitUntil(() => ended().length >= 3, 10_000);
  for (const answer of ended()) {
    expect(answer).toMatch(/^HTTP\/1.1 503 /);
    const { detail, error } = JSON.parse(answer.split("\r\n\r\n")[1] ?? "");
    expect(detail).toBe("Too many large bodies are coming");
    expect(error).toMatchObject({ message: detail, type: "service_unavailable" });
  }
  expect((await post(small.url + CHAT, asked)).status).toBe(200);
});

test("each of the client's errors is what it says", async () => {
  const client = clientOf(node, "inference");
  const create = (more: object, of = client, options: OpenAI.RequestOptions = {}) =>
    of.chat.completions.create({ ...asked, ...more }, options).catch((thrown) => thrown);
  expect(await create({ best_of: 2 })).toBeInstanceOf(OpenAI.BadRequestError);
  expect(await create({}, clientOf(node, "none"))).toBeInstanceOf(OpenAI.AuthenticationError);
  expect(await create({}, clientOf(node, "read"))).toBeInstanceOf(OpenAI.PermissionDeniedError);
  expect(await create({ model: "x" })).toBeInstanceOf(OpenAI.NotFoundError);
  expect(await create({ n: 0 })).toBeInstanceOf(OpenAI.UnprocessableEntityError);
  const away = { url: "http://127.0.0.1:9" };
  expect(await create({}, clientOf(away))).toBeInstanceOf(OpenAI.APIConnectionError);
  const { [CANCELLED]: before = 0 } = await figures(node.url, "admin");
  const late = await create(endless, client, { timeout: 200 });
  expect(late).toBeInstanceOf(OpenAI.APIConnectionTimeoutError);
  const end = new AbortController();
  const aborted = create(endless, client, { signal: end.signal });
  await untilFigures(
    node.url,
    (seen) => expect(seen.proofmill_inference_requests_running).toBe(1),
    "admin",
  );
  end.abort();
  expect(await aborted).toBeInstanceOf(OpenAI.APIUserAbortError);
  // The node computes neither any longer.
  await untilFigures(
    node.url,
    (seen) => {
      expect([seen[CANCELLED], seen.proofmill_inference_requests_running]).toEqual([before + 2, 0]);
    },
    "admin",
  );
});

test("without inference a chat is told so, and nothing is kept for it", async () => {
  const without = await startChats(["--no-inference"]);
  onTestFinished(async () => void (await without.close()));
  const free = 'proofmill_kv_pages{state="free"}';
  const seen = [await figures(without.url), await figures(node.url, "admin")];
  const pages = seen.map((each) => (each[PAGES] ?? 0) + (each[free] ?? 0));
  expect(pages.map((each) => each > 0)).toEqual([false, true]);
  for (const path of [CHAT, "/v1/completions", "/tokenize", "/detokenize"]) {
    const response = await post(without.url + path, asked);
    expect(response.status).toBe(404);
    const { detail, error } = (await response.json()) as { detail: string; error: Error };
    expect(detail).toBe("Not Found");
    expect(error.message).toContain("--no-inference");
  }
  const error = await clientOf(without)
    .chat.completions.create(asked)
    .catch((thrown) => thrown);
  expect(error).toBeInstanceOf(OpenAI.NotFoundError);
  expect(error.message).toContain("--no-inference");
  expect((await clientOf(without).models.list()).data).toHaveLength(1);
});
