/**
 * Tokenizers and templates of real models: ids and prompts as their authors' own programs make them.
 * That drawn texts come back from their tokens is seen in `test/fuzz/`.
 */
import { expect, test } from "vitest";
import { openReal, readReal } from "./test-support.ts";
import type { TextModel } from "./text-model.ts";

const encode = async (model: TextModel, text: string) => [
  ...(await model.encode(text, { addSpecialTokens: true })),
];

const CHAT = [
  { role: "system", content: "Be brief." },
  {
    role: "user",
    content: [
      { type: "text", text: "Weather in" },
      { type: "text", text: "Paris?" },
    ],
  },
  {
    role: "assistant",
    content: null,
    tool_calls: [
      { id: "1", type: "function", function: { name: "weather", arguments: '{"city":"Paris"}' } },
    ],
  },
  { role: "tool", tool_call_id: "1", content: "rain" },
];
const TOOL = {
  type: "function",
  function: { name: "weather", description: "Où?", parameters: {} },
};

test("Qwen3: ids, prompts and text", async () => {
  const model = await openReal("qwen3");
  expect(await encode(model, "Hello, world! 123")).toEqual([9707, 11, 1879, 0, 220, 16, 17, 18]);
  expect(await encode(model, "the cat sat on the mat")).toEqual([1782, 8251, 7578, 389, 279, 5517]);
  expect(await encode(model, "こんにちは世界")).toEqual([89015, 99489]);
  const edward = [23811, 27048, 13, 2585, 525, 498, 21891, 30];
  expect(await encode(model, " hello sir. How are you Edward?")).toEqual(edward);
  expect(await encode(model, "<|im_start|>hello<|im_end|>")).toEqual([151644, 14990, 151645]);
  expect(model.endTokens).toEqual([151645]);

  const user = { role: "user", content: "Hi" };
  const begin = "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n";
  expect(await model.chat({ messages: [user] })).toMatchObject({ text: begin });
  const quick = { messages: [user], templateKwargs: { enable_thinking: false } };
  expect(await model.chat(quick)).toMatchObject({ text: `${begin}<think>\n\n</think>\n\n` });
  const withTools = await model.chat({ messages: CHAT, tools: [TOOL] });
  expect(withTools.text).toBe(
    "<|im_start|>system\nBe brief.\n\n# Tools\n\nYou may call one or more functions to assist with the " +
      "user query.\n\nYou are provided with function signatures within <tools></tools> XML tags:\n<tools>\n" +
      '{"type": "function", "function": {"name": "weather", "description": "Où?", "parameters": {}}}\n' +
      "</tools>\n\nFor each function call, return a json object with function name and arguments within " +
      '<tool_call></tool_call> XML tags:\n<tool_call>\n{"name": <function-name>, "arguments": ' +
      "<args-json-object>}\n</tool_call><|im_end|>\n<|im_start|>user\nWeather in\nParis?<|im_end|>\n" +
      '<|im_start|>assistant\n<tool_call>\n{"name": "weather", "arguments": {"city": "Paris"}}\n' +
      "</tool_call><|im_end|>\n<|im_start|>user\n<tool_response>\nrain\n</tool_response><|im_end|>\n" +
      "<|im_start|>assistant\n",
  );
  expect(model.decode(withTools.ids, { skipSpecialTokens: false })).toBe(withTools.text);

  expect(model.decode(await encode(model, "a\ud83d!"), { skipSpecialTokens: true })).toBe(
    "a\ufffd!",
  );
});

test("Llama 3.1: ids, prompts and text", async () => {
  const model = await openReal("llama3_1");
  expect(await encode(model, "Hello, world!")).toEqual([128000, 9906, 11, 1917, 0]);
  const france = [128000, 791, 6864, 315, 9822, 374];
  expect(await encode(model, "The capital of France is")).toEqual(france);
  expect(await encode(model, "I'm trying to create")).toEqual([128000, 40, 2846, 4560, 311, 1893]);

  const { text, ids } = await model.chat({ messages: [{ role: "user", content: " Hi " }] });
  expect(text).toBe(
    "<|begin_of_text|><|start_header_id|>user<|end_header_id|>\n\nHi<|eot_id|>" +
      "<|start_header_id|>assistant<|end_header_id|>\n\n",
  );
  // One token begins it, though the template and the tokenizer both would add one.
  expect([...ids]).toEqual([
    128000, 128006, 882, 128007, 271, 13347, 128009, 128006, 78191, 128007, 271,
  ]);
});

test("Qwen3: what an assistant said keeps its indentation, as in transformers", async () => {
  const model = await openReal("qwen3");
  const said = (content: string) => [
    { role: "user", content: "q" },
    { role: "assistant", content },
    { role: "user", content: "?" },
  ];
  const told = async (content: string) => {
    const { text } = await model.chat({ messages: said(content) });
    return text.split("<|im_start|>assistant\n")[1]?.split("<|im_end|>")[0];
  };
  expect(await told("<think>\nhm\n</think>\n\n    return 1\n")).toBe("    return 1\n");
  const { text } = await model.chat({ messages: said("\t\tcode").slice(0, 2) });
  expect(text).toContain("<|im_start|>assistant\n<think>\n\n</think>\n\n\t\tcode<|im_end|>");
});

test("a message of a developer is the system's where the template does not know them", async () => {
  const model = await openReal("qwen3");
  const messages = [
    { role: "developer", content: "Be brief." },
    { role: "user", content: "Hi" },
  ];
  const { text } = await model.chat({ messages });
  expect(text).toBe(
    "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n",
  );
});

