/** What is answered, as OpenAI's API and vLLM have it: for the API document, and tests of `shapes.ts`. */
import { z } from "zod";

const Token = z.strictObject({
  token: z.string(),
  logprob: z
    .number()
    .describe("By the model's logits alone, before temperature and penalties; at least −9999."),
  bytes: z.array(z.int()).nullable(),
});
const ChatLogprobs = z.strictObject({
  content: z.array(Token.extend({ top_logprobs: z.array(Token) })),
});
const FinishReason = z.enum(["stop", "length", "tool_calls"]);
const HEAD = {
  id: z.string(),
  created: z.int().describe("Seconds since 1970."),
  model: z.string(),
};
const TokenIds = z.array(z.int()).optional().describe("With return_token_ids.");
const Called = z.strictObject({ name: z.string(), arguments: z.string().describe("JSON.") });
const ToolCall = z.strictObject({ id: z.string(), type: z.literal("function"), function: Called });

export const Usage = z.strictObject({
  prompt_tokens: z.int(),
  completion_tokens: z.int(),
  total_tokens: z.int(),
  prompt_tokens_details: z.strictObject({
    cached_tokens: z.int().describe("Those that were computed for an earlier prompt already."),
  }),
});

export const ChatCompletion = z.strictObject({
  ...HEAD,
  object: z.literal("chat.completion"),
  choices: z.array(
    z.strictObject({
      index: z.int(),
      message: z.strictObject({
        role: z.literal("assistant"),
        content: z.string().nullable(),
        refusal: z.null(),
        tool_calls: z.array(ToolCall).optional(),
      }),
      logprobs: ChatLogprobs.nullable(),
      token_ids: TokenIds,
      finish_reason: FinishReason,
    }),
  ),
  usage: Usage,
});

/** An event of a stream. */
export const ChatCompletionChunk = z.strictObject({
  ...HEAD,
  object: z.literal("chat.completion.chunk"),
  choices: z.array(
    z.strictObject({
      index: z.int(),
      delta: z.strictObject({
        role: z.literal("assistant").optional(),
        content: z.string().optional(),
        tool_calls: z
          .array(
            ToolCall.partial().extend({
              index: z.int(),
              function: Called.partial(),
            }),
          )
          .optional(),
      }),
      logprobs: ChatLogprobs.nullable(),
      token_ids: TokenIds,
      finish_reason: FinishReason.nullable(),
    }),
  ),
  usage: Usage.optional().describe("In the last event, with stream_options.include_usage."),
});

const CompletionChoice = z.strictObject({
  index: z.int(),
  text: z.string(),
  logprobs: z
    .strictObject({
      tokens: z.array(z.string()),
      token_logprobs: z.array(z.number()),
      top_logprobs: z.array(z.record(z.string(), z.number())),
      text_offset: z.array(z.int()),
    })
    .nullable(),
  token_ids: TokenIds,
  finish_reason: FinishReason.nullable().describe("null in a stream that goes on."),
});

/** Whole, and as an event of a stream. */
export const Completion = z.strictObject({
  ...HEAD,
  object: z.literal("text_completion"),
  choices: z.array(CompletionChoice),
  usage: Usage.optional().describe(
    "Of a stream in its last event, with stream_options.include_usage.",
  ),
});

export const Tokens = z.strictObject({
  count: z.int(),
  max_model_len: z.int(),
  tokens: z.array(z.int()),
  token_strs: z.array(z.string()).nullable().describe("With return_token_strs."),
});

export const Detokenized = z.strictObject({ prompt: z.string() });

export const Model = z.strictObject({
  id: z.string(),
  object: z.literal("model"),
  created: z.int().describe("When this node started, in seconds since 1970."),
  owned_by: z.string(),
  max_model_len: z.int().describe("Tokens of the longest prompt with its answer."),
});
