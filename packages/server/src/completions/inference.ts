/** Answers by the node's own model: from a checked body, over sessions, to deltas. */
import { setImmediate as nextTurn } from "node:timers/promises";
import type { ModelInfo, SessionRunner } from "@proofmill/core";
import type { TextModel } from "../text/text-model.ts";
import { ApiError } from "./api-error.ts";
import { Choice, type Delta, type FinishReason } from "./choice.ts";
import type { InferenceMeter, InferenceOutcome } from "./meter.ts";
import { chatPrompt, type Plan, planChat, planCompletion } from "./plan.ts";
import type { BodyOf, Shared } from "./requests.ts";
import { SessionPool } from "./session-pool.ts";

const WORDS_A_TURN = 8192;

/** Of an answer's tokens, for those who pay by them. */
export interface Usage {
  readonly prompt_tokens: number;
  readonly completion_tokens: number;
  readonly total_tokens: number;
  readonly prompt_tokens_details: { readonly cached_tokens: number };
}

/** What hears of an answer as it grows; `index` is the choice's. */
interface Listener {
  delta(index: number, delta: Delta): void;
  end(index: number, last: Delta & { finish: FinishReason }): void;
}

/** A request that has its places, and is not answered yet. */
export interface Ready {
  readonly plan: Plan;
  /**
   * Computes all choices, which ends when the last has.
   *
   * @throws ApiError; what `signal` aborts with
   */
  answer(listener: Listener, signal: AbortSignal): Promise<Usage>;
}

/** Who asks for answers. */
interface Asker {
  /** What those have in common whose requests are one caller's. */
  readonly caller: string;
  /** Aborts when nobody waits any more. */
  readonly signal: AbortSignal;
}

/** What the model is called. */
interface ModelNames {
  /** By which answers name it. */
  readonly name: string;
  /** Whether a request may call it so. */
  isNamed(name: string): boolean;
}

interface InferenceOptions {
  readonly names: ModelNames;
  /** The text of a model whose sequences may have so many tokens, once there is a model. */
  readonly openText: (info: ModelInfo, maxLen: number) => Promise<TextModel>;
  readonly meter: InferenceMeter;
}

export class Inference {
  readonly pool = new SessionPool();
  readonly #options: InferenceOptions;
  #text: Promise<TextModel> | null = null;
  #info: ModelInfo | null = null;

  constructor(options: InferenceOptions) {
    this.#options = options;
  }

  get modelName(): string {
    return this.#options.names.name;
  }

  /** @returns what takes the runner away */
  attach(runner: SessionRunner & { readonly info: ModelInfo }): () => void {
    this.#info = runner.info;
    if (runner.sessionLimits) {
      this.#text ??= this.#options.openText(runner.info, runner.sessionLimits.max_len);
    }
    return this.pool.attach(runner);
  }

