import { describe, expect, test } from "vitest";
import { type AnswerPart, parseToolCalls, ToolCallParser } from "./tool-calls.ts";

const call = (name: string, args: string) =>
  `<tool_call>\n{"name": "${name}", "arguments": ${args}}\n</tool_call>`;

/** What a client has put together from parts. */
function joined(parts: AnswerPart[]) {
  const calls: { name: string; arguments: string }[] = [];
  let content = "";
  for (const part of parts) {
    if (part.kind === "content") content += part.text;
    else if (part.kind === "call") calls[part.index] = { name: part.name, arguments: "" };
    else {
      const begun = calls[part.index];
      if (begun) begun.arguments += part.text;
    }
  }
  return { content, calls };
}

function streamed(pieces: string[]) {
  const parser = new ToolCallParser();
  return joined([...pieces.flatMap((piece) => parser.push(piece)), ...parser.end()]);
}

const NESTED = '{"path": "a\\"}b", "of": [{"x": "</tool_call>"}, {}], "é": "🙂"}';
const TWO = `Let me see.\n${call("weather", '{"city": "Paris"}')}\n${call("write", NESTED)}\n`;

describe("tool calls", () => {
  test("are told apart from text, in whatever pieces it comes", () => {
    const expected = {
      content: "Let me see.\n",
      calls: [
        { name: "weather", arguments: '{"city": "Paris"}' },
        { name: "write", arguments: NESTED },
      ],
    };
    for (let first = 0; first <= TWO.length; first++) {
      expect(streamed([TWO.slice(0, first), TWO.slice(first)])).toEqual(expected);
    }
    expect(streamed([...TWO])).toEqual(expected);
    const { content, toolCalls } = parseToolCalls(TWO);
    expect(content).toBe(expected.content);
    expect(toolCalls.map((each) => each.function)).toEqual(expected.calls);
    expect(new Set(toolCalls.map(({ id }) => id)).size).toBe(2);
    for (const { id, type } of toolCalls)
      expect([id, type]).toEqual([expect.stringMatching(/^call_\w{24}$/), "function"]);
  });

  test("leave the text that follows them as it is, but for the spaces between", () => {
    const said = `${call("f", "{}")} \n I will  now\n\n look. ${call("f", "{}")}\n  So be it. `;
    const content = "I will  now\n\n look. So be it. ";
    expect(parseToolCalls(said).content).toBe(content);
    for (let size = 1; size < 12; size++) {
      const pieces = said.match(new RegExp(`[^]{1,${size}}`, "g")) ?? [];
      expect(streamed(pieces).content).toBe(content);
    }
  });

  test("tell their arguments as they come", () => {
    const parser = new ToolCallParser();
    expect(parser.push('<tool_call>\n{"name": "f", "argum')).toEqual([]);
    expect(parser.push('ents": {"a": 1')).toEqual([
      { kind: "call", index: 0, id: expect.any(String), name: "f" },
      { kind: "arguments", index: 0, text: '{"a": 1' },
    ]);
    expect(parser.push("2")).toEqual([{ kind: "arguments", index: 0, text: "2" }]);
    expect(parser.push("}}\n</tool_call>")).toEqual([{ kind: "arguments", index: 0, text: "}" }]);
    expect([parser.end(), parser.calls]).toEqual([[], 1]);
  });

  test.each([
    ["no JSON", "<tool_call>\nweather(Paris)\n</tool_call>"],
    ["no name", '<tool_call>{"arguments": {}}</tool_call>'],
    ["a name that is no text", '<tool_call>{"name": 5}</tool_call>'],
    ["a list", '<tool_call>["name"]</tool_call>'],
    ["broken JSON", '<tool_call>{"arguments": {"a": }, "name": "f"}</tool_call>'],
    ["an end too early", '<tool_call>{"name": "f", "argu'],
    ["half a tag", "1 <tool_ca"],
    ["text like tags", "a < b <tool> </tool_call> <<tool_call"],
  ])("with %s stay text", (_, text) => {
    expect(parseToolCalls(text)).toEqual({ content: text, toolCalls: [] });
    expect(streamed([...text])).toEqual({ content: text, calls: [] });
  });

  test("that break in their arguments are text where the answer is told as a whole", () => {
    const broken = call("f", '{"a": }');
    expect(parseToolCalls(broken)).toEqual({ content: broken, toolCalls: [] });
    expect(streamed([...broken]).calls).toEqual([{ name: "f", arguments: '{"a": }' }]);
  });

  test.each([
    ["without arguments", '<tool_call>{"name": "f"}</tool_call>', "{}"],
    [
      "with arguments first",
      '<tool_call>{"arguments": {"a": 1}, "name": "f"}</tool_call>',
      '{"a":1}',
    ],
    ["with arguments as text", '<tool_call>{"name": "f", "arguments": "{}"}</tool_call>', "{}"],
    ["without an end", '<tool_call>\n{"name": "f", "arguments": {}}', "{}"],
    ["with more beside", '<tool_call>{"name": "f", "arguments": {}, "x": 1}</tool_call>', "{}"],
  ])("%s are calls", (_, text, args) => {
    const calls = [{ name: "f", arguments: args }];
    const { content, toolCalls } = parseToolCalls(text);
    expect([content, toolCalls.map((each) => each.function)]).toEqual([null, calls]);
    expect(streamed([...text])).toEqual({ content: "", calls });
  });

  test("text without a call comes out as it went in, spaces and all", () => {
    const text = "  <think>\n</think>\n\n Hi \n";
    expect(streamed([...text])).toEqual({ content: text, calls: [] });
    expect(parseToolCalls("")).toEqual({ content: "", toolCalls: [] });
  });
});
