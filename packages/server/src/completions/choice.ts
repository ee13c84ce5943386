/** One answer as it grows: a session's tokens become text, logprobs, and the reason of its end. */
import type { SessionEnd, SessionToken } from "@proofmill/core";
import type { TextModel } from "../text/text-model.ts";
import { StopStrings } from "./stop-strings.ts";

export type FinishReason = "stop" | "length" | "tool_calls";

/** A token as logprobs show it. */
export interface ShownToken {
  readonly token: string;
  readonly logprob: number;
  /** Null where the model has no tokenizer. */
  readonly bytes: number[] | null;
}

export interface TokenLogprobs extends ShownToken {
  readonly top: readonly ShownToken[];
}

/** What is new of an answer. */
export interface Delta {
  readonly text: string;
  readonly logprobs: readonly TokenLogprobs[];
  readonly tokenIds: readonly number[];
}

interface ChoiceOptions {
  readonly text: TextModel;
  readonly stop: readonly string[];
  /** Tokens that end an answer; what they say is no part of its text. */
  readonly stopTokens: ReadonlySet<number>;
  /** Whether the text has what ended it, a stop string or what a stop token says. */
  readonly includesStop: boolean;
  readonly skipSpecialTokens: boolean;
  readonly wantsLogprobs: boolean;
  /** Whether logprobs name tokens by their ids, which tells those apart that are no whole text. */
  readonly namesTokensById: boolean;
}

/** Tokens whose logprobs are kept back while their text is not certain. */
const MOST_HELD = 64;

export class Choice {
  readonly #options: ChoiceOptions;
  readonly #stream: { push(id: number): string; end(): string };
  readonly #stops: StopStrings;
  #logprobs: TokenLogprobs[] = [];
  #tokenIds: number[] = [];
  /** Tokens of the answer so far. */
  tokens = 0;

  constructor(options: ChoiceOptions) {
    const { text, stop, includesStop, skipSpecialTokens } = options;
    this.#options = options;
    this.#stops = new StopStrings(stop, { includesStop });
    this.#stream = text.hasTokenizer
      ? text.stream({ skipSpecialTokens })
      : { push: () => "", end: () => "" };
  }

  /** Whether a stop string was found, so that the rest need not be computed. */
  get isStopped(): boolean {
    return this.#stops.isFound;
  }

  /** What is told of the answer with this token; null while nothing is. */
  push(token: SessionToken): Delta | null {
    if (this.isStopped) return null;
    const { stopTokens, includesStop, wantsLogprobs } = this.#options;
    this.tokens++;
    this.#tokenIds.push(token.id);
    if (wantsLogprobs) {
      const top = token.top_logprobs.map((each) => this.#shown(each));
      this.#logprobs.push({ ...this.#shown(token), top });
    }
    const isSaid = includesStop || !stopTokens.has(token.id);
    const piece = isSaid ? this.#stops.push(this.#stream.push(token.id)) : "";
    // Tokens without text go with the next one that has some, but not without end.
    return piece === "" && this.#logprobs.length < MOST_HELD ? null : this.#take(piece);
  }

  /** What is left once the session has ended, and why it has. */
  end({ finish_reason }: Pick<SessionEnd, "finish_reason">): Delta & { finish: FinishReason } {
    const rest = this.isStopped ? "" : this.#stops.push(this.#stream.end()) + this.#stops.end();
    const finish = this.isStopped || finish_reason === "stop" ? "stop" : "length";
    return { ...this.#take(rest), finish };
  }

  #take(text: string): Delta {
    const delta = { text, logprobs: this.#logprobs, tokenIds: this.#tokenIds };
    this.#logprobs = [];
    this.#tokenIds = [];
    return delta;
  }

  #shown({ id, logprob: exact }: { readonly id: number; readonly logprob: number }): ShownToken {
    const { text, namesTokensById } = this.#options;
    const logprob = Math.max(exact, LEAST_LOGPROB);
    const word = text.hasTokenizer ? text.token(id) : null;
    const token = word === null || namesTokensById ? `token_id:${id}` : word.text;
    return { token, logprob, bytes: word?.bytes ?? null };
  }
}

/** JSON has no infinities: the least probability is as good as none. */
const LEAST_LOGPROB = -9999;
