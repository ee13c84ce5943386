import { expect, test } from "vitest";
import { harmlessLog, readableLog } from "./readable-log.ts";

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

/** What moves a terminal's cursor, in both of its forms, and what turns letters around. */
const HOSTILE = "a\u0007\u001b[2J\u009b1m\u007f\u0085b\u202ec\u2066\u2028d\r\n{}";

test("what strangers say reaches no terminal as a command, and is the same text in JSON", () => {
  const line = `${JSON.stringify({
    ...{
      level: 50,
      time: 1,
      msg: `refused ${HOSTILE}`,
      [HOSTILE]: 1,
      path: HOSTILE,
      list: [HOSTILE],
    },
    err: { type: "TypeError", message: HOSTILE, stack: `at ${HOSTILE}`, [HOSTILE]: HOSTILE },
  })}\n`;
  const people: string[] = [];
  const programs: string[] = [];
  readableLog({ write: (text) => people.push(text) }, { colorize: false }).write(line);
  harmlessLog({ write: (text) => programs.push(text) }).write(line);
  for (const text of [people.join(""), programs.join("")]) {
    expect(text).not.toMatch(/(?!\n)[\p{Cc}\p{Bidi_Control}\u2028\u2029]/u);
  }
  expect(
    people
      .join("")
      .split("\n")
      .filter((each) => !each.startsWith(" ")),
  ).toHaveLength(2);
  expect(people.join("")).toContain("refused a\\u0007\\u001b[2J\\u009b1m");
  expect(programs.join("").split("\n")).toHaveLength(2);
  expect(JSON.parse(programs.join(""))).toEqual(JSON.parse(line));
});