  async close(): Promise<void> {
    await (await this.#text)?.close();
  }

  async chat(body: BodyOf<"chat">, { caller, signal }: Asker): Promise<Ready> {
    const { text, ...model } = await this.#model(body);
    this.pool.refuseMore(body.n ?? 1);
    const plan = await planChat(body, { ...model, text, signal });
    return this.#ready(plan, body, { text, caller });
  }

  async completion(body: BodyOf<"completion">, { caller, signal }: Asker): Promise<Ready> {
    const { text, ...model } = await this.#model(body);
    this.pool.refuseMore(body.prompt.length * (body.n ?? 1));
    const plan = await planCompletion(body, { ...model, text, signal });
    return this.#ready(plan, body, { text, caller });
  }

  /** In vLLM's shape. */
  async tokenize(body: BodyOf<"tokenize">, signal: AbortSignal): Promise<object> {
    const { text, limits } = await this.#model(body);
    const ids =
      "messages" in body
        ? await chatPrompt(body, { text, signal })
        : await text.encode(body.prompt, {
            addSpecialTokens: body.add_special_tokens ?? true,
            signal,
          });
    const tokens = Array.from(ids);
    const token_strs = body.return_token_strs ? await wordsOf(tokens, text) : null;
    return { count: tokens.length, max_model_len: limits.max_len, tokens, token_strs };
  }

  async detokenize(body: BodyOf<"detokenize">): Promise<object> {
    const { text } = await this.#model(body);
    return { prompt: text.decode(body.tokens, { skipSpecialTokens: false }) };
  }

  /** @throws ApiError 404 for another model's name, 503 while there is none */
  async #model({ model }: { model?: string | undefined }) {
    if (model !== undefined && !this.#options.names.isNamed(model)) throw unknownModel(model);
    const { limits } = this.pool;
    if (!this.#text || !this.#info || !limits) {
      throw new ApiError(503, "Model is loading", { code: "model_loading", retryAfter: 2 });
    }
    return { text: await this.#text, limits, vocabSize: this.#info.vocab_size };
  }

  /** Takes the places at once, so that whoever is one too many hears it before anything is sent. */
  #ready(
    plan: Plan,
    body: Shared & { logprobs?: unknown },
    { text, caller }: { text: TextModel; caller: string },
  ): Ready {
    const { meter } = this.#options;
    const begun = performance.now();
    const places = this.pool.reserve(plan.sessions, caller);
    const choiceOptions = {
      text,
      stop: body.stop ?? [],
      includesStop: body.include_stop_str_in_output ?? false,
      skipSpecialTokens: body.skip_special_tokens ?? true,
      namesTokensById: body.return_tokens_as_token_ids ?? false,
    };
    const answer = async (listener: Listener, signal: AbortSignal): Promise<Usage> => {
      const cancelAll = () => {
        for (const place of places) place.cancel();
      };
      signal.addEventListener("abort", cancelAll);
      let isFirst = true;
      let completionTokens = 0;
      let cachedTokens = 0;
      let outcome: InferenceOutcome = "failed";
      meter.inferenceBegan(plan.promptTokens);
      try {
        signal.throwIfAborted();
        const all = places.map(async (place, index) => {
          const session = plan.sessions[index] as Plan["sessions"][number]; // one for each place
          const choice = new Choice({
            ...choiceOptions,
            stopTokens: new Set(session.stop_tokens),
            wantsLogprobs: session.sampling.top_logprobs !== null,
          });
          const end = await place.open(session, (token) => {
            if (signal.aborted || choice.isStopped) return;
            if (isFirst) meter.firstToken((performance.now() - begun) / 1000);
            isFirst = false;
            const delta = choice.push(token);
            meter.generated(1);
            if (delta) listener.delta(index, delta);
            if (choice.isStopped) place.cancel();
          });
          completionTokens += choice.tokens;
          cachedTokens += end.cached_tokens;
          signal.throwIfAborted();
          listener.end(index, choice.end(end));
        });
        await endTogether(all, cancelAll);
        outcome = "answered";
      } catch (error) {
        if (signal.aborted) outcome = "cancelled";
        throw signal.aborted ? signal.reason : error;
      } finally {
        signal.removeEventListener("abort", cancelAll);
        for (const place of places) place.leave();
        meter.inferenceEnded(outcome, (performance.now() - begun) / 1000);
      }
      const prompt_tokens = plan.promptTokens;
      return {
        prompt_tokens,
        completion_tokens: completionTokens,
        total_tokens: prompt_tokens + completionTokens,
        prompt_tokens_details: { cached_tokens: cachedTokens },
      };
    };
    return { plan, answer };
  }
}

/** The text of each token; many take longer than a turn of the event loop may. */
async function wordsOf(tokens: readonly number[], text: TextModel): Promise<string[]> {
  const words: string[] = [];
  for (const id of tokens) {
    if (words.length % WORDS_A_TURN === WORDS_A_TURN - 1) await nextTurn();
    words.push(text.token(id).text);
  }
  return words;
}

export function unknownModel(model: string): ApiError {
  return new ApiError(404, `The model \`${model.slice(0, 200)}\` does not exist`, {
    param: "model",
    code: "model_not_found",
  });
}

/** Waits for all; where one fails the others are given up, and its error is thrown. */
async function endTogether(all: readonly Promise<void>[], giveUp: () => void): Promise<void> {
  for (const each of all) each.catch(giveUp);
  const ends = await Promise.allSettled(all);
  for (const end of ends) if (end.status === "rejected") throw end.reason;
}
