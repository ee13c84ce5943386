/** Examples of the paths of the node's own inference. */
import { ApiError } from "../completions/api-error.ts";
import { GATE_ANSWER } from "../inference/gate.ts";
import {
  type ApiExample,
  EXAMPLE_MODEL as NAME,
  type OperationExamples,
  OVERSIZED,
} from "./example.ts";

const OTHER = "gpt-4o";
const MESSAGES = [{ role: "user", content: "Hello" }];
const CREATED = 1_750_000_000;
const USAGE = {
  ...{ prompt_tokens: 12, completion_tokens: 4, total_tokens: 16 },
  prompt_tokens_details: { cached_tokens: 0 },
};

type Said = { param?: string; code?: string };

function refused(
  status: number,
  at: Partial<ApiExample>,
  [text, said]: [string, Said],
): ApiExample {
  const { message, error } = new ApiError(status, text, said);
  return { given: "no round", ...at, status, answer: { detail: message, error } };
}

function unknown(at: Partial<ApiExample>): ApiExample {
  const said = { param: "model", code: "model_not_found" };
  return refused(404, at, [`The model \`${OTHER}\` does not exist`, said]);
}

const LOADING: [string, Said] = ["Model is loading", { code: "model_loading" }];
const CLOSED = "A round is active, the model is loading, or its runner is gone.";

/** What every path with a body is refused with, given a body that is right. */
function refusals(body: object): ApiExample[] {
  return [
    unknown({ body: { ...body, model: OTHER } }),
    refused(413, { body: OVERSIZED }, ["Request body is too large", {}]),
    { given: "searching", body, status: 503, answer: GATE_ANSWER },
    refused(503, { given: "the model is loading", body }, LOADING),
  ];
}

const REFUSED = {
  400: "The body is no JSON, or asks for what this node or model has not, or for more than fits.",
  404: "The node holds another model.",
  413: "The body is too long.",
  422: "A field is of the wrong type, or out of range.",
  503: CLOSED,
};
const LOST: [string, Said] = ["Runner is not available: killed", { code: "runner_lost" }];
const NO_JSON = refused(400, { body: "{" }, ["the body is not JSON in UTF-8", {}]);

const MODEL = {
  ...{ id: NAME, object: "model", created: CREATED, owned_by: "proofmill" },
  max_model_len: 40_960,
};

export const INFERENCE_EXAMPLES: Readonly<Record<string, OperationExamples>> = {
  chat: {
    success: "The answer; with stream: true as server-sent events, of which the last is [DONE].",
    refused: REFUSED,
    examples: [
      {
        given: "no round",
        body: { messages: MESSAGES, max_tokens: 4 },
        status: 200,
        answer: {
          id: "chatcmpl-0123456789abcdef01234567",
          created: CREATED,
          model: NAME,
          object: "chat.completion",
          choices: [
            {
              index: 0,
              message: { role: "assistant", content: "Hello! How can", refusal: null },
              logprobs: null,
              finish_reason: "length",
            },
          ],
          usage: USAGE,
        },
      },
      refused(400, { body: { messages: MESSAGES, response_format: { type: "json_object" } } }, [
        "response_format: only text is supported, not json_object",
        { param: "response_format" },
      ]),
      refused(422, { body: { messages: MESSAGES, temperature: "hot" } }, [
        "temperature: Invalid input: expected number, received string",
        { param: "temperature" },
      ]),
      ...refusals({ messages: MESSAGES, max_tokens: 4 }),
      refused(503, { given: "the runner is gone", body: { messages: MESSAGES } }, LOST),
    ],
  },
  complete: {
    success: "What follows; with stream: true as server-sent events, of which the last is [DONE].",
    refused: REFUSED,
    examples: [
      {
        given: "no round",
        body: { prompt: "Once upon a time", max_tokens: 4, logprobs: 0 },
        status: 200,
        answer: {
          id: "cmpl-0123456789abcdef01234567",
          created: CREATED,
          model: NAME,
          object: "text_completion",
          choices: [
            {
              index: 0,
              text: " there was a queen",
              logprobs: {
                tokens: [" there", " was", " a", " queen"],
                token_logprobs: [-0.5, -0.125, -0.75, -4.5],
                top_logprobs: [
                  { " there": -0.5 },
                  { " was": -0.125 },
                  { " a": -0.75 },
                  { " queen": -4.5 },
                ],
                text_offset: [0, 6, 10, 12],
              },
              finish_reason: "length",
            },
          ],
          usage: USAGE,
        },
      },
      NO_JSON,
      refused(422, { body: { prompt: "Once", n: 0 } }, [
        "n: Too small: expected number to be >=1",
        { param: "n" },
      ]),
      ...refusals({ prompt: "Once upon a time", max_tokens: 4 }),
    ],
  },
  tokenize: {
    success: "The tokens, of a chat those of its template.",
    refused: REFUSED,
    examples: [
      {
        given: "no round",
        body: { prompt: "Hello, world!" },
        status: 200,
        answer: {
          ...{ count: 4, max_model_len: 40_960, tokens: [9707, 11, 1879, 0], token_strs: null },
        },
      },
      NO_JSON,
      refused(422, { body: { prompt: "Once", return_token_strs: "yes" } }, [
        "return_token_strs: Invalid input: expected boolean, received string",
        { param: "return_token_strs" },
      ]),
      ...refusals({ prompt: "Hello, world!" }),
    ],
  },
  detokenize: {
    success: "Their text; bytes that are no UTF-8 are U+FFFD.",
    refused: REFUSED,
    examples: [
      {
        given: "no round",
        body: { tokens: [72, 11] },
        status: 200,
        answer: { prompt: "i," },
      },
      NO_JSON,
      refused(422, { body: { tokens: [-1] } }, [
        "tokens.0: expected a token's id, 0 … 4294967295",
        { param: "tokens.0" },
      ]),
      ...refusals({ tokens: [72, 11] }),
    ],
  },
  model: {
    success: "The model of that name.",
    refused: { 404: "The node holds another model.", 503: CLOSED },
    examples: [
      { given: "no round", status: 200, answer: MODEL },
      unknown({ path: { id: OTHER } }),
      { given: "searching", status: 503, answer: GATE_ANSWER },
      refused(503, { given: "the model is loading" }, LOADING),
    ],
  },
};
