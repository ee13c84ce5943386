/** From what was asked to sessions: prompts become tokens, and what cannot fit is refused. */
import { randomInt } from "node:crypto";
import {
  PLAIN_SAMPLING,
  type Sampling,
  type SessionLimits,
  type TokenSession,
} from "@proofmill/core";
import type { TextModel } from "../text/text-model.ts";
import { ApiError } from "./api-error.ts";
import type { BodyOf, ChatFields, Shared } from "./requests.ts";

/** Tokens of a completion that names no number, as OpenAI has it. */
const COMPLETION_TOKENS = 16;
const SEED_BITS = 53;

/** Whose it is and what it is called is decided when it gets its place. */
export type PlannedSession = Omit<TokenSession, "id" | "caller">;

/** What a request for answers comes to. */
export interface Plan {
  readonly sessions: readonly PlannedSession[];
  /** The text before each answer that is to be repeated; null: none. */
  readonly echo: readonly string[] | null;
  readonly promptTokens: number;
}

interface PlanOptions {
  readonly text: TextModel;
  readonly limits: Pick<SessionLimits, "max_len">;
  readonly vocabSize: number;
  readonly signal: AbortSignal;
}

/** @throws ApiError 400; what text throws */
export async function planChat(body: BodyOf<"chat">, options: PlanOptions): Promise<Plan> {
  const ids = await chatPrompt(body, options);
  const maxTokens = body.max_completion_tokens ?? body.max_tokens ?? null;
  const topLogprobs = body.logprobs ? (body.top_logprobs ?? 0) : null;
  if (!body.logprobs && body.top_logprobs) {
    throw new ApiError(400, "top_logprobs needs logprobs", { param: "top_logprobs" });
  }
  const common = commonOf(body, options);
  const sessions = sessionsOf(body, { prompt: ids, maxTokens, topLogprobs, common, options });
  return { sessions, echo: null, promptTokens: ids.length };
}

/** Whether a chat's template is told of tools, whose calls its answer may then hold. */
export function usesTools({ tools, tool_choice }: ToolFields): boolean {
  return tool_choice !== "none" && tools !== undefined && tools.length > 0;
}

type ToolFields = Pick<ChatFields, "tools"> & { tool_choice?: string | undefined };

/** The tokens of a chat up to its answer. */
export async function chatPrompt(
  body: ChatFields & ToolFields,
  { text, signal }: Pick<PlanOptions, "text" | "signal">,
): Promise<Uint32Array> {
  const { messages, tools, documents, reasoning_effort, chat_template_kwargs } = body;
  const { ids } = await text.chat({
    messages,
    tools: usesTools(body) ? (tools ?? null) : null,
    documents: documents ?? null,
    addGenerationPrompt: body.add_generation_prompt ?? true,
    addSpecialTokens: body.add_special_tokens ?? false,
    templateKwargs: { ...(reasoning_effort && { reasoning_effort }), ...chat_template_kwargs },
    signal,
  });
  return ids;
}

/** @throws ApiError 400; what text throws */
export async function planCompletion(
  body: BodyOf<"completion">,
  options: PlanOptions,
): Promise<Plan> {
  const { text, signal } = options;
  if (body.echo && body.logprobs !== undefined) {
    throw new ApiError(400, "echo together with logprobs is not supported", { param: "echo" });
  }
  const sessions: PlannedSession[] = [];
  const common = commonOf(body, options);
  const echo: string[] = [];
  let promptTokens = 0;
  for (const prompt of body.prompt) {
    const addSpecialTokens = body.add_special_tokens ?? true;
    const ids =
      typeof prompt === "string"
        ? await text.encode(prompt, { addSpecialTokens, signal })
        : Uint32Array.from(prompt);
    promptTokens += ids.length;
    const planned = sessionsOf(body, {
      prompt: ids,
      maxTokens: body.max_tokens ?? COMPLETION_TOKENS,
      topLogprobs: body.logprobs ?? null,
      common,
      options,
    });
    sessions.push(...planned);
    if (!body.echo) continue;
    // Halves of surrogate pairs are tokens of U+FFFD, and are said so.
    const said =
      typeof prompt === "string"
        ? prompt.replace(/\p{Surrogate}/gu, "\ufffd")
        : text.decode(ids, { skipSpecialTokens: false });
    for (const _ of planned) echo.push(said);
  }
  return { sessions, echo: body.echo ? echo : null, promptTokens };
}

