/** The fields that requests for an answer share, and those that this node refuses. */
import { isDeepStrictEqual } from "node:util";
import { z } from "zod";

/** Bounds of lists and texts in a request. */
const MAX_STOPS = 16;
const MAX_STOP_LENGTH = 1000;
const MAX_STOP_TOKENS = 1024;
const MAX_BIASES = 4096;
export const MAX_CHOICES = 128;
/** As many as OpenAI's API takes, and vLLM unless it is told otherwise. */
export const MAX_TOP_LOGPROBS = 20;
const MOST = 1e6;

/** Absent and null mean the same to OpenAI's clients. */
export const maybe = <T extends z.ZodType>(schema: T) =>
  schema.nullish().transform((value) => value ?? undefined);

const MAX_TOKEN_ID = 2 ** 32 - 1;

/** Whether a list has token ids alone. */
export const areTokenIds = (list: readonly unknown[]) => list.every(isTokenId);

const isTokenId = (value: unknown) =>
  Number.isInteger(value) && (value as number) >= 0 && (value as number) <= MAX_TOKEN_ID;

/**
 * Checked in one plain loop, up to the first wrong one: zod's own array makes an object for each wrong
 * item, and hundreds of thousands fit into a body.
 */
export const TokenIds = z
  .custom<number[]>()
  .superRefine((value: unknown, context) => {
    const refuse = (path: number[], message: string) =>
      context.addIssue({ code: "custom", path, message, continue: false });
    if (!Array.isArray(value)) return refuse([], "expected a list of tokens' ids");
    const wrong = value.findIndex((item) => !isTokenId(item));
    if (wrong !== -1) refuse([wrong], `expected a token's id, 0 … ${MAX_TOKEN_ID}`);
  })
  .meta({ type: "array", items: { type: "integer", minimum: 0, maximum: MAX_TOKEN_ID } });

/** Looks at the size of a list or an object first, for the same reason. */
function atMost<T extends z.ZodType>(most: number, schema: T) {
  return z.preprocess((value, context) => {
    const size = Array.isArray(value) ? value.length : Object.keys(value ?? {}).length;
    if (typeof value === "object" && size > most) {
      context.addIssue({ code: "custom", message: `expected at most ${most}` });
    }
    return value;
  }, schema);
}

/** A half of a surrogate pair would cut a character of the answer into halves. */
const Text = z
  .string()
  .refine((text) => !LONE_SURROGATE.test(text), "expected text without half a surrogate pair");
const LONE_SURROGATE = /\p{Surrogate}/u;

const Stop = atMost(MAX_STOPS, z.union([z.string(), z.array(z.string())]))
  .transform((stop) => (typeof stop === "string" ? [stop] : stop))
  .pipe(z.array(Text.max(MAX_STOP_LENGTH)))
  .transform((stops) => stops.filter((stop) => stop !== ""));

/** As wide as OpenAI's API has it. Beyond 2⁵³ JSON's numbers are rounded, every time alike. */
const Seed = z
  .number()
  .min(-(2 ** 63))
  .max(2 ** 63)
  .refine(Number.isInteger, "expected an integer")
  .meta({ type: "integer" });

export const SHARED_FIELDS = {
  model: maybe(z.string()).describe("As /v1/models names it; the node's own where it is left out."),
  stream: maybe(z.boolean()).describe("Whether the answer comes in pieces, as server-sent events."),
  stream_options: maybe(z.object({ include_usage: maybe(z.boolean()) })),
  n: maybe(z.int().min(1).max(MAX_CHOICES)),
  max_tokens: maybe(z.int().min(1)),
  stop: maybe(Stop).describe("Texts that end an answer, which then is without them."),
  stop_token_ids: maybe(atMost(MAX_STOP_TOKENS, TokenIds)),
  ignore_eos: maybe(z.boolean()).describe(
    "Whether an answer goes on after the tokens that end one.",
  ),
  include_stop_str_in_output: maybe(z.boolean()).describe(
    "Whether an answer has what ended it, a text of stop or what a token of stop_token_ids says.",
  ),
  skip_special_tokens: maybe(z.boolean()),
  temperature: maybe(z.number().min(0).max(MOST)),
  top_p: maybe(z.number().gt(0).max(1)),
  top_k: maybe(
    z
      .int()
      .min(-1)
      .max(2 ** 31),
  ).describe("Only so many of the likeliest tokens; -1, as 0: any."),
  min_p: maybe(z.number().min(0).max(1)).describe(
    "Only tokens that are at least this share as likely as the likeliest.",
  ),
  seed: maybe(Seed).describe("The same seed gives the same text, whatever else is answered."),
  presence_penalty: maybe(z.number().min(-MOST).max(MOST)),
  frequency_penalty: maybe(z.number().min(-MOST).max(MOST)),
  repetition_penalty: maybe(
    z
      .number()
      .min(1 / MOST)
      .max(MOST),
  ),
  logit_bias: maybe(
    atMost(
      MAX_BIASES,
      z.record(
        z.string().regex(/^(0|[1-9]\d{0,9})$/, "expected a token's id"),
        z.number().min(-MOST).max(MOST),
      ),
    ),
  ),
  enforced_tokens: maybe(
    TokenIds.refine((ids) => ids.length > 0, "expected at least one token"),
  ).describe(
    "The answer's tokens, whatever would be chosen, each with the logprobs that it had: how an answer of others is checked.",
  ),
  return_tokens_as_token_ids: maybe(z.boolean()).describe(
    "Whether logprobs name tokens by their ids, as token_id:5.",
  ),
  return_token_ids: maybe(z.boolean()).describe("Whether the ids of the answer's tokens are told."),
};

