// Token sessions and search jobs at once: each must be what it is alone, bit for bit.
import { BIG, MAX_SESSIONS, open, QuietSearch, random, say, wrong, wrongSoFar } from "./common.mjs";
import { ask, question, textOf } from "./sessions.mjs";

/** More than run at once, so that some wait. */
const CLIENTS = MAX_SESSIONS + 4;
const SEARCHERS = 3;
/** Fewer than those who run at once want, so that some give theirs up and begin again. */
const PAGES = 24;

export async function chat(seconds, { questions = 24, most_tokens = 48 } = {}) {
  for (const [model, dtype] of [
    ["golden/qwen3-tiny-strong", "bfloat16"],
    ["golden/qwen3-tiny-strong", "float32"],
    [BIG, "bfloat16"],
  ]) {
    const runner = await open({ model, dtype, pages: PAGES });
    try {
      await together(runner, { seconds: seconds / 3, questions, most_tokens });
    } finally {
      await runner.close();
    }
  }
}

async function together(runner, { seconds, questions, most_tokens }) {
  const { vocab_size, arithmetic } = runner.info;
  const asked = Array.from({ length: questions }, (_, i) =>
    question(i, { vocab_size, most_tokens }),
  );
  const alone = [];
  for (const each of asked) alone.push(textOf((await ask(runner, each)).tokens));
  if (alone.some((text) => /NaN/.test(text))) wrong("a logprob is no number");
  const lengths = [17, 64, 200];
  const quiet = await QuietSearch.of(runner, {
    ...{ lengths, kinds: ["distance", "artifact"], nonces: 6 * questions },
  });
  say(`${arithmetic}: ${questions} answers alone, and the search's jobs`);

  const until = performance.now() + 1000 * seconds;
  const ended = { length: 0, cancelled: 0 };
  let cached = 0;
  let jobs = 0;
  const client = async () => {
    do {
      const i = random(questions);
      const lives = random(4) === 0 ? random(asked[i].max_tokens) : undefined;
      const { finish_reason, cached_tokens, tokens } = await ask(runner, asked[i], lives);
      ended[finish_reason]++;
      if (cached_tokens > 0) cached++;
      const isWhole = tokens.length === asked[i].max_tokens;
      const text = textOf(tokens);
      const isRight = isWhole ? text === alone[i] : alone[i].startsWith(text);
      if (!isRight || (finish_reason !== "cancelled" && !isWhole)) {
        wrong(`answer ${i}, ${tokens.length} tokens, ended by ${finish_reason}`);
      }
    } while (performance.now() < until);
  };
  const searcher = async () => {
    do {
      await quiet.runSome(random(6) === 0);
      jobs++;
    } while (performance.now() < until);
  };
  await Promise.all([
    ...Array.from({ length: CLIENTS }, client),
    ...Array.from({ length: SEARCHERS }, searcher),
  ]);
  const { pages_in_use, running, waiting, preempted } = runner.sessionStats;
  if (pages_in_use + running + waiting !== 0) wrong(`${pages_in_use} pages are still in use`);
  say(
    `${ended.length} answers whole and ${ended.cancelled} cancelled, ${cached} of them began with cached ` +
      `pages, ${preempted} preempted; ${jobs} jobs beside them; ${wrongSoFar()} wrong so far`,
  );
}