interface Wanted {
  readonly prompt: Uint32Array;
  /** Null: as many as fit. */
  readonly maxTokens: number | null;
  readonly topLogprobs: number | null;
  readonly common: Common;
  readonly options: PlanOptions;
}

/** What all answers of a request have in common, made once. */
interface Common {
  readonly enforced: Uint32Array;
  readonly stopTokens: Uint32Array;
  readonly sampling: Sampling;
}

function commonOf(body: Shared, options: PlanOptions): Common {
  const { text, vocabSize } = options;
  const enforced = Uint32Array.from(body.enforced_tokens ?? []);
  const wanted = Uint32Array.from(body.stop_token_ids ?? []);
  checkIds("enforced_tokens", enforced, vocabSize);
  checkIds("stop_token_ids", wanted, vocabSize);
  const ends = body.ignore_eos ? [] : text.endTokens.filter((id) => id < vocabSize);
  const stopTokens = Uint32Array.from(new Set([...wanted, ...ends]));
  return { enforced, stopTokens, sampling: samplingOf(body, options) };
}

/** One session for each of the `n` answers. */
function sessionsOf(body: Shared, wanted: Wanted): PlannedSession[] {
  const { prompt, topLogprobs, options } = wanted;
  const { enforced, stopTokens, sampling } = wanted.common;
  const { limits, vocabSize } = options;
  if (prompt.length === 0) throw new ApiError(400, "the prompt has no tokens", { param: "prompt" });
  checkIds("prompt", prompt, vocabSize);
  const maxTokens = enforced.length || wanted.maxTokens || limits.max_len - prompt.length;
  refuseTooLong(prompt.length, maxTokens, limits.max_len);
  const seed = BigInt(body.seed ?? randomInt(2 ** 48 - 1));
  return Array.from({ length: body.n ?? 1 }, (_, i) => ({
    prompt,
    max_tokens: maxTokens,
    stop_tokens: stopTokens,
    enforced_tokens: enforced,
    sampling: {
      ...sampling,
      seed: Number(BigInt.asUintN(SEED_BITS, seed + BigInt(i))),
      top_logprobs: topLogprobs,
    },
  }));
}

/** What the caller wants, then what the model's authors recommend, then the plain distribution. */
function samplingOf(body: Shared, { text, vocabSize }: PlanOptions): Sampling {
  const wanted = {
    temperature: body.temperature,
    top_p: body.top_p,
    top_k: body.top_k === -1 ? 0 : body.top_k,
    min_p: body.min_p,
    presence_penalty: body.presence_penalty,
    frequency_penalty: body.frequency_penalty,
    repetition_penalty: body.repetition_penalty,
  };
  const named = Object.entries(wanted).filter(([, value]) => value !== undefined);
  const biases = Object.entries(body.logit_bias ?? {}).map(([id, bias]): [number, number] => [
    Number(id),
    bias,
  ]);
  checkIds(
    "logit_bias",
    biases.map(([id]) => id),
    vocabSize,
  );
  return {
    ...PLAIN_SAMPLING,
    ...text.samplingDefaults,
    ...Object.fromEntries(named),
    logit_bias: biases,
  };
}

function checkIds(param: string, ids: ArrayLike<number>, vocabSize: number): void {
  for (let i = 0; i < ids.length; i++) {
    const id = ids[i] ?? 0;
    if (id < vocabSize) continue;
    throw new ApiError(400, `${param} holds token ${id}, expected ids 0 … ${vocabSize - 1}`, {
      param,
    });
  }
}

function refuseTooLong(prompt: number, answer: number, most: number): void {
  if (prompt + answer <= most && answer >= 1) return;
  const asked =
    answer >= 1
      ? `${prompt + answer} tokens (${prompt} in the prompt, ${answer} in the answer)`
      : `a prompt of ${prompt} tokens, which leaves none for the answer`;
  throw new ApiError(
    400,
    `This node answers within ${most} tokens, and the request asks for ${asked}`,
    { param: "prompt", code: "context_length_exceeded" },
  );
}
