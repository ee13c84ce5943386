/** Token sessions of a runner's process; the fake's answers count on from the prompt. */
import { PLAIN_SAMPLING, RunnerLost, type TokenSession } from "@proofmill/core";
import { expect, onTestFinished, test } from "vitest";
import { ChildSessions } from "./child-sessions.ts";
import { type ProcessRunner, startRunner } from "./process.ts";

const entry = new URL("./fake-child.mjs", import.meta.url);

const SESSION: TokenSession = {
  id: 1,
  caller: 0,
  prompt: Uint32Array.of(3),
  max_tokens: 4,
  stop_tokens: new Uint32Array(),
  enforced_tokens: new Uint32Array(),
  sampling: PLAIN_SAMPLING,
};

async function start(): Promise<ProcessRunner> {
  const model = { directory: "ready", dtype: "auto", device: "auto" } as const;
  const runner = await startRunner({ model, entry });
  onTestFinished(() => runner.close());
  return runner;
}

test("each session hears its own tokens, and its end after the last", async () => {
  const runner = await start();
  expect(runner.sessionLimits).toMatchObject({ max_len: 1024 });
  const heard = [0, 10, 20].map(async (first, id) => {
    const tokens: number[] = [];
    const session = { ...SESSION, id, prompt: Uint32Array.of(first) };
    const end = await runner.openSession(session, (token) => tokens.push(token.id));
    return { tokens, reason: end.finish_reason };
  });
  expect(await Promise.all(heard)).toEqual(
    [0, 10, 20].map((first) => ({
      tokens: [first + 1, first + 2, first + 3, first + 4],
      reason: "length",
    })),
  );
});

test("an answer is something that a runner has done, also one that its caller has read enough of", async () => {
  const runner = await start();
  const end = runner.openSession({ ...SESSION, max_tokens: 1e9 }, () => {
    expect(runner.hasComputed).toBe(false);
    runner.cancelSession(1);
  });
  expect((await end).finish_reason).toBe("cancelled");
  expect(runner.hasComputed).toBe(true);
});

test("an answer that ends without a word is not something done", async () => {
  const sessions = new ChildSessions(
    () => {},
    () => {},
  );
  const heard: number[] = [];
  const open = () => sessions.open(SESSION, ({ id }) => heard.push(id));
  const end = { finish_reason: "cancelled", cached_tokens: 0 } as const;
  const first = open();
  sessions.receive({ type: "session_ended", id: 1, end });
  await first;
  expect(sessions.hasAnswered).toBe(false);
  const second = open();
  const token = { id: 4, logprob: 0, top_logprobs: [] };
  sessions.receive({ type: "tokens", tokens: [{ session: 1, token }] });
  expect(sessions.hasAnswered).toBe(false);
  sessions.receive({ type: "session_ended", id: 1, end });
  await second;
  expect([heard, sessions.hasAnswered]).toEqual([[4], true]);
});

test("one that is cancelled ends; an id that is at work is refused", async () => {
  const runner = await start();
  let heard = 0;
  const end = runner.openSession({ ...SESSION, max_tokens: 1e9 }, () => {
    if (++heard === 1) runner.cancelSession(SESSION.id);
  });
  await expect(runner.openSession(SESSION, () => {})).rejects.toThrow("session 1 is given twice");
  runner.cancelSession(99);
  expect((await end).finish_reason).toBe("cancelled");
  expect(heard).toBeGreaterThan(0);
});

test("all of them are lost with the process, and later ones refused", async () => {
  const runner = await start();
  const ends = [1, 2].map((id) =>
    runner.openSession({ ...SESSION, id, max_tokens: 1e9 }, () => void process.kill(runner.pid, 9)),
  );
  for (const end of ends) await expect(end).rejects.toThrow(RunnerLost);
  await expect(runner.openSession(SESSION, () => {})).rejects.toThrow(RunnerLost);
});

test("what they take and do is told, and told again when it is another", async () => {
  const runner = await start();
  await expect.poll(() => runner.sessionStats).toMatchObject({ pages: 64, running: 0 });
  const ends = [1, 2].map((id) =>
    runner.openSession({ ...SESSION, id, max_tokens: 1e9 }, () => {}),
  );
  await expect
    .poll(() => runner.sessionStats, { timeout: 10_000 })
    .toMatchObject({ pages_in_use: 2, running: 2 });
  for (const id of [1, 2]) runner.cancelSession(id);
  await Promise.all(ends);
  await expect
    .poll(() => runner.sessionStats, { timeout: 10_000 })
    .toMatchObject({ pages_in_use: 0, running: 0 });
});
