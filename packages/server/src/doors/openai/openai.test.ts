/** The official client against a real node with the demo model, whose runner is a process. */
import type { NodeHistory, NodeInfo } from "@proofmill/core";
import OpenAI from "openai";
import { afterAll, beforeAll, expect, test, vi } from "vitest";
import { type RunningNode, startNode } from "../../node.ts";
import { parseConfig } from "../../settings/read.ts";
import { INIT_GENERATE } from "../../test-support.ts";

const MODEL = "proofmill-demo";
const ROUND = { ...INIT_GENERATE, seq_len: 32 };

let node: RunningNode;
let client: OpenAI;

beforeAll(async () => {
  const flags = [
    "--enable-poc",
    "--port",
    "0",
    "--log-level",
    "silent",
    "--poc-drain-seconds",
    "0",
  ];
  const limits = ["--max-num-seqs", "4", "--ungate-models", "--threads", "1"];
  node = await startNode({ ...parseConfig([...flags, ...limits]), dataDir: null });
  await node.loaded;
  client = new OpenAI({ baseURL: `${node.url}/v1`, apiKey: "none", maxRetries: 0 });
}, 60_000);

afterAll(() => node?.close());

/** Answers that take longer than any test. */
const endless = (n: number) => ({
  ...{ model: MODEL, messages, n, max_tokens: 4000 },
  ...({ ignore_eos: true } as object),
});

/** The error that a stream ends with, once it has begun. */
async function failureOf(stream: AsyncIterable<unknown>) {
  const pieces = stream[Symbol.asyncIterator]();
  await pieces.next();
  const failure = (async () => {
    while (!(await pieces.next()).done);
  })().catch((thrown) => thrown);
  return { failure };
}

const messages = [{ role: "user" as const, content: "Hello" }];

async function post(path: string, body?: unknown) {
  const headers = { "content-type": "application/json" };
  const sent = typeof body === "string" ? body : JSON.stringify(body ?? {});
  return await fetch(node.url + path, { method: "POST", headers, body: sent });
}

async function answerTo(path: string, body: object): Promise<Record<string, unknown>> {
  return (await (await post(path, body)).json()) as Record<string, unknown>;
}

/** Figures of /metrics by their names. */
async function metrics(): Promise<Record<string, number>> {
  const text = await (await fetch(`${node.url}/metrics`)).text();
  const lines = text.split("\n").filter((line) => line.startsWith("proofmill_"));
  return Object.fromEntries(
    lines.map((line) => {
      const at = line.lastIndexOf(" ");
      return [line.slice(0, at), Number(line.slice(at + 1))];
    }),
  );
}

const ANSWERED = 'proofmill_inference_requests_total{outcome="answered"}';
const CANCELLED = 'proofmill_inference_requests_total{outcome="cancelled"}';
const RUNNING = 'proofmill_sessions{state="running"}';

/** Resolves when one more request was cancelled than `before`, and has given its places back. */
async function untilCancelled(before: number): Promise<void> {
  await vi.waitFor(async () => expect((await metrics())[CANCELLED]).toBe(before + 1), 10_000);
}

/** Waits until the runner tells that no page is held, after it has told of sessions begun here. */
async function untilNoPages(): Promise<void> {
  const stream = await client.chat.completions.create({ ...endless(16), stream: true });
  const until = (check: (now: Record<string, number>) => void) =>
    vi.waitFor(async () => check(await metrics()), { timeout: 10_000, interval: 100 });
  await until((now) => expect(now[RUNNING]).toBeGreaterThan(0));
  stream.controller.abort();
  await until((now) => {
    expect([now[RUNNING], now['proofmill_kv_pages{state="in_use"}']]).toEqual([0, 0]);
  });
}

