/** Answers as OpenAI's API writes them, in pieces and as a whole. */
import { randomBytes } from "node:crypto";
import type { Delta, FinishReason, ShownToken, TokenLogprobs } from "./choice.ts";
import type { Usage } from "./inference.ts";

/** What all pieces of an answer have in common. */
interface Head {
  readonly id: string;
  readonly created: number;
  readonly model: string;
}

export interface ShapeOptions {
  readonly model: string;
  readonly wantsLogprobs: boolean;
  readonly wantsTokenIds: boolean;
  /** Of completions: the prompts, to be repeated before each answer. */
  readonly echo: readonly string[] | null;
}

/** How answers of one path are written. */
export interface Shape {
  /** What a stream begins with for each choice; null: nothing. */
  first(index: number): object | null;
  delta(index: number, delta: Delta): object;
  end(index: number, last: Delta & { finish: FinishReason }): object[];
  usage(usage: Usage): object;
  whole(choices: readonly WholeChoice[], usage: Usage): object;
}

/** All of an answer. */
export interface WholeChoice extends Delta {
  readonly finish: FinishReason;
}

export function chatShape(options: ShapeOptions): Shape {
  const head = newHead("chatcmpl", options.model);
  const chunk = (choices: object[]) => ({ ...head, object: "chat.completion.chunk", choices });
  const piece = (index: number, delta: object, beside: object = {}) =>
    chunk([{ index, delta, logprobs: null, finish_reason: null, ...beside }]);
  const beside = (delta: Delta) => ({
    ...(options.wantsLogprobs && { logprobs: { content: delta.logprobs.map(chatLogprob) } }),
    ...(options.wantsTokenIds && { token_ids: delta.tokenIds }),
  });
  return {
    first: (index) => piece(index, { role: "assistant", content: "" }),
    delta: (index, delta) => piece(index, { content: delta.text }, beside(delta)),
    end: (index, last) => [
      ...(last.text !== "" || last.logprobs.length > 0 || options.wantsTokenIds
        ? [piece(index, { content: last.text }, beside(last))]
        : []),
      piece(index, {}, { finish_reason: last.finish }),
    ],
    usage: (usage) => ({ ...chunk([]), usage }),
    whole: (choices, usage) => ({
      ...head,
      object: "chat.completion",
      choices: choices.map((choice, index) => ({
        index,
        message: { role: "assistant", content: choice.text, refusal: null },
        logprobs: null,
        ...beside(choice),
        finish_reason: choice.finish,
      })),
      usage,
    }),
  };
}

export function completionShape(options: ShapeOptions): Shape {
  const head = { ...newHead("cmpl", options.model), object: "text_completion" };
  /** Where the next token of each choice begins in its text. */
  const offsets = new Map<number, number>();
  const choice = (index: number, delta: Delta, finish: FinishReason | null) => ({
    index,
    text: delta.text,
    logprobs: options.wantsLogprobs ? logprobsOf(index, delta) : null,
    finish_reason: finish,
    ...(options.wantsTokenIds && { token_ids: delta.tokenIds }),
  });
  const logprobsOf = (index: number, { logprobs }: Delta) => {
    let offset = offsets.get(index) ?? 0;
    const text_offset = logprobs.map(({ token }) => {
      const at = offset;
      offset += token.length;
      return at;
    });
    offsets.set(index, offset);
    return {
      tokens: logprobs.map(({ token }) => token),
      token_logprobs: logprobs.map(({ logprob }) => logprob),
      top_logprobs: logprobs.map(({ top }) =>
        Object.fromEntries(top.map(({ token, logprob }) => [token, logprob])),
      ),
      text_offset,
    };
  };
  const said = (index: number): Delta | null => {
    const text = options.echo?.[index];
    return text === undefined ? null : { text, logprobs: [], tokenIds: [] };
  };
  return {
    first(index) {
      const prompt = said(index);
      return prompt && { ...head, choices: [choice(index, prompt, null)] };
    },
    delta: (index, delta) => ({ ...head, choices: [choice(index, delta, null)] }),
    end: (index, last) => [{ ...head, choices: [choice(index, last, last.finish)] }],
    usage: (usage) => ({ ...head, choices: [], usage }),
    whole: (choices, usage) => ({
      ...head,
      choices: choices.map((whole, index) => {
        const text = (said(index)?.text ?? "") + whole.text;
        return choice(index, { ...whole, text }, whole.finish);
      }),
      usage,
    }),
  };
}

function newHead(prefix: string, model: string): Head {
  const id = `${prefix}-${randomBytes(12).toString("hex")}`;
  return { id, created: Math.floor(Date.now() / 1000), model };
}

function chatLogprob({ top, ...token }: TokenLogprobs): ShownToken & { top_logprobs: object } {
  return { ...token, top_logprobs: top };
}