/** Fields that change an answer and that this node has not, with the values that ask for nothing. */
const NOT_HERE: Readonly<Record<string, readonly unknown[]>> = {
  best_of: [1],
  suffix: [""],
  use_beam_search: [false],
  length_penalty: [1],
  early_stopping: [false],
  min_tokens: [0],
  prompt_embeds: [],
  prompt_logprobs: [],
  logprob_token_ids: [],
  truncate_prompt_tokens: [],
  bad_words: [],
  allowed_token_ids: [],
  logits_processors: [],
  thinking_token_budget: [],
  repetition_detection: [],
  guided_json: [],
  guided_json_object: [false],
  guided_regex: [],
  guided_choice: [],
  guided_grammar: [],
  structural_tag: [],
  structured_outputs: [],
  functions: [],
  function_call: ["none", "auto"],
  modalities: [["text"]],
  audio: [],
  verbosity: ["medium"],
  web_search_options: [],
  chat_template: [],
  continue_final_message: [false],
  prediction: [],
  kv_transfer_params: [],
  vllm_xargs: [{}],
};

/** Fields that clients send and that change no token of an answer. */
const WITHOUT_EFFECT = new Set([
  ...["user", "store", "metadata", "service_tier", "safety_identifier", "request_id", "priority"],
  ...["prompt_cache_key", "prompt_cache_retention", "cache_salt", "include_reasoning"],
  ...["response_format", "tool_choice", "parallel_tool_calls", "spaces_between_special_tokens"],
  ...["guided_decoding_backend", "guided_whitespace_pattern"],
  ...["mm_processor_kwargs", "media_io_kwargs"],
]);

/** Fields of one body that are told to its sender, and characters of each. */
const MAX_NAMED = 16;
const NAME = /^[\w.-]{1,64}$/;

/** Fields that nobody knows here, as far as their names are such as can be told in a header. */
export function unknownFields(
  body: Record<string, unknown>,
  known: Readonly<Record<string, unknown>>,
): string[] {
  const isKnown = (name: string) =>
    Object.hasOwn(known, name) || Object.hasOwn(NOT_HERE, name) || WITHOUT_EFFECT.has(name);
  const names = Object.keys(body).filter((name) => !isKnown(name) && NAME.test(name));
  return names.slice(0, MAX_NAMED);
}

/** The first field that asks for what this node has not; undefined where none does. */
export function unsupported(
  body: Record<string, unknown>,
): { param: string; message: string } | undefined {
  for (const [param, harmless] of Object.entries(NOT_HERE)) {
    const value = body[param] ?? undefined;
    if (value === undefined || harmless.some((each) => isDeepStrictEqual(each, value))) continue;
    if (Array.isArray(value) && value.length === 0) continue;
    return { param, message: `${param} is not supported` };
  }
  if (body.echo && body.messages !== undefined) {
    return { param: "echo", message: "echo is not supported in chats" };
  }
  const format = body.response_format as { type?: unknown } | null | undefined;
  if (format && format.type !== "text") {
    const { type } = format;
    const wanted = typeof type === "string" ? `, not ${type.slice(0, 100)}` : "";
    return {
      param: "response_format",
      message: `response_format: only text is supported${wanted}`,
    };
  }
  const choice = body.tool_choice ?? "auto";
  if (choice !== "auto" && choice !== "none") {
    return { param: "tool_choice", message: "tool_choice: only none and auto are supported" };
  }
  return undefined;
}