test("a chat as a whole and as a stream has the same words, counts and ends", async () => {
  const asked = { model: MODEL, messages, max_tokens: 24, seed: 7 };
  const whole = await client.chat.completions.create(asked);
  const stream = await client.chat.completions.create({
    ...asked,
    stream: true,
    stream_options: { include_usage: true },
  });
  let text = "";
  let finish: string | null = null;
  let usage: unknown = null;
  for await (const chunk of stream) {
    text += chunk.choices[0]?.delta.content ?? "";
    finish ??= chunk.choices[0]?.finish_reason ?? null;
    usage ??= chunk.usage ?? null;
  }
  expect(whole.choices[0]?.message.content?.length).toBeGreaterThan(0);
  expect([text, finish]).toEqual([whole.choices[0]?.message.content, "length"]);
  const { prompt_tokens, completion_tokens, total_tokens } = whole.usage ?? {};
  expect(completion_tokens).toBe(24);
  expect(total_tokens).toBe((prompt_tokens ?? 0) + 24);
  expect(usage).toMatchObject({ prompt_tokens, completion_tokens, total_tokens });
});

test("an answer that is enforced has the logprobs that it had, bit for bit", async () => {
  const create = (more: object) =>
    client.completions.create({
      ...{ model: MODEL, prompt: "Once", max_tokens: 20, seed: 3, logprobs: 2 },
      ...more,
      ...({ return_token_ids: true } as object),
    });
  const chosen = (await create({})).choices[0] as unknown as Answered;
  expect(chosen.token_ids).toHaveLength(20);
  expect(chosen.logprobs.token_logprobs).toHaveLength(20);
  const again = await create({ seed: 4, enforced_tokens: chosen.token_ids });
  const enforced = again.choices[0] as unknown as Answered;
  expect(enforced.logprobs).toEqual(chosen.logprobs);
  expect(enforced.text).toBe(chosen.text);
});

interface Answered {
  text: string;
  token_ids: number[];
  logprobs: { token_logprobs: number[] };
}

test("several prompts and answers, echoed, each in its place", async () => {
  const { choices, usage } = await client.completions.create({
    ...{ model: MODEL, prompt: ["a", "bc"], n: 2, max_tokens: 3, echo: true, seed: 1 },
  });
  expect(choices.map(({ index, text }) => [index, text.replace(/^(bc|a).*/s, "$1")])).toEqual([
    ...[
      [0, "a"],
      [1, "a"],
      [2, "bc"],
      [3, "bc"],
    ],
  ]);
  expect(usage).toMatchObject({ prompt_tokens: 3, completion_tokens: 12 });
});

test("a stop string ends an answer, and not a piece of it is shown", async () => {
  const ids = [..."hello END of it"].map((letter) => letter.charCodeAt(0));
  const asked = { model: MODEL, prompt: "x", stop: ["END", "never"], ...{ enforced_tokens: ids } };
  const { [ANSWERED]: before = 0 } = await metrics();
  const { choices, usage } = await client.completions.create(asked);
  expect(choices[0]).toMatchObject({ text: "hello ", finish_reason: "stop" });
  expect(usage?.completion_tokens).toBe(9);
  let text = "";
  for await (const chunk of await client.completions.create({ ...asked, stream: true })) {
    text += chunk.choices[0]?.text ?? "";
    expect("hello ".startsWith(text)).toBe(true);
  }
  expect(text).toBe("hello ");
  expect((await metrics())[ANSWERED]).toBe(before + 2);
});

