/** Another kind of client: the `ai` package, by its provider for servers that speak as OpenAI's do. */
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import type { RunningNode } from "@proofmill/server";
import { APICallError, generateText, jsonSchema, stepCountIs, streamText, tool } from "ai";
import { afterAll, beforeAll, expect, test } from "vitest";
import { CANCELLED, DEMO, END, figures, startChats, untilFigures } from "./support.ts";

const SAID = 'Wait.\n<tool_call>\n{"name": "look", "arguments": {"at": "sky"}}\n</tool_call>';

let node: RunningNode;

beforeAll(async () => {
  node = await startChats();
});

afterAll(() => node?.close());

/** A chat of that node; what else its body holds stands under the provider's name. */
function chats() {
  const provider = createOpenAICompatible({
    ...{ name: "proofmill", baseURL: `${node.url}/v1`, includeUsage: true },
  });
  return { model: provider.chatModel(DEMO), completions: provider.completionModel(DEMO) };
}

function lookAt(seen: string[]) {
  const inputSchema = jsonSchema<{ at: string }>({
    ...{ type: "object", properties: { at: { type: "string" } }, required: ["at"] },
  });
  const execute = async ({ at }: { at: string }) => {
    seen.push(at);
    return "blue";
  };
  return { look: tool({ description: "Looks.", inputSchema, execute }) };
}

const enforced = { proofmill: { enforced_tokens: [...Buffer.from(SAID), END] } };

test("generateText and streamText have the same words, and count them", async () => {
  const asked = { model: chats().model, prompt: "Hello", maxOutputTokens: 30, seed: 11 };
  const whole = await generateText(asked);
  expect(whole.text.length).toBeGreaterThan(0);
  expect(whole.finishReason).toBe("length");
  expect(whole.usage).toMatchObject({ outputTokens: 30 });
  const stream = streamText(asked);
  let text = "";
  for await (const piece of stream.textStream) text += piece;
  expect(text).toBe(whole.text);
  expect(await stream.finishReason).toBe("length");
  expect(await stream.usage).toMatchObject({
    ...{ inputTokens: whole.usage.inputTokens, outputTokens: 30 },
  });
  const completed = { ...asked, model: chats().completions };
  const { text: once } = await generateText(completed);
  expect(once.length).toBeGreaterThan(0);
  expect((await generateText(completed)).text).toBe(once);
});

test("tools are called, and what they answer goes back to the model", async () => {
  const seen: string[] = [];
  const tools = lookAt(seen);
  const messages = [{ role: "user" as const, content: "Look up." }];
  const first = await generateText({
    ...{ model: chats().model, messages, tools, providerOptions: enforced },
    stopWhen: stepCountIs(1),
  });
  expect(first).toMatchObject({
    text: expect.stringContaining("Wait."),
    finishReason: "tool-calls",
  });
  expect(first.toolCalls).toMatchObject([{ toolName: "look", input: { at: "sky" } }]);
  expect(first.toolResults).toMatchObject([{ output: "blue" }]);
  const second = await generateText({
    ...{ model: chats().model, tools, maxOutputTokens: 5, seed: 3 },
    messages: [...messages, ...first.response.messages],
  });
  expect(second.usage.outputTokens).toBe(5);
  expect(second.usage.inputTokens).toBeGreaterThan((first.usage.inputTokens ?? 0) + 4);

  const parts: string[] = [];
  const { model } = chats();
  const { fullStream } = streamText({ model, messages, tools, providerOptions: enforced });
  for await (const part of fullStream) {
    if (part.type === "tool-call") parts.push(`call ${JSON.stringify(part.input)}`);
    if (part.type === "tool-result") parts.push(`result ${part.output}`);
    if (part.type === "finish") parts.push(`finish ${part.finishReason}`);
  }
  expect(parts).toEqual(['call {"at":"sky"}', "result blue", "finish tool-calls"]);
  expect(seen).toEqual(["sky", "sky"]);
});

test("a stream that is aborted is cancelled in the node", async () => {
  const { [CANCELLED]: before = 0 } = await figures(node.url);
  const end = new AbortController();
  const { fullStream } = streamText({
    ...{ model: chats().model, prompt: "Hello", maxOutputTokens: 4000, abortSignal: end.signal },
    providerOptions: { proofmill: { ignore_eos: true } },
  });
  const kinds: string[] = [];
  for await (const { type } of fullStream) {
    kinds.push(type);
    if (type === "text-delta") end.abort();
  }
  expect(kinds.at(-1)).toBe("abort");
  await untilFigures(node.url, (now) => {
    expect([now[CANCELLED], now.proofmill_inference_requests_running]).toEqual([before + 1, 0]);
  });
});

test("a refusal is an error with the node's words, which says whether another try is worth it", async () => {
  const { model } = chats();
  const ask = (maxOutputTokens: number) =>
    generateText({ model, prompt: "Hello", maxOutputTokens, maxRetries: 0 });
  const error = await ask(5000).catch((thrown) => thrown);
  expect(APICallError.isInstance(error)).toBe(true);
  expect(error).toMatchObject({ statusCode: 400, isRetryable: false });
  expect(error.message).toContain("This node answers within 4096 tokens");
  const seen: unknown[] = [];
  const { textStream } = streamText({
    ...{ model, prompt: "Hello", maxOutputTokens: 5000, maxRetries: 0 },
    onError: ({ error: each }) => void seen.push(each),
  });
  for await (const _ of textStream);
  expect(seen).toMatchObject([{ statusCode: 400 }]);
});
