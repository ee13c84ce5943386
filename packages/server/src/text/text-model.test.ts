import { Tokenizer } from "@huggingface/tokenizers";
import { expect, test } from "vitest";
import { byteLevelTokenizer } from "../models/demo-tokenizer.ts";
import { DEMO_FILES, open } from "./test-support.ts";

test("the demo model's words: a token for each byte, and its template", async () => {
  const model = await open({
    ...DEMO_FILES,
    "generation_config.json": { temperature: 0.7, top_k: 20, eos_token_id: [256] },
  });
  expect(model).toMatchObject({ hasTokenizer: true, faults: [] });
  expect(model.endTokens).toEqual([256, 258]);
  expect(model.samplingDefaults).toEqual({ temperature: 0.7, top_k: 20 });
  expect([...(await model.encode("aé", { addSpecialTokens: true }))]).toEqual([97, 0xc3, 0xa9]);
  const { text, ids } = await model.chat({ messages: [{ role: "user", content: "Hi" }] });
  expect(text).toBe("<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n");
  expect([...ids.subarray(0, 3)]).toEqual([257, 0x75, 0x73]);
  expect(model.decode(ids, { skipSpecialTokens: false })).toBe(text);
  expect(model.decode(ids, { skipSpecialTokens: true })).toBe("user\nHi\nassistant\n");
  expect(model.token(0xc3)).toEqual({ text: "\ufffd", bytes: [0xc3] });
  const stream = model.stream();
  expect([0xc3, 0xa9, 258].map((id) => stream.push(id))).toEqual(["", "é", ""]);
  expect(stream.push(0xe2) + stream.end()).toBe("\ufffd");
});

test("a model without a tokenizer has no text, and says what is missing", async () => {
  const model = await open({ "generation_config.json": { eos_token_id: 7 } });
  expect(model).toMatchObject({ hasTokenizer: false, endTokens: [7] });
  expect(model.faults).toEqual([
    expect.stringMatching(/^chats and texts are refused, .*tokenizer\.json: is not there$/),
  ]);
  const refused = { status: 400, message: expect.stringMatching(/tokenizer\.json/) };
  await expect(model.encode("a", { addSpecialTokens: true })).rejects.toMatchObject(refused);
  await expect(model.chat({ messages: [{ role: "user" }] })).rejects.toMatchObject(refused);
  expect(() => model.decode([1], { skipSpecialTokens: true })).toThrow(/tokenizer\.json/);
});

test("a text that has tokens beyond the model's is refused, and so is one that is too long", async () => {
  const tokenizer = byteLevelTokenizer() as { added_tokens: object[] };
  const added_tokens = [...tokenizer.added_tokens, { id: 259, content: "<more>", special: true }];
  const model = await open({ "tokenizer.json": { ...tokenizer, added_tokens } });
  const encode = (text: string) => model.encode(text, { addSpecialTokens: false });
  await expect(encode("a<more>")).rejects.toThrow(/token 259, but the model knows those below 259/);
  await expect(encode("a".repeat(2 ** 20 + 1))).rejects.toThrow(/1048577 characters.* 1048576/);
  expect((await encode("ab")).length).toBe(2);
});

test.each([
  ["no JSON", "{", /tokenizer\.json: is not JSON/],
  ["no model", {}, /tokenizer\.json: model is not an object/],
  ["no tokens", { model: { type: "BPE", vocab: {} } }, /model\.vocab has no tokens/],
  ["a huge id", { model: { type: "BPE", vocab: { a: 2 ** 40 } } }, /"a" has no valid id/],
  [
    "an unknown model",
    { ...byteLevelTokenizer(), model: { type: "X", vocab: { a: 1 } } },
    /model\.type is "X", expected one of/,
  ],
  [
    "an unknown decoder",
    { ...byteLevelTokenizer(), decoder: { type: "CTC" } },
    /decoder .*CTC.* is not known/,
  ],
  [
    "an unknown pattern",
    {
      ...byteLevelTokenizer(),
      pre_tokenizer: { type: "Split", pattern: {}, behavior: "Isolated" },
    },
    /cannot be used/,
  ],
])("a tokenizer.json with %s gives no text, and says why", async (_, tokenizer, fault) => {
  const model = await open({ "tokenizer.json": tokenizer });
  expect(model.hasTokenizer).toBe(false);
  expect(model.faults[0]).toMatch(fault);
  await expect(model.encode("a", { addSpecialTokens: true })).rejects.toThrow(fault);
});

test("what a generation_config.json says out of range is left out, and named", async () => {
  const model = await open({
    ...DEMO_FILES,
    "generation_config.json": { temperature: "hot", top_p: 0.9, eos_token_id: [1, 259] },
  });
  expect(model.samplingDefaults).toEqual({ top_p: 0.9 });
  expect(model.endTokens).toEqual([1, 258]);
  expect(model.faults).toEqual([
    expect.stringMatching(/eos_token_id 259 is no token/),
    expect.stringMatching(/temperature is not in its range/),
  ]);
  const greedy = await open({ "generation_config.json": { do_sample: false, temperature: 0.5 } });
  expect(greedy.samplingDefaults).toEqual({});
});

test("a tokenizer in the manner of SentencePiece decodes as its library does", async () => {
  const bytes = Array.from({ length: 256 }, (_, byte) => `<0x${hex(byte)}>`);
  const words = ["<unk>", ...bytes, "▁", "a", "b", "▁a", "ab", "é"];
  const replace = (from: string, content: string) => ({
    type: "Replace",
    pattern: { String: from },
    content,
  });
  const tokenizer = {
    added_tokens: [],
    normalizer: {
      type: "Sequence",
      normalizers: [{ type: "Prepend", prepend: "▁" }, replace(" ", "▁")],
    },
    pre_tokenizer: null,
    post_processor: null,
    decoder: {
      type: "Sequence",
      decoders: [
        replace("▁", " "),
        { type: "ByteFallback" },
        { type: "Fuse" },
        { type: "Strip", content: " ", start: 1, stop: 0 },
      ],
    },
    model: {
      ...{ type: "BPE", unk_token: "<unk>", byte_fallback: true, merges: ["▁ a", "a b"] },
      vocab: Object.fromEntries(words.map((word, id) => [word, id])),
    },
  };
  const model = await open({ "tokenizer.json": tokenizer }, { vocabSize: words.length });
  const library = new Tokenizer(tokenizer, { clean_up_tokenization_spaces: false });
  for (const text of ["a", " a b", "ab  ba é", "🙂 a"]) {
    const ids = await model.encode(text, { addSpecialTokens: true });
    expect([...ids]).toEqual(library.encode(text).ids);
    expect(model.decode(ids, { skipSpecialTokens: true })).toBe(text);
    expect(library.decode([...ids])).toBe(text);
    const stream = model.stream();
    expect([...ids].map((id) => stream.push(id)).join("") + stream.end()).toBe(` ${text}`);
  }
});

const hex = (byte: number) => byte.toString(16).toUpperCase().padStart(2, "0");

test("a token that is to be found as a whole word alone is refused, since it would be found anywhere", async () => {
  const tokenizer = byteLevelTokenizer() as { added_tokens: object[] };
  const added_tokens = [...tokenizer.added_tokens, { id: 258, content: "so", single_word: true }];
  const model = await open({ "tokenizer.json": { ...tokenizer, added_tokens } });
  expect(model.hasTokenizer).toBe(false);
  expect(model.faults[0]).toMatch(/added_tokens\[3\] has single_word, which is not supported/);
});
