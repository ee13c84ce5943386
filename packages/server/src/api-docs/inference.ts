/** The paths of the node's own inference, for the API document: they are no operations of the table. */
import { z } from "zod";
import {
  ChatCompletion,
  ChatCompletionChunk,
  Completion,
  Detokenized,
  Model,
  Tokens,
  Usage,
} from "../completions/answers.ts";
import { BODIES, TOKENIZE_BODIES } from "../completions/requests.ts";
import { EXAMPLE_MODEL, replaced } from "./example.ts";
import { INFERENCE_EXAMPLES } from "./inference-examples.ts";
import type { JsonSchema, Parameter } from "./openapi.ts";
import type { Described } from "./operation.ts";

const SCHEMAS = {
  ChatRequest: BODIES.chat,
  CompletionRequest: BODIES.completion,
  TokenizeRequest: BODIES.tokenize,
  TokenizeText: TOKENIZE_BODIES.text,
  TokenizeChat: TOKENIZE_BODIES.chat,
  DetokenizeRequest: BODIES.detokenize,
  ...{ ChatCompletion, ChatCompletionChunk, Completion, Usage, Tokens, Detokenized, Model },
};

type Name = keyof typeof SCHEMAS;

const COMMON = { group: "Inference", scope: "inference", refusal: "InferenceRefusal" } as const;
const WITH_BODY = { ...COMMON, statuses: [400, 404, 413, 422, 503] };

/** By name: method and path, and what is said of them. */
export function inferencePaths(
  modelName: string,
): Readonly<Record<string, Described & { rest: string }>> {
  const id: Parameter = {
    ...{ name: "id", in: "path", required: true, schema: { type: "string" } },
    example: modelName,
  };
  const paths: Record<string, Paths> = {
    chat: {
      ...{ rest: "POST /v1/chat/completions", summary: "Answer a chat" },
      ...{ body: "ChatRequest", output: "ChatCompletion", stream: "ChatCompletionChunk" },
    },
    complete: {
      ...{ rest: "POST /v1/completions", summary: "Go on with texts or tokens" },
      ...{ body: "CompletionRequest", output: "Completion", stream: "Completion" },
    },
    tokenize: {
      ...{ rest: "POST /tokenize", summary: "The tokens of a text or of a chat" },
      ...{ body: "TokenizeRequest", output: "Tokens" },
    },
    detokenize: {
      ...{ rest: "POST /detokenize", summary: "The text of tokens" },
      ...{ body: "DetokenizeRequest", output: "Detokenized" },
    },
    model: {
      ...{ rest: "GET /v1/models/{id}", summary: "One model, by its name" },
      ...{ ...COMMON, statuses: [404, 503], output: "Model", parameters: [id] },
    },
  };
  return Object.fromEntries(
    Object.entries(paths).map(([name, path]) => [
      name,
      {
        ...{ ...WITH_BODY, ...path },
        said: replaced(INFERENCE_EXAMPLES[name], EXAMPLE_MODEL, modelName),
      },
    ]),
  );
}

type Paths = Partial<Described> & {
  rest: string;
  summary: string;
  body?: Name;
  output: Name;
  stream?: Name;
};

/** Their objects under their names, as JSON Schema. */
export function inferenceSchemas(address: (name: string) => string): Record<string, JsonSchema> {
  const registry = z.registry<{ id: string }>();
  for (const [id, schema] of Object.entries(SCHEMAS)) registry.add(schema, { id });
  const made = z.toJSONSchema(registry, { io: "input", unrepresentable: "any", uri: address });
  return Object.fromEntries(
    Object.entries(made.schemas).map(([name, { $schema, $id, ...schema }]) => [
      name,
      schema as JsonSchema,
    ]),
  );
}
