import { expect, test } from "vitest";
import { DEMO_FILES, open, openReal } from "./test-support.ts";

test("the demo model's words: a token for each byte, and its template", async () => {
  const model = await open({
    ...DEMO_FILES,
    "generation_config.json": { temperature: 0.7, top_k: 20, eos_token_id: [256] },
  });
  expect(model).toMatchObject({ hasTokenizer: true, hasChatTemplate: true, faults: [] });
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
  expect(model).toMatchObject({ hasTokenizer: false, hasChatTemplate: false, endTokens: [7] });
  expect(model.faults).toEqual([expect.stringMatching(/tokenizer\.json: is not there$/)]);
  const refused = { status: 400, message: expect.stringMatching(/tokenizer\.json/) };
  await expect(model.encode("a", { addSpecialTokens: true })).rejects.toMatchObject(refused);
  await expect(model.chat({ messages: [{ role: "user" }] })).rejects.toMatchObject(refused);
  expect(() => model.decode([1], { skipSpecialTokens: true })).toThrow(/tokenizer\.json/);
});

test("Qwen3's ids are those that are published", async () => {
  const model = await openReal("qwen3");
  const encode = async (text: string) => [
    ...(await model.encode(text, { addSpecialTokens: true })),
  ];
  expect(await encode("Hello, world!")).toEqual([9707, 11, 1879, 0]);
  expect(model.endTokens).toEqual([151645]);
});