test("calls of tools are told apart from an answer's text, streamed too", async () => {
  const said =
    'Let me see.\n<tool_call>\n{"name": "look", "arguments": {"at": "sky"}}\n</tool_call>';
  const END = 258;
  const asked = {
    ...{ model: MODEL, messages },
    tools: [{ type: "function" as const, function: { name: "look", parameters: {} } }],
    ...({ enforced_tokens: [...Buffer.from(said), END] } as object),
  };
  const { choices } = await client.chat.completions.create(asked);
  expect(choices[0]).toMatchObject({ finish_reason: "tool_calls" });
  const call = { type: "function", function: { name: "look", arguments: '{"at": "sky"}' } };
  expect(choices[0]?.message.tool_calls).toMatchObject([call]);
  let [name, given, finish] = ["", "", ""];
  for await (const { choices } of await client.chat.completions.create({
    ...asked,
    stream: true,
  })) {
    const [part] = choices[0]?.delta.tool_calls ?? [];
    name += part?.function?.name ?? "";
    given += part?.function?.arguments ?? "";
    finish += choices[0]?.finish_reason ?? "";
  }
  expect([name, given, finish]).toEqual(["look", '{"at": "sky"}', "tool_calls"]);
  const plain = await client.chat.completions.create({ ...asked, tool_choice: "none" });
  expect(plain.choices[0]).toMatchObject({ finish_reason: "stop", message: { content: said } });
});

test("tokens are told, and text made of them", async () => {
  const told = await answerTo("/tokenize", { prompt: "añ" });
  expect(told).toEqual({ count: 3, max_model_len: 4096, tokens: [97, 195, 177], token_strs: null });
  const text = await answerTo("/detokenize", { tokens: told.tokens });
  expect(text).toEqual({ prompt: "añ" });
  const chat = await answerTo("/tokenize", { messages });
  const { usage } = await client.chat.completions.create({ model: MODEL, messages, max_tokens: 1 });
  expect(usage?.prompt_tokens).toBe(chat.count);
});

test("models are listed, one by one too", async () => {
  const { data } = await client.models.list();
  expect(data.map(({ id }) => id)).toEqual([MODEL]);
  expect(await client.models.retrieve(MODEL)).toEqual(data[0]);
  const error = await client.models.retrieve("nope").catch((thrown) => thrown);
  expect(error).toBeInstanceOf(OpenAI.NotFoundError);
});

test.each([
  [{ model: "nope" }, 404, "model", "model_not_found"],
  [{ temperature: "hot" }, 422, "temperature", null],
  [{ top_p: 0 }, 422, "top_p", null],
  [{ n: 129 }, 422, "n", null],
  [{ n: 100 }, 400, "n", null],
  [{ messages: [] }, 422, "messages", null],
  [
    { messages: [{ role: "user", content: [{ type: "image_url" }] }] },
    422,
    "messages.0.content.0.type",
    null,
  ],
  [{ max_tokens: 5000 }, 400, "prompt", "context_length_exceeded"],
  [{ tool_choice: "required" }, 400, "tool_choice", null],
  [{ response_format: { type: "json_object" } }, 400, "response_format", null],
  [{ logit_bias: { 99999: 1 } }, 400, "logit_bias", null],
  [{ stop_token_ids: [99999] }, 400, "stop_token_ids", null],
  [{ best_of: 2 }, 400, "best_of", null],
] as const)("%o is refused with %i", async (wrong, status, param, code) => {
  const asked = { model: MODEL, messages, max_tokens: 1, ...(wrong as object) };
  const error = await client.chat.completions.create(asked).catch((thrown) => thrown);
  expect(error).toBeInstanceOf(OpenAI.APIError);
  expect(error).toMatchObject({ status, param, code });
  expect(error.message.length).toBeGreaterThan(10);
});

test("what is no JSON is refused, and a long body is read all the same", async () => {
  expect((await post("/v1/chat/completions", "{")).status).toBe(400);
  expect((await post("/v1/completions", "[]")).status).toBe(422);
  const long = { model: MODEL, prompt: "x".repeat(65_500), max_tokens: 1 };
  const error = await client.completions.create(long).catch((thrown) => thrown);
  expect(error).toMatchObject({ status: 400, code: "context_length_exceeded" });
  expect(error.message).toContain("65501 tokens (65500 in the prompt, 1 in the answer)");
});

test("who goes away is cancelled, all answers of the request", async () => {
  const { [CANCELLED]: before = 0 } = await metrics();
  const stream = await client.chat.completions.create({ ...endless(3), stream: true });
  for await (const chunk of stream) if (chunk.choices[0]?.delta.content) break; // which aborts it
  await untilCancelled(before);
  expect((await metrics()).proofmill_inference_requests_running).toBe(0);
  await untilNoPages();
});

