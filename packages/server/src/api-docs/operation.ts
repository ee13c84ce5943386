/** What the table of operations and the examples say of one, as OpenAPI's operation. */
import { type Operation, POC_ERRORS, type Scope } from "@proofmill/core";
import { callbacksOf } from "./callbacks.ts";
import { type ApiExample, type OperationExamples, OVERSIZED } from "./example.ts";
import {
  type Answer,
  type Content,
  type JsonSchema,
  type NamedExample,
  type Operation as OpenApiOperation,
  type Parameter,
  schemaAddress,
} from "./openapi.ts";
import { commonAnswers } from "./refused.ts";

/** What a status means, where the examples do not say it more exactly. */
const REFUSED: Readonly<Record<number, string>> = {
  400: "The round does not allow it.",
  404: "There is no such job.",
  409: "The node's state or model does not allow it.",
  413: "The body or its list of nonces is too long.",
  422: "What was sent does not fit.",
  500: "The job that recomputes the distances failed.",
  503: "PoC is off, or the model is loading or gone.",
};

/** The name under which OpenAPI's document describes keys. */
export const KEY_SCHEME = "key";

/** What is said of an operation; objects by their names. */
export interface Described {
  readonly group: string;
  readonly summary: string;
  readonly scope: Scope;
  readonly body?: string;
  /** What its query may hold. */
  readonly query?: string;
  /** Of its path. */
  readonly parameters?: readonly Parameter[];
  /** Its method and path. */
  readonly rest?: string;
  readonly output: string;
  /** The status of the answer, 200 by default; null: it is always refused. */
  readonly success?: number | null;
  /** An event of the stream that it may answer with. */
  readonly stream?: string;
  readonly refusal?: string;
  /** That it can be refused with, besides those of all. */
  readonly statuses: readonly number[];
  readonly said: OperationExamples | undefined;
}

interface OperationOptions {
  schemas: Readonly<Record<string, JsonSchema>>;
  /** Whether the node has keys. */
  isLocked: boolean;
  /** Whether it is answered without one all the same, and however often. */
  isOpen: boolean;
}

export function describeOperation(
  name: string,
  described: Described,
  { schemas, isLocked, isOpen }: OperationOptions,
): OpenApiOperation {
  const { group, summary, body, query, output, stream, scope, statuses } = described;
  const { rest = "", success: answered = 200, refusal = "ErrorAnswer" } = described;
  const { success = "", refused = {}, examples = [] } = described.said ?? {};
  const asked = parametersOf(schemas[query ?? ""], rest, examples);
  const { parameters = asked } = described;
  const answer = (status: number, description: string): [number, Answer] => [
    status,
    {
      description,
      content: {
        ...content(status === answered ? output : refusal, answersOf(examples, status)),
        ...(status === answered &&
          stream !== undefined && {
            "text/event-stream": { schema: { $ref: schemaAddress(stream) } },
          }),
      },
    },
  ];
  const key = { [KEY_SCHEME]: [scope] };
  const callbacks = callbacksOf(body);
  return {
    operationId: name,
    summary,
    tags: [group],
    security: isLocked && !isOpen ? [key] : [{}, key],
    ...(parameters.length > 0 && { parameters: [...parameters] }),
    ...(body && {
      requestBody: { required: true, content: content(body, bodiesOf(examples, answered)) },
    }),
    responses: {
      ...commonAnswers({ isOpen }),
      ...Object.fromEntries([
        ...(answered === null ? [] : [answer(answered, success)]),
        ...statuses.map((status) => answer(status, refused[status] ?? REFUSED[status] ?? "")),
      ]),
    },
    ...(callbacks && { callbacks }),
  };
}

/** The statuses that an operation can be refused with. */
export function statusesOf({ refusals, refusedByDoor = [], body }: Operation): number[] {
  const statuses = [...refusals.map((code) => POC_ERRORS[code].status), ...refusedByDoor];
  return [...new Set(body ? [...statuses, 413] : statuses)]; // a body can be too long
}

/** Those that the path names in braces stand in it, the others behind it. */
function parametersOf(
  schema: JsonSchema = {},
  rest: string,
  examples: readonly ApiExample[],
): Parameter[] {
  return Object.entries(schema.properties ?? {}).map(([name, { description, ...field }]) => ({
    name,
    ...(rest.includes(`{${name}}`)
      ? { in: "path", example: examples.find(({ path }) => path)?.path?.[name] ?? "" }
      : { in: "query" }),
    ...(description !== undefined && { description }),
    required: schema.required?.includes(name) ?? false,
    schema: field,
  }));
}

function content(schema: string, examples: Record<string, NamedExample>): Content {
  const type = schema === "MetricsText" ? "text/plain" : "application/json";
  return { [type]: { schema: { $ref: schemaAddress(schema) }, examples } };
}

function answersOf(examples: readonly ApiExample[], status: number): Record<string, NamedExample> {
  return named(
    examples
      .filter((example) => example.status === status)
      .map(({ given, answer }) => ({ given, value: answer })),
  );
}

/**
 * Of what is refused, text that is no JSON and a mebibyte of filler, nothing is shown, unless nothing is
 * ever taken.
 */
function bodiesOf(
  examples: readonly ApiExample[],
  answered: number | null,
): Record<string, NamedExample> {
  return named(
    examples
      .filter(({ status, body }) => status === (answered ?? 409) && body !== OVERSIZED)
      .map(({ given, body }) => ({ given, value: body })),
  );
}

/** Names are made from the situation, with a number where several have the same. */
function named(shown: readonly { given: string; value: unknown }[]): Record<string, NamedExample> {
  const examples: Record<string, NamedExample> = {};
  for (const { given, value } of shown) {
    const name = given.replaceAll(" ", "-");
    let unused = name;
    for (let i = 2; unused in examples; i++) unused = `${name}-${i}`;
    examples[unused] = { summary: `When: ${given}`, value };
  }
  return examples;
}
