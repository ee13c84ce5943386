/** The API document, completed: what the routes' schemas do not say. */
import type { OperationTable } from "@proofmill/core";
import { type ApiExample, EXAMPLES, OVERSIZED } from "./examples.ts";

/** The parts of OpenAPI 3.1 that we write and read. */
export interface OpenApi {
  openapi: string;
  info: { title: string; version: string; description?: string; license?: object };
  servers?: object[];
  security?: object[];
  components?: object;
  paths?: Record<string, Record<string, Operation>>;
}

export interface Operation {
  operationId?: string;
  summary?: string;
  description?: string;
  tags?: string[];
  security?: Record<string, readonly string[]>[];
  parameters?: Parameter[];
  requestBody?: { content: Content; required?: boolean };
  responses: Record<string, { description: string; content?: Content }>;
}

export interface Parameter {
  name: string;
  in: string;
  description?: string;
  required?: boolean;
  schema: JsonSchema;
}

export type Content = Record<
  string,
  { schema?: JsonSchema; examples?: Record<string, NamedExample> }
>;

interface NamedExample {
  summary?: string;
  value: unknown;
}

export interface JsonSchema {
  type?: string | string[];
  description?: string;
  enum?: unknown[];
  const?: unknown;
  default?: unknown;
  deprecated?: boolean;
  properties?: Record<string, JsonSchema>;
  required?: string[];
  items?: JsonSchema;
  anyOf?: JsonSchema[];
  minimum?: number;
  maximum?: number;
  minLength?: number;
  maxLength?: number;
}

const KEY = {
  type: "http",
  scheme: "bearer",
  description:
    "Where the node has keys: 401 without one, 403 by one whose scopes do not allow it, 429 for too many " +
    "requests.",
};
const JSON_TYPE = "application/json";

/** Adds names, examples and what holds for every operation. Changes the document it is given. */
export function completeDocument<T extends object>(document: T, operations: OperationTable): T {
  const open = document as OpenApi;
  open.info.license = { name: "Apache-2.0", identifier: "Apache-2.0" };
  open.servers ??= [{ url: "/" }];
  open.security ??= [];
  open.components = { ...open.components, securitySchemes: { key: KEY } };
  for (const [name, { rest = "", scope }] of Object.entries(operations)) {
    const [method = "", path = ""] = rest.split(" ");
    const operation = open.paths?.[path]?.[method.toLowerCase()];
    if (!operation) continue;
    operation.operationId = name;
    // A key where the node wants one; OpenAPI 3.1 names there what it must allow.
    operation.security = [{ key: [scope] }, {}];
    const { success, examples = [] } = EXAMPLES[name] ?? {};
    const answer = operation.responses["200"];
    if (answer && success !== undefined) answer.description = success;
    for (const example of examples) addExample(operation, example);
  }
  return document;
}

function addExample(operation: Operation, example: ApiExample): void {
  const { status, given, body, answer } = example;
  const asked = operation.requestBody?.content[JSON_TYPE];
  // Text that is no JSON, and a mebibyte of filler, are not shown.
  if (asked && status === 200 && body !== OVERSIZED) add(asked, given, body);
  const answered = operation.responses[status]?.content?.[JSON_TYPE];
  if (answered) add(answered, given, answer);
}

/** Names are made from the situation, with a number where several have the same. */
function add(content: Content[string], given: string, value: unknown): void {
  content.examples ??= {};
  const name = given.replaceAll(" ", "-");
  let unused = name;
  for (let i = 2; unused in content.examples; i++) unused = `${name}-${i}`;
  content.examples[unused] = { summary: `When: ${given}`, value };
}