test("past the queue's end a request is told to come again", async () => {
  const { [CANCELLED]: before = 0 } = await metrics();
  const stream = await client.chat.completions.create({ ...endless(36), stream: true });
  const error = await client.chat.completions.create(endless(1)).catch((thrown) => thrown);
  expect(error).toBeInstanceOf(OpenAI.RateLimitError);
  expect(error.headers.get("retry-after")).toBe("2");
  stream.controller.abort();
  await untilCancelled(before);
});

test("a round cuts answers off, models stay readable, and after it the node answers at once", async () => {
  const asked = endless(1);
  const stream = await client.chat.completions.create({ ...asked, stream: true });
  const whole = client.chat.completions.create(asked).catch((thrown) => thrown);
  const { failure } = await failureOf(stream);
  expect((await post("/api/v1/pow/init/generate", ROUND)).status).toBe(200);
  expect(await whole).toMatchObject({ status: 503, code: "poc_in_progress" });
  expect(await failure).toMatchObject({ code: "poc_in_progress" });
  const refused = await client.chat.completions.create(asked).catch((thrown) => thrown);
  expect(refused).toMatchObject({ status: 503, code: "poc_in_progress" });
  expect((await client.models.list()).data).toHaveLength(1);
  expect((await post("/api/v1/pow/stop")).status).toBe(200);
  const after = await client.chat.completions.create({ ...asked, max_tokens: 2 });
  expect(after.usage?.completion_tokens).toBe(2);
});

test("a runner that is killed fails its answers clearly, and the next one answers", async () => {
  const asked = endless(1);
  const stream = await client.chat.completions.create({ ...asked, stream: true });
  const whole = client.chat.completions.create(asked).catch((thrown) => thrown);
  const { failure } = await failureOf(stream);
  const answered = await fetch(`${node.url}/api/v1/node/info`);
  const info = (await answered.json()) as { runners: [{ pid: number }] };
  const killed = performance.now();
  const [{ pid }] = info.runners;
  process.kill(pid, "SIGKILL");
  expect(await whole).toMatchObject({ status: 503, code: "runner_lost" });
  expect(await failure).toMatchObject({ code: "runner_lost" });
  expect(performance.now() - killed).toBeLessThan(2000);
  await vi.waitFor(
    async () => {
      const { usage } = await client.chat.completions.create({ ...asked, max_tokens: 2 });
      expect(usage?.completion_tokens).toBe(2);
    },
    { timeout: 20_000, interval: 100 },
  );
}, 30_000);

test("the node tells what its model has answered, and its history when", async () => {
  const get = async <T>(path: string) =>
    (await (await fetch(`${node.url}/api/v1/node/${path}`)).json()) as T;
  const info = async () => (await get<NodeInfo>("info")).inference;
  const before = await info();
  const { usage } = await client.chat.completions.create({ ...endless(1), max_tokens: 7 });
  const after = await info();
  expect(after).toEqual({
    ...{ ...before, gate: "open", running: 0 },
    answered: before.answered + 1,
    prompt_tokens: before.prompt_tokens + (usage?.prompt_tokens ?? Number.NaN),
    generated_tokens: before.generated_tokens + 7,
  });
  await vi.waitFor(
    async () => {
      const { generated_tokens: tokens } = (await get<NodeHistory>("history")).ten_minutes;
      expect(tokens.reduce((sum, each) => sum + each, 0)).toBe(after.generated_tokens);
    },
    { timeout: 5000, interval: 100 },
  );
});

test("three hundred short requests leave no page", async () => {
  const ask = () => client.completions.create({ model: MODEL, prompt: "short", max_tokens: 4 });
  for (let i = 0; i < 10; i++) await Promise.all(Array.from({ length: 30 }, ask));
  await untilNoPages();
}, 30_000);
