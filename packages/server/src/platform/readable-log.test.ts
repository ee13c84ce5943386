import { expect, test } from "vitest";
import { readableLog } from "./readable-log.ts";

test("a line of JSON becomes a line for people", () => {
  const texts: string[] = [];
  const log = readableLog({ write: (text) => texts.push(text) }, { colorize: false });
  log.write(
    '{"level":40,"time":1700000000000,"state":"GENERATING","nonces":[1,2],"msg":"round state"}\n',
  );
  expect(texts).toEqual([
    expect.stringMatching(
      /^\[\d\d:\d\d:\d\d\] WARN: round state state=GENERATING nonces=\[1,2\]\n$/,
    ),
  ]);
  // What is no JSON is shown as it is.
  log.write("not JSON\n");
  expect(texts[1]).toContain("not JSON");
});

test("an error that tells all by its message stays one line, any other shows where it was", () => {
  const texts: string[] = [];
  const log = readableLog({ write: (text) => texts.push(text) }, { colorize: false });
  const lost = { type: "RunnerEnded", name: "RunnerLost", message: "it ended", stack: "at end" };
  const fault = { type: "TypeError", message: "no function", stack: "at worker.ts:1" };
  for (const err of [lost, fault]) {
    log.write(`${JSON.stringify({ level: 50, time: 1, err, msg: "gone" })}\n`);
  }
  expect(texts[0]).toMatch(/^\[[\d:]+\] ERROR: gone error="it ended"\n$/);
  expect(texts[1]).toContain("worker.ts:1");
});
