/** Bodies of requests for answers: from bytes to what was asked, or to what is wrong with it. */
import { z } from "zod";
import type { OpenAiError } from "./api-error.ts";
import {
  areTokenIds,
  MAX_CHOICES,
  MAX_TOP_LOGPROBS,
  maybe,
  SHARED_FIELDS,
  TokenIds,
  unknownFields,
  unsupported,
} from "./fields.ts";

const MAX_MESSAGES = 4096;
/** Values in a body's messages, tools and template arguments, which templates walk through. */
const MAX_VALUES = 100_000;
/** How deep they may nest: what walks through them calls itself for each level. */
const MAX_DEPTH = 100;

const TOLD_TO_TEMPLATES = ["messages", "tools", "documents", "chat_template_kwargs"];

const Message = z.looseObject({
  role: z.string().min(1),
  content: z
    .union([z.string(), z.array(z.looseObject({ type: z.literal("text"), text: z.string() }))], {
      error: "expected a text, or a list of parts of the type text",
    })
    .nullish(),
});

const CHAT_FIELDS = {
  messages: z.array(Message).min(1).max(MAX_MESSAGES),
  tools: maybe(
    z.array(
      z.looseObject({
        type: z.literal("function"),
        function: z.looseObject({ name: z.string().min(1) }),
      }),
    ),
  ),
  documents: maybe(z.array(z.looseObject({}))).describe(
    "What the model's chat template is told of documents, where it asks for them.",
  ),
  reasoning_effort: maybe(z.string().max(100)).describe(
    "What the model's chat template is told of it, where it asks.",
  ),
  chat_template_kwargs: maybe(z.record(z.string(), z.unknown())).describe(
    "What else the model's chat template is told, enable_thinking for example.",
  ),
  add_generation_prompt: maybe(z.boolean()),
  add_special_tokens: maybe(z.boolean()).describe(
    "Whether the tokens that a text begins or ends with are added to those of the template; false.",
  ),
};

const ChatBody = z.object({
  ...SHARED_FIELDS,
  ...CHAT_FIELDS,
  max_completion_tokens: maybe(z.int().min(1)),
  logprobs: maybe(z.boolean()),
  top_logprobs: maybe(z.int().min(0).max(MAX_TOP_LOGPROBS)),
  tool_choice: maybe(z.string()),
  parallel_tool_calls: maybe(z.boolean()).describe("Where it is false only a first call is told."),
});

const PROMPTS_EXPECTED = `expected 1 … ${MAX_CHOICES} prompts`;

/** What lists others than one of token ids hold is looked at only where they are short (`TokenIds`). */
const Prompts = z
  .preprocess(
    (prompt, context) => {
      if (Array.isArray(prompt) && prompt.length > MAX_CHOICES && !areTokenIds(prompt)) {
        context.addIssue({ code: "custom", message: `${PROMPTS_EXPECTED}, or tokens' ids` });
      }
      return prompt;
    },
    z.union([z.string(), TokenIds, z.array(z.string()), z.array(TokenIds)], {
      error: "expected a text, tokens' ids, or a list of either",
    }),
  )
  .transform((prompt): (string | number[])[] => {
    if (typeof prompt === "string") return [prompt];
    return typeof prompt[0] === "number" ? [prompt as number[]] : (prompt as (string | number[])[]);
  })
  .refine((prompts) => prompts.length >= 1 && prompts.length <= MAX_CHOICES, {
    message: PROMPTS_EXPECTED,
  });

const CompletionBody = z.object({
  ...SHARED_FIELDS,
  prompt: Prompts,
  logprobs: maybe(z.int().min(0).max(MAX_TOP_LOGPROBS)),
  echo: maybe(z.boolean()),
  add_special_tokens: maybe(z.boolean()),
});

/** What may be tokenized. */
export const TOKENIZE_BODIES = {
  text: z.object({
    model: maybe(z.string()),
    prompt: z.string(),
    add_special_tokens: maybe(z.boolean()),
    return_token_strs: maybe(z.boolean()),
  }),
  chat: z.object({
    ...{ model: maybe(z.string()), return_token_strs: maybe(z.boolean()), ...CHAT_FIELDS },
  }),
};
const TokenizeBody = z.union([TOKENIZE_BODIES.text, TOKENIZE_BODIES.chat]);

