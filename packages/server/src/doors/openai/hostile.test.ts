/** What a stranger may ask of the model: refused before it costs anything, and by name. */
import { once } from "node:events";
import { afterAll, beforeAll, expect, test } from "vitest";
import { Unfinished } from "../../http/connections/unfinished.ts";
import { type RunningNode, startNode } from "../../node.ts";
import { parseConfig } from "../../settings/read.ts";
import { EventStream } from "./event-stream.ts";

let node: RunningNode;

beforeAll(async () => {
  const flags = ["--port", "0", "--log-level", "silent", "--threads", "1"];
  node = await startNode({ ...parseConfig(flags), dataDir: null });
  await node.loaded;
}, 60_000);

afterAll(() => node?.close());

const messages = [{ role: "user", content: "Hello" }];
const SPECIAL = 256;

async function post(path: string, body: object | string) {
  const response = await fetch(node.url + path, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: typeof body === "string" ? body : JSON.stringify(body),
  });
  return { status: response.status, text: await response.text() };
}

test.each([101, 8000, 49_000])("what nests %i levels deep is refused by name", async (depth) => {
  const nested = "[".repeat(depth) + "]".repeat(depth);
  const fields = {
    chat_template_kwargs: `{"x":${nested}}`,
    tools: `[{"type":"function","function":${nested}}]`,
    messages: `[{"role":"user","content":"a","more":${nested}}]`,
  };
  for (const [name, value] of Object.entries(fields)) {
    const beside = name === "messages" ? "" : `"messages":${JSON.stringify(messages)},`;
    const answer = await post("/v1/chat/completions", `{${beside}"${name}":${value}}`);
    expect(answer.status).toBe(400);
    expect(JSON.parse(answer.text).error).toMatchObject({
      message: `${name} nests deeper than 100 levels`,
      param: name,
    });
  }
});

test.each([{ toString: 1 }, [[]], null, 7])("a format of the type %j is refused", async (type) => {
  const answer = await post("/v1/chat/completions", { messages, response_format: { type } });
  expect(answer).toMatchObject({
    status: 400,
    text: expect.stringContaining('"response_format: only text is supported"'),
  });
});

/** Bytes: nearly the longest body. */
const FULL = 0.9 * 2 ** 20;
const wrong = (item: string) =>
  `[${`${item},`.repeat(Math.floor(FULL / (item.length + 1)))}${item}]`;
const biases = Array.from({ length: FULL / 12 }, (_, i) => `"${i}":{}`);

test.each([
  ["/v1/completions", `"prompt":${wrong("{}")}`, "prompt"],
  ["/v1/completions", `"prompt":${wrong('1,""')}`, "prompt"],
  ["/v1/completions", `"prompt":[${wrong("-1")}]`, "prompt.0.0"],
  ["/v1/completions", `"prompt":"a","stop":${wrong("0")}`, "stop"],
  ["/v1/completions", `"prompt":"a","stop_token_ids":${wrong("0")}`, "stop_token_ids"],
  ["/v1/completions", `"prompt":"a","logit_bias":{${biases}}`, "logit_bias"],
  ["/detokenize", `"tokens":${wrong('""')}`, "tokens.0"],
])(
  "to %s a body full of wrong values are refused for the first (%#)",
  async (path, fields, param) => {
    const answer = await post(path, `{${fields}}`);
    expect(answer.status).toBe(422);
    expect(JSON.parse(answer.text).error.param).toBe(param);
  },
);

test("too many answers are refused before their prompts are looked at", async () => {
  const prompt = Array.from({ length: 128 }, () => [2 ** 31]);
  const answer = await post("/v1/completions", { prompt, n: 128 });
  expect(answer).toMatchObject({ status: 400, text: expect.stringContaining("16384 answers") });
});

test("a token's bias is named once", async () => {
  const logit_bias = { 1: 1, "01": 2 };
  const answer = await post("/v1/chat/completions", { messages, logit_bias });
  expect(answer).toMatchObject({ status: 422, text: expect.stringContaining("logit_bias.01") });
});

test("more logprobs than OpenAI's API has are refused", async () => {
  const asked = { messages, logprobs: true, max_tokens: 1 };
  const statusOf = async (top_logprobs: number) =>
    (await post("/v1/chat/completions", { ...asked, top_logprobs })).status;
  expect([await statusOf(20), await statusOf(21)]).toEqual([200, 422]);
});

test("logprobs of tokens that have no text are told as they come", async () => {
  const answer = await post("/v1/chat/completions", {
    ...{ messages, stream: true, logprobs: true, top_logprobs: 1 },
    enforced_tokens: Array(1000).fill(SPECIAL),
  });
  const events = answer.text.split("\n\n").filter((each) => each.startsWith("data: {"));
  const counts = events.map((event) => {
    const [choice] = JSON.parse(event.slice("data: ".length)).choices;
    return choice?.logprobs?.content.length ?? 0;
  });
  expect(counts.reduce((sum: number, count: number) => sum + count, 0)).toBe(1000);
  expect(Math.max(...counts)).toBeLessThanOrEqual(64);
});

test("an answer that is too long to be written in one go is refused with what to do", async () => {
  const answer = await post("/v1/chat/completions", {
    ...{ messages, logprobs: true, top_logprobs: 20 },
    enforced_tokens: Array(4000).fill(SPECIAL),
  });
  expect(answer).toMatchObject({
    status: 400,
    text: expect.stringContaining("more than 4 MiB: ask for it as a stream"),
  });
});

test("a text that cannot fit is refused before it is tokenized", async () => {
  const answer = await post("/tokenize", { prompt: "a".repeat(65_537) });
  expect(answer).toMatchObject({ status: 400, text: expect.stringContaining("at most 65536") });
  expect(JSON.parse(answer.text).error.code).toBe("context_length_exceeded");
});

test("what waits in streams is bounded in all, and what was read counts no more", async () => {
  const cut: string[] = [];
  const kept = new Unfinished(0, 5000);
  const open = (name: string) =>
    new EventStream(
      kept.begin(() => cut.push(name)),
      () => cut.push(`${name} alone`),
    );
  const [read, unread] = [open("read"), open("unread")];
  const event = { text: "a".repeat(1000) };
  read.source.resume();
  await once(read.source, "resume");
  for (let i = 0; i < 20; i++) {
    read.send(event);
    await new Promise(setImmediate);
  }
  expect(cut).toEqual([]);
  for (let i = 0; i < 5; i++) unread.send(event);
  expect(cut).toEqual(["unread"]);
});
