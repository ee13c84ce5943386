import { describe, expect, test } from "vitest";
import { DEMO_FILES, open } from "./test-support.ts";
import type { ChatRequest } from "./text-model.ts";

const HI: ChatRequest = { messages: [{ role: "user", content: "Hi" }] };
const withTemplate = (template: unknown, options = {}) =>
  open(
    {
      ...DEMO_FILES,
      "tokenizer_config.json": { chat_template: template, bos_token: "<|im_start|>" },
    },
    options,
  );

async function render(template: unknown, request = HI): Promise<string> {
  return (await (await withTemplate(template)).chat(request)).text;
}

describe("a chat template", () => {
  test("is told the tokenizer's tokens, the request's own words, and whether an answer begins", async () => {
    const template =
      "{{ bos_token }}{{ style }}{{ add_generation_prompt }}{{ tools is none }}{{ eos_token is defined }}";
    const request = {
      ...HI,
      addGenerationPrompt: false,
      templateKwargs: { style: "dry", messages: [] },
    };
    expect(await render(template, request)).toBe("<|im_start|>dryfalsetruefalse");
  });

  test("is one of a list: tool_use where there are tools, else default", async () => {
    const named = [
      { name: "default", template: "plain" },
      { name: "tool_use", template: "{{ tools[0].a | tojson }}" },
    ];
    expect(await render(named)).toBe("plain");
    expect(await render(named, { ...HI, tools: [{ a: { b: ["é", null, 1.5, "<"] } }] })).toBe(
      '{"b": ["é", null, 1.5, "<"]}',
    );
  });

  test("stands in a file of its own before tokenizer_config.json", async () => {
    const json = { "chat_template.json": { chat_template: "json" } };
    const jinja = { "chat_template.jinja": "jinja {{ messages[0].content }}\n" };
    const text = async (files: Record<string, object | string>) =>
      (await (await open({ ...DEMO_FILES, ...files })).chat(HI)).text;
    expect(await text(json)).toBe("json");
    expect(await text({ ...json, ...jinja })).toBe("jinja Hi");
  });

  test.each([
    [
      "{{ t.strip('\\n') }}|{{ t.lstrip('\\n') }}|{{ t.rstrip('\\n') }}",
      "\n a \n",
      " a | a \n|\n a ",
    ],
    [
      "{{ t.strip() }}|{{ t | trim }}|{{ t | trim('🙂') }}",
      "\u0085\u001f🙂\u00a0",
      "🙂|🙂|\u0085\u001f🙂\u00a0",
    ],
    ["{{ t | trim('🙂😀') }}|{{ t.strip('\\ud83d') }}", "😀a🙂", "a|😀a🙂"],
    ["{{ t.strip() }}", "\ufeffa", "\ufeffa"],
    ["{{ t.split('x')[0].strip('-').upper() }}", "--ax", "A"],
    ["{% if t != false %}a{% endif %}{% if t == 0 %}b{% endif %}", "", "a"],
    ["{% if [1, {'a': [t]}] == [1, {'a': ['b']}] %}a{% endif %}", "b", "a"],
    [
      "{% for m in messages if m.role == 'user' %}{{ m.role }}{% endfor %}{{ 1 == 1.0 and true == 1 }}",
      "",
      "usertrue",
    ],
  ])("does as Python does: %s", async (template, t, text) => {
    expect(await render(template, { ...HI, templateKwargs: { t } })).toBe(text);
  });

  test.each([
    ['<p v="{{ a.id }}">{{ a | tojson }}', '<p v="12345678901234567890">{"id": ID, "x": 1.0}'],
    ["{{ a | tojson | tojson }}", '"{\\"id\\": ID, \\"x\\": 1.0}"'],
    ["{{ ('id=' ~ a.id) | tojson }}{{ a.x | upper }}", '"id=ID"1.0'],
    [
      "{% for v in a.values() %}{% if v is string %}'{{ v }}'{% else %}{{ v }} {% endif %}{% endfor %}",
      "ID 1.0 ",
    ],
    [
      "{{ a.id is number }}{{ a.x is not number }}{{ a.x is iterable }}{{ a.x is sequence }}",
      "truefalsefalsefalse",
    ],
    [
      "{{ 'x' is string }}{{ 1.5 is number }}{{ 1 is string }}{{ a is sequence }}{{ no is sequence }}",
      "truetruefalsetruefalse",
    ],
  ])(
    "is told of a call's numbers such that they read as they were written: %s",
    async (template, text) => {
      const call = {
        type: "function",
        function: { name: "f", arguments: '{"id": 12345678901234567890, "x": 1.0}' },
      };
      const messages = [{ role: "assistant", content: "", tool_calls: [call] }];
      const set = "{% set a = messages[0].tool_calls[0].function.arguments %}";
      expect(await render(set + template, { messages })).toBe(
        text.replaceAll("ID", "12345678901234567890"),
      );
    },
  );

  test("that does not know of tools refuses them", async () => {
    const asked = { ...HI, tools: [{ type: "function", function: { name: "f" } }] };
    await expect(render("{{ messages[0].content }}", asked)).rejects.toThrow(
      /^tools are not supported: the model's chat template does not know of them$/,
    );
    expect(await render("{{ messages[0].content }}", { ...HI, tools: [] })).toBe("Hi");
  });

  test("that leaves out what a role says refuses the role", async () => {
    const template =
      "{% for m in messages %}{% if m.role in ['user', 'ipython'] %}{{ m.content }}{% endif %}{% endfor %}";
    const say = (role: string, content = "x") => ({
      messages: [...HI.messages, { role, content }],
    });
    expect(await render(template, say("ipython"))).toBe("Hix");
    for (const role of ["function", "human"]) {
      await expect(render(template, say(role))).rejects.toThrow(
        `messages[1]: the model's chat template leaves out what the role ${role} says`,
      );
    }
    for (const nothing of ["", " \n"]) {
      expect(await render(template, say("human", nothing))).toBe("Hi");
    }
    const demanding = `{% for m in messages %}{% if m.content == '' %}{{ raise_exception('empty') }}{% endif %}{% endfor %}${template}`;
    expect(await render(demanding, say("ipython"))).toBe("Hix");
    const many = { messages: ["a", "b", "c", "d", "e"].map((role) => ({ role, content: role })) };
    await expect(render(template, many)).rejects.toThrow("5 unusual roles, expected at most 4");
  });

  test("is told of documents", async () => {
    const template = "{% if documents %}{{ documents[0].title }}{% else %}none{% endif %}";
    expect(await render(template, { ...HI, documents: [{ title: "A" }] })).toBe("A");
    expect(await render(template, { ...HI, documents: [] })).toBe("none");
  });

  test("that knows developers is told of them", async () => {
    const messages = [{ role: "developer", content: "" }];
    expect(await render("{{ messages[0].role }}", { messages })).toBe("system");
    const knows = "{% if messages[0].role == 'developer' %}yes{% endif %}";
    expect(await render(knows, { messages })).toBe("yes");
  });

  test("knows the day, in English", async () => {
    expect(await render("{{ strftime_now('%Y-%m-%d %B %%') }}")).toMatch(
      /^\d{4}-\d\d-\d\d [A-Z][a-z]{2,8} %$/,
    );
  });

  test.each([
    [
      "refuses messages",
      "{{ raise_exception('No system role') }}",
      /the chat template refuses: No system role$/,
    ],
    ["fails", "{{ messages[0].content + none.x }}", /the chat template fails: /],
    ["counts on and on", "{{ range(10 ** 9) }}", /fails: range\(\) has more than/],
    [
      "makes a long text",
      "{% set ns = namespace(s='aaaa') %}{% for i in range(60) %}{% set ns.s = ns.s ~ ns.s %}{% endfor %}{{ ns.s }}",
      /the chat template/,
    ],
    [
      "fills the memory",
      "{% set ns = namespace(l=[1]) %}{% for i in range(60) %}{% set ns.l = ns.l + ns.l %}{% endfor %}",
      /could not be tokenized|template/,
    ],
    [
      "calls itself",
      "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}",
      /the chat template fails: /,
    ],
  ])(
    "that %s refuses the request",
    async (_, template, message) => {
      const model = await withTemplate(template, { heapMb: 64 });
      await expect(model.chat(HI)).rejects.toMatchObject({
        status: 400,
        message: expect.stringMatching(message),
      });
      expect((await model.encode("ab", { addSpecialTokens: false })).length).toBe(2);
    },
    60_000,
  );

  test("that never ends is ended, and the next text is served", async () => {
    const loop = "{% for i in range(100000) %}{% for j in range(100000) %}{% endfor %}{% endfor %}";
    const model = await withTemplate(loop, { limitMs: 1000 });
    const late = model.chat(HI);
    const next = model.encode("ab", { addSpecialTokens: false });
    await expect(late).rejects.toThrow(/took more than 1 s$/);
    expect((await next).length).toBe(2);
  });

  test("that is no Jinja, or is missing, leaves text without a chat", async () => {
    for (const template of ["{% for %}", null, 7]) {
      const model = await withTemplate(template);
      expect(model).toMatchObject({ hasTokenizer: true });
      await expect(model.chat(HI)).rejects.toThrow(/The model has no chat: .*template/);
      expect((await model.encode("a", { addSpecialTokens: false })).length).toBe(1);
    }
  });

  test.each([
    ["none", []],
    ["no role", [{ content: "Hi" }]],
    ["a picture", [{ role: "user", content: [{ type: "image_url" }] }]],
  ])("does not see messages with %s", async (_, messages) => {
    const model = await open(DEMO_FILES);
    await expect(model.chat({ messages })).rejects.toThrow(/messages/);
  });
});
