/** The official client against the demo model and each golden model: what it is told is the model's. */
import { PLAIN_SAMPLING, type SessionToken } from "@proofmill/core";
import { loadModel } from "@proofmill/native";
import type { RunningNode } from "@proofmill/server";
import OpenAI from "openai";
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from "vitest";
import { MODELS } from "../conformance/golden.ts";
import { demoFolder } from "../helpers.ts";
import {
  CANCELLED,
  clientOf,
  DEMO,
  END,
  goldenWithWords,
  PAGES,
  post,
  RUNNING,
  startChats,
  untilFigures,
} from "./support.ts";

const GREEDY_TOKENS = 300;
const messages = [{ role: "user" as const, content: "Good day 🙂" }];

interface Completion {
  text: string;
  token_ids: number[];
  logprobs: { token_logprobs: number[] };
}

const NAMES = [DEMO, ...MODELS];

interface Served {
  readonly node: RunningNode;
  readonly client: OpenAI;
  /** The model's folder. */
  readonly directory: string;
}

const nodes = new Map<string, Served>();

function served(name: string): Served {
  const found = nodes.get(name);
  if (!found) throw new Error(`no node serves ${name}`);
  return found;
}

beforeAll(async () => {
  for (const name of NAMES) {
    const directory = name === DEMO ? demoFolder() : goldenWithWords(name);
    const args = name === DEMO ? [] : [directory, "--served-model-name", name];
    const node = await startChats(args);
    nodes.set(name, { node, client: clientOf(node), directory });
  }
});

afterAll(() => Promise.all([...nodes.values()].map(({ node }) => node.close())));

