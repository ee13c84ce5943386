/** The API document, made from the table of operations, the wire's schemas and the examples. */
import { type InitDefaults, jsonSchemas } from "@proofmill/core";
import { OPEN_PATHS } from "../access/guard.ts";
import { version } from "../version.ts";
import { CALLBACKS, callbackAddress } from "./callbacks.ts";
import { EXAMPLE_MODEL, replaced } from "./example.ts";
import { inferencePaths, inferenceSchemas } from "./inference.ts";
import type { Offered } from "./offered.ts";
import { type JsonSchema, type OpenApi, type PathItem, schemaAddress } from "./openapi.ts";
import { type Described, describeOperation, KEY_SCHEME, statusesOf } from "./operation.ts";
import { COMMON_ANSWERS } from "./refused.ts";

/** A `$ref` to an object, as JSON. */
const REFERENCE = new RegExp(`"${schemaAddress("(\\w+)")}"`, "g");

export interface DocumentOptions extends Offered {
  /** The model's, for the examples. */
  modelName: string;
  /** What the document names as such: the service fills them in. */
  defaults: InitDefaults;
  /** Whether callers need keys. */
  isLocked: boolean;
  /** What the node's own inference calls its model; absent: it answers nothing itself. */
  chatsAs?: string | undefined;
}

export function describeApi(options: DocumentOptions): OpenApi {
  const { operations, defaults, isLocked, modelName, chatsAs } = options;
  const schemas: Readonly<Record<string, JsonSchema>> = {
    ...jsonSchemas({ defaults }, schemaAddress),
    ...inferenceSchemas(schemaAddress),
  };
  const examples = replaced(options.examples, EXAMPLE_MODEL, modelName);
  const described: [string, Described & { rest?: string }][] = [
    ...Object.entries(operations).map(([name, operation]): [string, Described] => [
      name,
      { ...operation, statuses: statusesOf(operation), said: examples[name] },
    ]),
    ...Object.entries(chatsAs === undefined ? {} : inferencePaths(chatsAs)),
  ];
  const paths: Record<string, PathItem> = {};
  for (const [name, operation] of described) {
    if (!operation.rest) continue;
    const [method = "", path = ""] = operation.rest.split(" ");
    const isOpen = OPEN_PATHS.has(path);
    paths[path] = {
      ...paths[path],
      [method.toLowerCase()]: describeOperation(name, operation, { schemas, isLocked, isOpen }),
    };
  }
  const used = JSON.stringify(paths);
  const callbacks = Object.fromEntries(
    Object.entries(CALLBACKS).filter(([name]) => used.includes(`"${callbackAddress(name)}"`)),
  );
  const responses = COMMON_ANSWERS;
  const said = { paths, responses, callbacks };
  return {
    openapi: "3.1.0",
    info: {
      title: "proofmill",
      version,
      description: "A Proof-of-Compute node.",
      license: { name: "Apache-2.0", identifier: "Apache-2.0" },
    },
    servers: [{ url: "/" }],
    paths,
    components: {
      schemas: named(said, schemas),
      responses,
      callbacks,
      securitySchemes: {
        [KEY_SCHEME]: {
          type: "http",
          scheme: "bearer",
          description:
            "A key of a node that has keys, where the operation's scope, or admin, is among the key's. " +
            "Without a valid one: 401. Without the scope: 403. Too often: 429, with Retry-After.",
        },
      },
    },
  };
}

/** The objects that something refers to, and those that they refer to, in the schemas' order. */
function named(
  said: unknown,
  schemas: Readonly<Record<string, JsonSchema>>,
): Record<string, JsonSchema> {
  const reached = new Set<string>();
  const reach = (part: unknown) => {
    for (const [, name = ""] of JSON.stringify(part).matchAll(REFERENCE)) {
      if (reached.has(name)) continue;
      reached.add(name);
      reach(schemas[name]);
    }
  };
  reach(said);
  return Object.fromEntries(Object.entries(schemas).filter(([name]) => reached.has(name)));
}