test("a call's numbers are told as they were written, however long", async () => {
  const model = await openReal("qwen3");
  const told = async (json: string) => {
    const call = { id: "1", type: "function", function: { name: "f", arguments: json } };
    const { text } = await model.chat({
      messages: [
        { role: "user", content: "q" },
        { role: "assistant", content: null, tool_calls: [call] },
      ],
    });
    return /"arguments": (.*)\}\n<\/tool_call>/.exec(text)?.[1];
  };
  const exact =
    '{"id": 1234567890123456789, "of": [-98765432109876543210, 1.0, -0.5, 0, 12], "s": "1.0 \\"2.0\\""}';
  expect(await told(exact)).toBe(exact);
  // As Python writes what it has read.
  expect(await told('{"a":[1e5,1E-7,1.50,0.00001,1e16,123456789.0,-0,-0.0]}')).toBe(
    '{"a": [100000.0, 1e-07, 1.5, 1e-05, 1e+16, 123456789.0, 0, -0.0]}',
  );
  expect(await told("not json")).toBe("not json");
});

test("fields of an answer that clients send back as null, or as an empty list, are none", async () => {
  const model = await openReal("llama3_1");
  const turn = (more: object) => [
    { role: "user", content: "q" },
    { role: "assistant", content: "a", ...more },
    { role: "user", content: "?" },
  ];
  const nulls = { name: null, refusal: null, audio: null, function_call: null };
  const plain = (await model.chat({ messages: turn({}) })).text;
  for (const tool_calls of [null, []]) {
    const { text } = await model.chat({ messages: turn({ ...nulls, tool_calls }) });
    expect(text).toBe(plain);
  }
});

/** What splits texts in models of other families, with Qwen3's tokens; ids are Rust's (tokenizers 0.23.2). */
test.each<[string, object, [string, number[]][]]>([
  [
    "digits of any script",
    {
      type: "Sequence",
      pretokenizers: [
        { type: "Digits", individual_digits: true },
        { type: "ByteLevel", add_prefix_space: false, use_regex: true },
      ],
    },
    [
      ["x ½ Ⅷ²", [87, 220, 26062, 220, 70467, 100, 29456]],
      ["a12 3", [64, 16, 17, 220, 18]],
    ],
  ],
  [
    "numbers",
    { type: "Digits", individual_digits: false },
    [["a12½ 3", [64, 16, 17, 26062, 220, 18]]],
  ],
  ["GPT-2", { type: "ByteLevel", add_prefix_space: false }, [["\ufeff's", [3225, 6, 82]]]],
])("a tokenizer with %s splits as its authors' own", async (_, part, expected) => {
  const byteLevel = { type: "ByteLevel", add_prefix_space: false, use_regex: false };
  const { type } = part as { type: string };
  const pre_tokenizer =
    type === "Digits" ? { type: "Sequence", pretokenizers: [part, byteLevel] } : part;
  const tokenizer = { ...readReal("qwen3"), normalizer: null, pre_tokenizer };
  const model = await openReal("qwen3", { "tokenizer.json": tokenizer });
  for (const [text, ids] of expected) expect(await encode(model, text)).toEqual(ids);
});

test("spaces in a row are split where a tokenizer's Metaspace splits", async () => {
  const pre_tokenizer = {
    type: "Metaspace",
    replacement: "▁",
    prepend_scheme: "always",
    split: true,
  };
  const tokenizer = { ...readReal("llama2"), normalizer: null, pre_tokenizer };
  const model = await openReal("llama2", { "tokenizer.json": tokenizer });
  expect(await encode(model, "hello  world  ")).toEqual([
    1, 6312, 28709, 28705, 1526, 28705, 28705,
  ]);
});

test("Mistral 7B: ids and text", async () => {
  const model = await openReal("llama2"); // the package's name, but its tokens are Mistral's
  const world = [1, 22557, 28725, 1526, 28808];
  expect(await encode(model, "Hello, world!")).toEqual(world);
  const mistral = [1, 22557, 28725, 25200, 1650, 28808];
  expect(await encode(model, "Hello, Mistral!")).toEqual(mistral);
  expect(model.decode(mistral, { skipSpecialTokens: true })).toBe("Hello, Mistral!");
  // A character that has no token of its own is told once its last byte has come.
  const stream = model.stream();
  const pieces = (await encode(model, "𓀀")).map((id) => stream.push(id));
  expect(pieces.filter((piece) => piece !== "")).toEqual([" ", "𓀀"]);
  expect(stream.end()).toBe("");
});

test("a long text that is hard to tokenize keeps no short one waiting, and ends with its caller", async () => {
  const model = await openReal("qwen3");
  const caller = new AbortController();
  const { signal } = caller;
  let isDone = false;
  const long = model.encode("a".repeat(2 ** 20), { addSpecialTokens: true, signal }).finally(() => {
    isDone = true;
  });
  expect([...(await model.encode("Hello", { addSpecialTokens: true }))]).toEqual([9707]);
  expect(isDone).toBe(false);
  caller.abort();
  await expect(long).rejects.toMatchObject({ code: "CALLER_GONE" });
  // The next long one does not wait for what nobody wants.
  const next = await model.encode("1 ".repeat(20_000), { addSpecialTokens: true });
  expect(next.length).toBeGreaterThan(20_000);
});
