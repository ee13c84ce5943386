/** The README's and docs/inference.md's commands do what stands beside them. */
import { execFile } from "node:child_process";
import { readFileSync } from "node:fs";
import { promisify } from "node:util";
import type { RunningNode } from "@proofmill/server";
import { afterAll, beforeAll, expect, test } from "vitest";
import { startChats } from "./support.ts";

let node: RunningNode;

beforeAll(async () => {
  node = await startChats();
});

afterAll(() => node?.close());

/** The commands under a heading, those of the file's that set variables before them. */
function commandsUnder(file: string, heading: string): string {
  const text = readFileSync(new URL(`../../${file}`, import.meta.url), "utf8");
  const blocks = (part: string) =>
    [...part.matchAll(/```sh\n(.*?)```/gs)].map(([, block = ""]) => block).join("\n");
  const [before = "", after = ""] = `\n${text}`.split(`\n${heading}\n`);
  const variables = blocks(before).match(/^[A-Z]+=.*$/gm) ?? [];
  const under = after.split(/\n## /)[0] ?? "";
  // A node is there already.
  const commands = blocks(under).replace(/^npm start.*$/gm, "");
  return [...variables, commands].join("\n").replaceAll("http://127.0.0.1:8000", node.url);
}

test.each([
  ["README.md", "## Chats"],
  ["docs/inference.md", "# Chats and completions"],
])("%s: a chat, a round that closes the gate, and a chat again", async (file, heading) => {
  const commands = commandsUnder(file, heading);
  expect(commands.match(/^curl /gm)).toHaveLength(5);
  // A line for each answer, as the terminal would show it.
  const script = commands.replace(/^curl /gm, "echo; curl -s ");
  const { stdout } = await promisify(execFile)("bash", ["-euc", script]);
  const answers = stdout.trim().split(/\n+/);
  const parsed = answers.map((each) => JSON.parse(each));
  expect(parsed.map((each) => Object.keys(each)[0])).toEqual([
    ...["id", "status", "detail", "status", "id"],
  ]);
  for (const chat of [parsed[0], parsed[4]]) {
    expect(chat.usage.completion_tokens).toBeGreaterThan(0);
    expect(typeof chat.choices[0].message.content).toBe("string"); // any words, or none
  }
  // What the comments show of the first and the third, an ellipsis being anything.
  const shown = [...commands.matchAll(/^# (\{.*(?:\n# {2}.*)*)$/gm)].map(([, answer = ""]) =>
    answer.split(/\n# {2}/).join(""),
  );
  const patterns = shown.map((answer) => answer.split("…").map(escaped).join(".*"));
  expect(patterns).toHaveLength(2);
  expect(answers[0]).toMatch(new RegExp(`^${patterns[0]}$`));
  expect(answers[2]).toMatch(new RegExp(`^${patterns[1]}$`));
  expect([parsed[1].pow_status.state, parsed[3].pow_status.state]).toEqual([
    ...["GENERATING", "STOPPED"],
  ]);
});

function escaped(text: string): string {
  return text.replace(/[[\]{}().*+?^$|\\]/g, "\\$&");
}
