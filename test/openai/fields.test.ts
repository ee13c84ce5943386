/** Each field that clients of OpenAI's API and of vLLM send is honoured, refused by name, or told to be left out. */
import type { RunningNode } from "@proofmill/server";
import OpenAI from "openai";
import { afterAll, beforeAll, expect, test } from "vitest";
import { clientOf, DEMO, END, post, startChats } from "./support.ts";

const CHAT = "/v1/chat/completions";
const COMPLETION = "/v1/completions";
const messages = [{ role: "user" as const, content: "Hello" }];
const CALL = '<tool_call>\n{"name": "look", "arguments": {"at": 1}}\n</tool_call>';
const tools = [{ type: "function" as const, function: { name: "look", parameters: {} } }];

let node: RunningNode;
let client: OpenAI;

beforeAll(async () => {
  node = await startChats();
  client = clientOf(node);
});

afterAll(() => node?.close());

const bytes = (text: string) => [...Buffer.from(text)];

async function ask(path: string, body: object) {
  const beside = path === CHAT ? { messages } : { prompt: "x" };
  const response = await post(node.url + path, { ...beside, max_tokens: 1, ...body });
  return { response, answer: (await response.json()) as Answer };
}

interface Answer {
  readonly error?: { message: string; type: string; param: string | null; code: string | null };
  readonly choices: {
    readonly text: string;
    readonly token_ids: number[];
    readonly message: { readonly content: string; readonly tool_calls: object[] };
    readonly logprobs: {
      readonly content: { readonly token: string; readonly bytes: number[] }[];
      readonly tokens: string[];
      readonly token_logprobs: number[];
      readonly top_logprobs: Record<string, number>[];
    };
  }[];
}

async function ignored(path: string, body: object): Promise<string | null> {
  const { response } = await ask(path, body);
  expect(response.status).toBe(200);
  return response.headers.get("x-ignored-fields");
}

test.each<[string, object]>([
  [CHAT, { echo: true }],
  [CHAT, { modalities: ["text", "audio"] }],
  [CHAT, { verbosity: "low" }],
  [CHAT, { web_search_options: {} }],
  [CHAT, { continue_final_message: true }],
  [COMPLETION, { min_tokens: 5 }],
  [COMPLETION, { best_of: 2 }],
  [COMPLETION, { suffix: "." }],
  [COMPLETION, { prompt_embeds: "AAAA" }],
  [COMPLETION, { logprob_token_ids: [1] }],
  [COMPLETION, { thinking_token_budget: 5 }],
  [COMPLETION, { kv_transfer_params: { do_remote_decode: true } }],
  [COMPLETION, { vllm_xargs: { a: 1 } }],
  [COMPLETION, { structural_tag: "{}" }],
])("%s: %j is refused by its name", async (path, wrong) => {
  const [param] = Object.keys(wrong);
  const { response, answer } = await ask(path, wrong);
  expect(response.status).toBe(400);
  expect(answer.error).toMatchObject({ param, type: "invalid_request_error", code: null });
  expect(answer.error?.message).toContain(`${param} is not supported`);
});

test("half a surrogate pair is no text that may end an answer", async () => {
  for (const stop of ["\ude42", ["a", "x\ud83d"]]) {
    const { response, answer } = await ask(COMPLETION, { stop });
    expect([response.status, answer.error?.param]).toEqual([
      422,
      typeof stop === "string" ? "stop.0" : "stop.1",
    ]);
  }
});

test("what is said again of a prompt is what its tokens are", async () => {
  const { answer } = await ask(COMPLETION, { prompt: "a\ud83d", echo: true, max_tokens: 1 });
  expect(answer.choices[0]?.text.startsWith("a\ufffd")).toBe(true);
});

test.each<[string, object, string, string]>([
  [COMPLETION, { prompt: null }, "prompt", "expected a text, tokens' ids, or a list of either"],
  [COMPLETION, { prompt: { a: 1 } }, "prompt", "expected a text, tokens' ids, or a list of either"],
  [
    CHAT,
    { messages: [{ role: "user", content: 5 }] },
    "messages.0.content",
    "expected a text, or a list of parts of the type text",
  ],
  [CHAT, { logit_bias: { "-1": 3 } }, "logit_bias.-1", "expected a token's id"],
])("%s: %j is refused with what was expected", async (path, wrong, param, expected) => {
  const { response, answer } = await ask(path, wrong);
  expect([response.status, answer.error]).toMatchObject([
    422,
    { param, message: `${param}: ${expected}` },
  ]);
});

test("a tool without a name is refused", async () => {
  const { response, answer } = await ask(CHAT, { tools: [{ type: "function", function: {} }] });
  expect([response.status, answer.error?.param]).toEqual([422, "tools.0.function.name"]);
});

test("what changes no token is taken, null is as good as nothing, and what nobody knows is named", async () => {
  const common = {
    ...{ user: "u", store: true, metadata: { a: "b" }, service_tier: "auto", priority: 1 },
    ...{ temperature: null, top_p: null, stop: null, seed: null, logit_bias: null, n: null },
    ...{ stream: null, stream_options: null, best_of: null, suffix: null, logprobs: null },
    ...{ response_format: { type: "text" }, spaces_between_special_tokens: true },
  };
  const chat = {
    ...{ tools: null, tool_choice: "auto", parallel_tool_calls: true, modalities: ["text"] },
    ...{ top_logprobs: null, max_completion_tokens: null, reasoning_effort: null },
  };
  expect(await ignored(CHAT, { ...common, ...chat })).toBe(null);
  expect(await ignored(COMPLETION, common)).toBe(null);
  expect(await ignored(CHAT, { temprature: 0, "a\nb": 1, mirostat: 2 })).toBe(
    "temprature, mirostat",
  );
  const many = Object.fromEntries(Array.from({ length: 50 }, (_, i) => [`f${i}`, i]));
  expect((await ignored(COMPLETION, many))?.split(", ")).toHaveLength(16);
});