const DetokenizeBody = z.object({ model: maybe(z.string()), tokens: TokenIds });

/** By the name that a path has for it. */
export const BODIES = {
  chat: ChatBody,
  completion: CompletionBody,
  tokenize: TokenizeBody,
  detokenize: DetokenizeBody,
};

export type BodyName = keyof typeof BODIES;
export type BodyOf<Name extends BodyName> = z.infer<(typeof BODIES)[Name]>;
export type ChatFields = Pick<BodyOf<"chat">, keyof typeof CHAT_FIELDS>;
export type Shared = Pick<BodyOf<"chat">, keyof typeof SHARED_FIELDS>;

/** What came of a body; it survives a structured clone. */
export type Outcome<Name extends BodyName = BodyName> =
  /** `unknown` are fields that were left out, since nobody knows them here. */
  | { readonly body: BodyOf<Name>; readonly unknown: readonly string[] }
  | { readonly status: 400 | 422; readonly error: Pick<OpenAiError, "message" | "param"> };

const utf8 = new TextDecoder("utf-8", { fatal: true });

/** Parses and checks a body; never throws for what a caller sent. */
export function checkBody<Name extends BodyName>(
  name: Name,
  bytes: Uint8Array,
  contentType: string | undefined,
): Outcome<Name> {
  // A page in a browser can send any text without asking, but not under JSON's content type.
  if (contentType && !/^\s*application\/([^\s;/]+\+)?json\s*(;|$)/i.test(contentType)) {
    return refusal(
      400,
      null,
      `the body must be JSON under its content type, not ${contentType.slice(0, 100)}`,
    );
  }
  let value: unknown;
  try {
    value = JSON.parse(utf8.decode(bytes));
  } catch {
    return refusal(400, null, "the body is not JSON in UTF-8");
  }
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    return refusal(422, null, "the body must be an object");
  }
  const sent = value as Record<string, unknown>;
  const wrong = unsupported(sent);
  if (wrong) return refusal(400, wrong.param, wrong.message);
  for (const param of TOLD_TO_TEMPLATES) {
    const tooMuch = tooMuchOf(sent[param]);
    if (tooMuch) return refusal(400, param, `${param} ${tooMuch}`);
  }
  const schema = BODIES[name];
  const parsed = schema.safeParse(value);
  if (parsed.success) {
    const unknown = schema instanceof z.ZodObject ? unknownFields(sent, schema.shape) : [];
    return { body: parsed.data as BodyOf<Name>, unknown };
  }
  const [issue] = parsed.error.issues.map(innermost);
  const param = issue?.path.map(String).join(".") ?? "";
  return refusal(422, param || null, `${param || "the body"}: ${issue?.message ?? "is wrong"}`);
}

/** Of a value that may be several things, what is wrong with it as the thing that it is most like. */
function innermost(issue: z.core.$ZodIssue): { path: PropertyKey[]; message: string } {
  if (issue.code === "invalid_key") {
    return { path: issue.path, message: issue.issues[0]?.message ?? issue.message };
  }
  if (issue.code !== "invalid_union") return issue;
  const deepest = issue.errors
    .flat()
    .reduce<z.core.$ZodIssue | undefined>(
      (best, each) => ((best?.path.length ?? 0) >= each.path.length ? (best ?? each) : each),
      undefined,
    );
  if (!deepest || deepest.path.length === 0) return issue;
  const inner = innermost(deepest);
  return { path: [...issue.path, ...inner.path], message: inner.message };
}

function refusal(status: 400 | 422, param: string | null, message: string) {
  return {
    status,
    error: { message: message.slice(0, 1000), param: param?.slice(0, 200) ?? null },
  };
}

/** What of a value is more than a template is given; null: nothing. */
function tooMuchOf(value: unknown): string | null {
  let count = 0;
  let level = [value];
  for (let depth = 0; level.length > 0; depth++) {
    if (depth > MAX_DEPTH) return `nests deeper than ${MAX_DEPTH} levels`;
    count += level.length;
    if (count > MAX_VALUES) return `holds more than ${MAX_VALUES} values`;
    level = level.flatMap((each) =>
      typeof each === "object" && each !== null ? Object.values(each) : [],
    );
  }
  return null;
}
