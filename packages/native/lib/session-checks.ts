/** What a token session must be before it goes down to the addon. */
import type { ModelInfo, Sampling, SessionLimits, TokenSession } from "@proofmill/core";

const MOST_TOP_LOGPROBS = 128;
/** Far more than logits differ by; what is more could make them infinite. */
const MOST = 1e6;

/**
 * @throws RangeError or TypeError naming the field, what it is and what was expected
 */
export function checkSession(
  session: TokenSession,
  { vocab_size }: Pick<ModelInfo, "vocab_size">,
  { max_len }: SessionLimits,
): void {
  const { id, caller, prompt, max_tokens, stop_tokens, enforced_tokens, sampling } = session;
  for (const [name, number] of Object.entries({ id, caller })) {
    if (Number.isSafeInteger(number) && number >= 0) continue;
    throw new RangeError(`session ${name} is ${number}, expected an integer ≥ 0`);
  }
  checkTokens("prompt", prompt, vocab_size);
  if (prompt.length < 1) throw new RangeError("prompt is empty, expected at least one token");
  if (!Number.isInteger(max_tokens) || max_tokens < 1) {
    throw new RangeError(`max_tokens is ${max_tokens}, expected an integer ≥ 1`);
  }
  if (prompt.length + max_tokens > max_len) {
    throw new RangeError(
      `a prompt of ${prompt.length} tokens and ${max_tokens} more are ${prompt.length + max_tokens} tokens, expected at most ${max_len}`,
    );
  }
  checkTokens("stop_tokens", stop_tokens, vocab_size);
  checkTokens("enforced_tokens", enforced_tokens, vocab_size);
  checkSampling(sampling, vocab_size);
}

function checkTokens(name: string, tokens: Uint32Array, vocabSize: number): void {
  if (!(tokens instanceof Uint32Array)) throw new TypeError(`${name} must be a Uint32Array`);
  const wrong = tokens.find((token) => token >= vocabSize);
  if (wrong !== undefined) {
    throw new RangeError(`${name} holds token ${wrong}, expected ids 0 … ${vocabSize - 1}`);
  }
}

function checkSampling(sampling: Sampling, vocabSize: number): void {
  within(sampling, "temperature", [0, MOST]);
  within(sampling, "top_p", [Number.MIN_VALUE, 1]);
  within(sampling, "min_p", [0, 1]);
  within(sampling, "presence_penalty", [-MOST, MOST]);
  within(sampling, "frequency_penalty", [-MOST, MOST]);
  within(sampling, "repetition_penalty", [1 / MOST, MOST]);
  within(sampling, "top_k", [0, 2 ** 32 - 1]);
  within(sampling, "seed", [0, Number.MAX_SAFE_INTEGER]);
  const { top_k, seed, top_logprobs, logit_bias } = sampling;
  for (const [name, value] of Object.entries({ top_k, seed, top_logprobs: top_logprobs ?? 0 })) {
    if (!Number.isInteger(value)) throw new RangeError(`${name} is ${value}, expected an integer`);
  }
  if (top_logprobs !== null && !(top_logprobs >= 0 && top_logprobs <= MOST_TOP_LOGPROBS)) {
    throw new RangeError(`top_logprobs is ${top_logprobs}, expected 0 … ${MOST_TOP_LOGPROBS}`);
  }
  for (const [token, bias] of logit_bias) {
    if (!Number.isInteger(token) || token < 0 || token >= vocabSize) {
      throw new RangeError(`logit_bias names token ${token}, expected ids 0 … ${vocabSize - 1}`);
    }
    if (!(Math.abs(bias) <= MOST)) {
      throw new RangeError(`logit_bias of token ${token} is ${bias}, expected -${MOST} … ${MOST}`);
    }
  }
}

function within(
  sampling: Sampling,
  name: keyof Omit<Sampling, "logit_bias" | "top_logprobs">,
  [least, greatest]: readonly [number, number],
): void {
  const value = sampling[name];
  if (value >= least && value <= greatest) return;
  const range = least === Number.MIN_VALUE ? `more than 0 … ${greatest}` : `${least} … ${greatest}`;
  throw new RangeError(`${name} is ${value}, expected ${range}`);
}
