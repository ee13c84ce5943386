/** Answers as OpenAI's API writes them, in pieces and as a whole. */
import { randomBytes } from "node:crypto";
import { type AnswerPart, parseToolCalls, ToolCallParser } from "../text/tool-calls.ts";
import type { Delta, FinishReason, ShownToken, TokenLogprobs } from "./choice.ts";
import type { Usage } from "./inference.ts";

/** What all pieces of an answer have in common. */
interface Head {
  readonly id: string;
  readonly created: number;
  readonly model: string;
}

interface ShapeOptions {
  readonly model: string;
  readonly wantsLogprobs: boolean;
  readonly wantsTokenIds: boolean;
  /** Of chats: how many calls are told at most; 0 where the model was told of no tools. */
  readonly toolCalls: number;
  /** Of completions: the prompts, to be repeated before each answer. */
  readonly echo: readonly string[] | null;
}

/** How answers of one path are written. */
export interface Shape {
  /** What a stream begins with for each choice; null: nothing. */
  first(index: number): object | null;
  delta(index: number, delta: Delta): object[];
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
  /** One for each choice, in a stream of a chat with tools. */
  const parsers: ToolCallParser[] = [];
  const partsOf = (index: number, text: string): AnswerPart[] => {
    if (options.toolCalls === 0) return text === "" ? [] : [{ kind: "content", text }];
    parsers[index] ??= new ToolCallParser();
    return parsers[index].push(text).filter(isTold);
  };
  const isTold = (part: AnswerPart) => part.kind === "content" || part.index < options.toolCalls;
  /** A part each; logprobs and ids go with the first, or with a piece of no text. */
  const pieces = (index: number, parts: readonly AnswerPart[], delta: Delta): object[] => {
    const hasMore = delta.tokenIds.length > 0 && (options.wantsLogprobs || options.wantsTokenIds);
    const shown = parts.length > 0 || !hasMore ? parts : [{ kind: "content", text: "" } as const];
    return shown.map((part, i) => piece(index, deltaOf(part), i === 0 ? beside(delta) : {}));
  };
  const endOf = (index: number) => parsers[index]?.end().filter(isTold) ?? [];
  const beside = (delta: Delta) => ({
    ...(options.wantsLogprobs && { logprobs: { content: delta.logprobs.map(chatLogprob) } }),
    ...(options.wantsTokenIds && { token_ids: delta.tokenIds }),
  });
  return {
    first: (index) => piece(index, { role: "assistant", content: "" }),
    delta: (index, delta) => pieces(index, partsOf(index, delta.text), delta),
    end: (index, last) => [
      ...pieces(index, [...partsOf(index, last.text), ...endOf(index)], last),
      piece(index, {}, { finish_reason: finishOf(parsers[index], last.finish) }),
    ],
    usage: (usage) => ({ ...chunk([]), usage }),
    whole: (choices, usage) => ({
      ...head,
      object: "chat.completion",
      choices: choices.map((choice, index) => {
        const { content, toolCalls } =
          options.toolCalls > 0
            ? parseToolCalls(choice.text)
            : { content: choice.text, toolCalls: [] };
        const calls = toolCalls.length > 0 && { tool_calls: toolCalls.slice(0, options.toolCalls) };
        return {
          index,
          message: { role: "assistant", content, refusal: null, ...calls },
          logprobs: null,
          ...beside(choice),
          finish_reason: calls && choice.finish === "stop" ? "tool_calls" : choice.finish,
        };
      }),
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
      // The token that was chosen is among them, likely or not.
      top_logprobs: logprobs.map(({ top, ...chosen }) =>
        Object.fromEntries([...top, chosen].map(({ token, logprob }) => [token, logprob])),
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
    delta: (index, delta) => [{ ...head, choices: [choice(index, delta, null)] }],
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

/** A part of an answer as a stream's delta. */
function deltaOf(part: AnswerPart): object {
  if (part.kind === "content") return { content: part.text };
  const { index } = part;
  return part.kind === "call"
    ? {
        tool_calls: [
          { index, id: part.id, type: "function", function: { name: part.name, arguments: "" } },
        ],
      }
    : { tool_calls: [{ index, function: { arguments: part.text } }] };
}

function finishOf(parser: ToolCallParser | undefined, finish: FinishReason): FinishReason {
  return finish === "stop" && (parser?.calls ?? 0) > 0 ? "tool_calls" : finish;
}

function newHead(prefix: string, model: string): Head {
  const id = `${prefix}-${randomBytes(12).toString("hex")}`;
  return { id, created: Math.floor(Date.now() / 1000), model };
}

function chatLogprob({ top, ...token }: TokenLogprobs): ShownToken & { top_logprobs: object } {
  return { ...token, top_logprobs: top };
}
