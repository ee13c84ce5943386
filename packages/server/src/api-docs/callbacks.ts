/** What a node sends to a round's `callback_url`, as OpenAPI's callbacks (docs/protocol.md §4). */
import { SIGNATURE_HEADER } from "../callbacks/signature.ts";
import { GENERATED, VALIDATED } from "./examples.ts";
import { type PathItem, type Reference, schemaAddress } from "./openapi.ts";

const RESPONSES = {
  "2XX": { description: "Acknowledged, once the answer is whole: it is not sent again." },
  413: { description: "Too long: half as many nonces are sent at once. A verdict waits instead." },
  default: { description: "Not acknowledged: it is kept and sent again, after growing pauses." },
};

/** By name, and by where they are sent. */
export const CALLBACKS: Readonly<Record<string, Record<string, PathItem>>> = {
  generated: callback("generated", {
    summary: "Valid nonces that the search has found",
    schema: "GeneratedBatch",
    example: GENERATED,
  }),
  validated: callback("validated", {
    summary: "The verdict on a proof that came while the node was validating",
    schema: "ValidatedBatch",
    example: VALIDATED,
  }),
};

/** What an operation says that has them. */
export const CALLBACK_REFERENCES: Readonly<Record<string, Reference>> = Object.fromEntries(
  Object.keys(CALLBACKS).map((name) => [name, { $ref: `#/components/callbacks/${name}` }]),
);

function callback(
  path: string,
  { summary, schema, example }: { summary: string; schema: string; example: object },
): Record<string, PathItem> {
  return {
    [`{$request.body#/callback_url}/${path}`]: {
      post: {
        operationId: path,
        summary,
        security: [],
        parameters: [
          {
            name: SIGNATURE_HEADER,
            in: "header",
            description:
              "With --callback-secret: t=<seconds since 1970>,v1=<hex>, the HMAC-SHA-256 of <t>.<body>.",
            schema: { type: "string" },
          },
        ],
        requestBody: {
          required: true,
          content: {
            "application/json": {
              schema: { $ref: schemaAddress(schema) },
              examples: { sent: { value: example } },
            },
          },
        },
        responses: RESPONSES,
      },
    },
  };
}
