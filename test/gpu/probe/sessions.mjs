// Token sessions of the probe: questions that follow from their number, and what they are answered.
import { ofWorkingFolder } from "./common.mjs";

const { PLAIN_SAMPLING } = await ofWorkingFolder("packages/core/dist/index.js");

/**
 * Around the ends of a page of the cache and of a step, far from both, and more than a step in float32
 * reads, so that of one step no end is read.
 */
const PROMPTS = [1, 63, 64, 65, 20, 128, 255, 256, 257, 300, 800];
const LONGEST_PROMPT = 300;

/** Numbers in [0, n) that follow from the seed. */
function numbers(seed) {
  let state = Math.imul(seed + 1, 0x9e3779b9) >>> 0;
  return (n) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 2 ** 32) * n);
  };
}

/**
 * Question number `i`, whose answer has up to so many tokens. Prompts differ from their first token on;
 * every second is answered greedily.
 */
export function question(i, { vocab_size, most_tokens }) {
  const next = numbers(i);
  const length = PROMPTS[i] ?? 1 + next(LONGEST_PROMPT);
  const prompt = Uint32Array.from({ length }, (_, at) => (at === 0 ? i : next(vocab_size)));
  const sampled = { temperature: 0.5 + next(3) / 2, seed: i, top_k: next(2) * 50, top_p: 0.95 };
  const sampling = {
    ...PLAIN_SAMPLING,
    top_logprobs: 20,
    ...(i % 2 ? sampled : { temperature: 0 }),
  };
  return { prompt, max_tokens: 1 + next(most_tokens), sampling };
}

let nextId = 0;

/** The answer; it is cancelled once it has `lives` tokens. */
export async function ask(runner, asked, lives = Number.POSITIVE_INFINITY) {
  const id = nextId++;
  const tokens = [];
  const none = { stop_tokens: new Uint32Array(), enforced_tokens: new Uint32Array() };
  const answered = runner.openSession({ id, caller: 0, ...none, ...asked }, (token) => {
    tokens.push(token);
    if (tokens.length === lives) runner.cancelSession(id);
  });
  if (lives === 0) runner.cancelSession(id);
  return { ...(await answered), tokens };
}

/** All that tokens and their logprobs are, as text: equal for equal bits. */
export const textOf = (tokens) =>
  tokens
    .map(({ id, logprob, top_logprobs }) =>
      [id, logprob, ...top_logprobs.flatMap((one) => [one.id, one.logprob])].join(),
    )
    .join("\n");
