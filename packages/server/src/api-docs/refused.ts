/** The answers that operations have in common: who may not ask, and whatever else is refused. */
import { POC_ERRORS, SCOPES } from "@proofmill/core";
import { type Answer, type NamedExample, type Reference, schemaAddress } from "./openapi.ts";

const { text: WITHOUT_KEY, hint: KEY_HINT } = POC_ERRORS.UNAUTHORIZED;
const TOO_MANY_WAIT = "Too many requests are waiting for the model";
const TOO_OFTEN = POC_ERRORS.TOO_MANY_REQUESTS.text;

/** By the names under which the document has them; a test asks every operation for them. */
export const COMMON_ANSWERS: Readonly<Record<string, Answer>> = {
  Unauthorized: refused("The node has keys, and none of them was shown.", {
    "without-a-key": {
      value: {
        detail: WITHOUT_KEY,
        error: { ...said(WITHOUT_KEY), type: "invalid_request_error", code: "invalid_api_key" },
        hint: KEY_HINT,
      },
    },
  }),
  Forbidden: refused(
    "The key has not the scope that the operation needs.",
    Object.fromEntries(
      SCOPES.map((scope) => {
        const detail = `${POC_ERRORS.SCOPE_REQUIRED.text}: it needs ${scope}`;
        const error = { type: "invalid_request_error", code: "insufficient_permissions" };
        return [`without-${scope}`, { value: { detail, error: { ...said(detail), ...error } } }];
      }),
    ),
  ),
  TooManyRequests: refused(
    "The key, or the address, asks too often, or more chats wait than may; Retry-After says for how long.",
    {
      "too-often": {
        value: {
          detail: TOO_OFTEN,
          error: { ...said(TOO_OFTEN), type: "requests", code: "rate_limit_exceeded" },
        },
      },
      "too-many-wait": {
        value: {
          detail: TOO_MANY_WAIT,
          error: { ...said(TOO_MANY_WAIT), type: "rate_limit_exceeded", code: "queue_full" },
        },
      },
    },
  ),
  Refused: {
    description: "Refused for another reason: detail says which.",
    content: { "application/json": { schema: { $ref: schemaAddress("ErrorAnswer") } } },
  },
};

/** What an operation answers besides its own, by status. */
export function commonAnswers({ isOpen }: { isOpen: boolean }): Record<string, Reference> {
  const access = { 401: "Unauthorized", 403: "Forbidden", 429: "TooManyRequests" };
  const names = { ...(isOpen ? {} : access), default: "Refused" };
  return Object.fromEntries(
    Object.entries(names).map(([status, name]) => [status, { $ref: `${ADDRESS}${name}` }]),
  );
}

/** The answer that is referred to. */
export function commonAnswer({ $ref }: Reference): Answer | undefined {
  return COMMON_ANSWERS[$ref.slice(ADDRESS.length)];
}

const ADDRESS = "#/components/responses/";

function refused(description: string, examples: Record<string, NamedExample>): Answer {
  const schema = { $ref: schemaAddress("InferenceRefusal") };
  return { description, content: { "application/json": { schema, examples } } };
}

/** As OpenAI's clients read it. */
function said(message: string) {
  return { message, param: null };
}