test("what ended an answer is told with it where that is asked for, whole and streamed", async () => {
  const stopped = { stop: ["END"], include_stop_str_in_output: true };
  const asked = { ...stopped, enforced_tokens: bytes("hello END of") };
  const { answer } = await ask(COMPLETION, asked);
  expect(answer.choices[0]).toMatchObject({ text: "hello END", finish_reason: "stop" });
  let text = "";
  for await (const { choices } of await client.completions.create({
    ...{ model: DEMO, prompt: "x", stream: true as const, ...(asked as object) },
  })) {
    text += choices[0]?.text ?? "";
  }
  expect(text).toBe("hello END");
  const byToken = { stop_token_ids: [33], enforced_tokens: bytes("ab!") };
  const ends = async (more: object) =>
    (await ask(COMPLETION, { ...byToken, ...more })).answer.choices[0]?.text;
  expect(await ends({})).toBe("ab");
  expect(await ends({ include_stop_str_in_output: true })).toBe("ab!");
});

test("of parallel calls only the first is told where there shall be no others", async () => {
  const asked = {
    ...{ model: DEMO, messages, tools, parallel_tool_calls: false },
    ...({ enforced_tokens: [...bytes(`${CALL}\n${CALL}`), END] } as object),
  };
  const whole = await client.chat.completions.create(asked);
  const streamed = await client.chat.completions.stream(asked).finalChatCompletion();
  for (const { choices } of [whole, streamed]) {
    expect(choices[0]?.message.tool_calls).toHaveLength(1);
    expect(choices[0]?.finish_reason).toBe("tool_calls");
  }
});

test("a seed may have 64 bits, and each of several answers has its own", async () => {
  const asked = { max_tokens: 12, n: 3, ignore_eos: true, return_token_ids: true };
  const tokens = async (seed: number) =>
    (await ask(COMPLETION, { ...asked, seed })).answer.choices.map((each) => `${each.token_ids}`);
  for (const seed of [2 ** 53 - 1, 2 ** 62 + 2 ** 20, -(2 ** 63), -1]) {
    const all = await tokens(seed);
    expect(new Set(all).size).toBe(3);
    expect(await tokens(seed)).toEqual(all);
  }
  const { response, answer } = await ask(COMPLETION, { seed: 1.5 });
  expect([response.status, answer.error?.param]).toEqual([422, "seed"]);
});

test("logprobs name tokens by their ids where that is asked for", async () => {
  const asked = { enforced_tokens: bytes("é"), return_tokens_as_token_ids: true };
  const chat = await ask(CHAT, { ...asked, logprobs: true, top_logprobs: 2 });
  expect(chat.answer.choices[0]?.logprobs.content).toMatchObject([
    { token: "token_id:195", bytes: [195] },
    { token: "token_id:169", bytes: [169] },
  ]);
  const { answer } = await ask(COMPLETION, { ...asked, logprobs: 2 });
  expect(answer.choices[0]?.logprobs.tokens).toEqual(["token_id:195", "token_id:169"]);
});

test("the token that was chosen is among the likeliest of a completion, likely or not", async () => {
  const { answer } = await ask(COMPLETION, { enforced_tokens: bytes("qz"), logprobs: 1 });
  const { tokens, token_logprobs, top_logprobs } = answer.choices[0]?.logprobs ?? {};
  expect(tokens).toEqual(["q", "z"]);
  expect(top_logprobs?.map((top, i) => top[tokens?.[i] ?? ""])).toEqual(token_logprobs);
});

test("a chat gets the tokenizer's own tokens where that is asked for, and its template the rest", async () => {
  const prompt = async (more: object) => {
    const told = (await (await post(`${node.url}/tokenize`, { messages, ...more })).json()) as {
      tokens: number[];
    };
    return (await (await post(`${node.url}/detokenize`, { tokens: told.tokens })).json()) as object;
  };
  const plain = await prompt({});
  // The demo's tokenizer adds none, and its template asks for neither.
  const more = { add_special_tokens: true, documents: [{ title: "a" }], reasoning_effort: "low" };
  expect(await prompt(more)).toEqual(plain);
  const wrong = await ask(CHAT, { documents: ["a"] });
  expect([wrong.response.status, wrong.answer.error?.param]).toEqual([422, "documents.0"]);
});

test("whatever name the model is listed under, it answers by it", async () => {
  const broker = await startChats();
  try {
    const up = {
      model: DEMO,
      dtype: "auto",
      additional_args: ["--served-model-name", "Org/Other"],
    };
    expect((await post(`${broker.url}/api/v1/stop`, {})).status).toBe(200);
    expect((await post(`${broker.url}/api/v1/inference/up`, up)).status).toBe(200);
    const named = clientOf(broker);
    const { data } = await named.models.list();
    expect(data.map(({ id }) => id)).toEqual(["Org/Other", DEMO]);
    for (const { id: model } of data) {
      const answer = await named.chat.completions.create({ model, messages, max_tokens: 1 });
      expect(answer.model).toBe("Org/Other");
    }
    const other = await named.chat.completions
      .create({ model: "Org/Third", messages })
      .catch((thrown) => thrown);
    expect(other).toBeInstanceOf(OpenAI.NotFoundError);
  } finally {
    await broker.close();
  }
});