describe.each(NAMES)("%s", (name) => {
  /** The tokens of the model's own session, without the server. */
  async function nativeTokens(prompt: readonly number[], top_logprobs: number, max_tokens: number) {
    const { directory } = served(name);
    const runner = await loadModel({ directory, device: "cpu", threads: 1, sessions: {} });
    onTestFinished(() => runner.close());
    const tokens: SessionToken[] = [];
    await runner.openSession(
      {
        ...{ id: 0, caller: 0, prompt: Uint32Array.from(prompt), max_tokens },
        ...{ stop_tokens: new Uint32Array(), enforced_tokens: new Uint32Array() },
        sampling: { ...PLAIN_SAMPLING, temperature: 0, top_logprobs },
      },
      (token) => tokens.push(token),
    );
    return tokens;
  }

  test("a long greedy answer is that of the model's own session, bit for bit, and so is its text", async () => {
    const { client } = served(name);
    const prompt = Array.from({ length: 20 }, (_, i) => (i * 37) % 256);
    const { choices, usage } = await client.completions.create({
      ...{ model: name, prompt, max_tokens: GREEDY_TOKENS, temperature: 0, logprobs: 1 },
      ...({ ignore_eos: true, return_token_ids: true } as object),
    });
    const answer = choices[0] as unknown as Completion;
    const own = await nativeTokens(prompt, 1, GREEDY_TOKENS);
    expect(answer.token_ids).toEqual(own.map(({ id }) => id));
    expect(answer.logprobs.token_logprobs).toEqual(own.map(({ logprob }) => logprob));
    expect(usage).toMatchObject({ prompt_tokens: 20, completion_tokens: GREEDY_TOKENS });
    const bytes = answer.token_ids.filter((id) => id < 256);
    expect(answer.text).toBe(Buffer.from(bytes).toString());
  });

  test("a chat's logprobs are those of the model's own session, with the likeliest beside them", async () => {
    const { node, client } = served(name);
    const { tokens } = (await (await post(`${node.url}/tokenize`, { messages })).json()) as {
      tokens: number[];
    };
    const { choices } = await client.chat.completions.create({
      ...{ model: name, messages, max_tokens: 8, temperature: 0, logprobs: true, top_logprobs: 20 },
      ...({ ignore_eos: true } as object),
    });
    const own = await nativeTokens(tokens, 20, 8);
    const told = choices[0]?.logprobs?.content ?? [];
    const logprobs = (each: { logprob: number }) => each.logprob;
    expect(told.map(logprobs)).toEqual(own.map(logprobs));
    expect(told.map(({ top_logprobs }) => top_logprobs.map(logprobs))).toEqual(
      own.map(({ top_logprobs }) => top_logprobs.map(logprobs)),
    );
    // A token below 256 is the byte of its number.
    const bytesOf = told.flatMap(({ top_logprobs }) => top_logprobs.map(({ bytes }) => bytes));
    const ids = own.flatMap(({ top_logprobs }) => top_logprobs.map(({ id }) => id));
    expect(bytesOf.map((bytes, i) => ((ids[i] ?? 0) < 256 ? bytes : null))).toEqual(
      ids.map((id) => (id < 256 ? [id] : null)),
    );
  });

  test("a chat as a stream has the same text, end and usage as the whole", async () => {
    const { client } = served(name);
    const asked = { model: name, messages, max_tokens: 40, seed: 5, temperature: 1.2 };
    const whole = await client.chat.completions.create(asked);
    const runner = client.chat.completions.stream({
      ...asked,
      stream_options: { include_usage: true },
    });
    const streamed = await runner.finalChatCompletion();
    expect(streamed.choices[0]?.message.content).toBe(whole.choices[0]?.message.content);
    expect(streamed.choices[0]?.finish_reason).toBe(whole.choices[0]?.finish_reason);
    const { prompt_tokens, completion_tokens } = whole.usage ?? {};
    expect(streamed.usage).toMatchObject({ prompt_tokens, completion_tokens });
    let text = "";
    const completion = { model: name, prompt: "Once", max_tokens: 30, seed: 9 };
    for await (const { choices } of await client.completions.create({
      ...completion,
      stream: true,
    })) {
      text += choices[0]?.text ?? "";
    }
    expect(text).toBe((await client.completions.create(completion)).choices[0]?.text);
  });

  test("characters of several tokens come whole, in every piece of a stream", async () => {
    const { client } = served(name);
    const said = "e\u0301 👨‍👩‍👧‍👦🇩🇪 \u{10ffff}ありがとう नि ✋🏽";
    const bytes = [...Buffer.from(said)];
    const create = (enforced: number[], more: object = {}) =>
      client.chat.completions.create({
        ...{ model: name, messages, stream: true as const, ...more },
        ...({ enforced_tokens: enforced } as object),
      });
    const piecesOf = async (stream: Awaited<ReturnType<typeof create>>) => {
      const pieces: string[] = [];
      for await (const { choices } of stream) pieces.push(choices[0]?.delta.content ?? "");
      return pieces.filter((piece) => piece !== "");
    };
    const pieces = await piecesOf(await create([...bytes, END]));
    // As many as there are code points: none waits longer than it must.
    expect(pieces).toEqual([...said]);
    // What ends within one has U+FFFD for it, at its end alone.
    const cut = await piecesOf(await create(bytes.slice(0, 6)));
    expect(cut).toEqual(["e", "\u0301", " ", "\ufffd"]);
    // A stop string may begin and end within tokens.
    const stopped = await piecesOf(await create(bytes, { stop: "🇩🇪" }));
    expect(stopped.join("")).toBe("e\u0301 👨‍👩‍👧‍👦");
  });

  test("calls of tools are called, whole and streamed", async () => {
    const { client } = served(name);
    const call = '<tool_call>\n{"name": "look", "arguments": {"at": "sky 🌤"}}\n</tool_call>';
    const asked = {
      ...{ model: name, messages },
      tools: [{ type: "function" as const, function: { name: "look", parameters: {} } }],
      ...({ enforced_tokens: [...Buffer.from(`Wait.\n${call}\n${call}`), END] } as object),
    };
    const whole = await client.chat.completions.create(asked);
    const streamed = await client.chat.completions.stream(asked).finalChatCompletion();
    for (const { choices } of [whole, streamed]) {
      expect(choices[0]).toMatchObject({ finish_reason: "tool_calls" });
      const calls = choices[0]?.message.tool_calls ?? [];
      const named = { name: "look", arguments: '{"at": "sky 🌤"}' };
      expect(calls).toMatchObject([{ function: named }, { function: named }]);
      expect(new Set(calls.map(({ id }) => id)).size).toBe(2);
      expect(choices[0]?.message.content?.trim()).toBe("Wait.");
    }
  });

  test("what it cannot do is an error of the client's kinds", async () => {
    const { client } = served(name);
    const create = (more: object) =>
      client.chat.completions.create({ model: name, messages, max_tokens: 1, ...more });
    await expect(create({ model: "gpt" })).rejects.toBeInstanceOf(OpenAI.NotFoundError);
    await expect(create({ top_p: 2 })).rejects.toBeInstanceOf(OpenAI.UnprocessableEntityError);
    await expect(create({ max_tokens: 1e6 })).rejects.toMatchObject({
      ...{ status: 400, code: "context_length_exceeded", param: "prompt" },
    });
    const { data } = await client.models.list();
    expect(data).toEqual([await client.models.retrieve(name)]);
  });
});

test.each(MODELS)("tools and enable_thinking reach the template of %s", async (name) => {
  const { node } = served(name);
  const tools = [{ type: "function", function: { name: "look" } }];
  const asked = { messages, tools, chat_template_kwargs: { enable_thinking: false } };
  const told = await (await post(`${node.url}/tokenize`, asked)).json();
  const text = await (await post(`${node.url}/detokenize`, told)).json();
  expect(text).toEqual({
    prompt:
      'tools: [{"type": "function", "function": {"name": "look"}}]\n<|im_start|>user\n' +
      "Good day 🙂<|im_end|>\n<|im_start|>assistant\n<think></think>",
  });
});

test("a stream that is aborted gives back its sessions and pages, of every model", async () => {
  const abort = async (name: string) => {
    const { node, client } = served(name);
    // As long as it may be: the runner tells of its sessions once a second.
    const stream = await client.chat.completions.create({
      ...{ model: name, messages, n: 3, stream: true },
      ...({ ignore_eos: true } as object),
    });
    await untilFigures(node.url, (now) => expect(now[RUNNING]).toBe(3));
    stream.controller.abort();
    await untilFigures(node.url, (now) => {
      expect([now[CANCELLED], now.proofmill_inference_requests_running]).toEqual([1, 0]);
      expect([now[RUNNING], now[PAGES]]).toEqual([0, 0]);
    });
  };
  await Promise.all(NAMES.map(abort));
});
