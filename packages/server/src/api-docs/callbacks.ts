/** What a node sends to a round's address, as OpenAPI's callbacks (docs/protocol.md §4, protocol-v2.md §5). */
import type { SchemaName } from "@proofmill/core";
import { SIGNATURE_HEADER } from "../callbacks/signature.ts";
import { ARTIFACT_ROUND, ARTIFACT_VERDICT, ARTIFACTS, ENCODING } from "./artifact-examples.ts";
import { EXAMPLE_JOB } from "./example.ts";
import { GENERATED, VALIDATED } from "./examples.ts";
import { type PathItem, type Reference, schemaAddress } from "./openapi.ts";

const RESPONSES = {
  "2XX": { description: "Acknowledged, once the answer is whole: it is not sent again." },
  413: { description: "Too long: half as many nonces are sent at once. A verdict waits instead." },
  default: { description: "Not acknowledged: it is kept and sent again, after growing pauses." },
};

const { block_hash, block_height, public_key, node_id } = ARTIFACT_ROUND;
const ORIGIN = { public_key, block_hash, block_height, node_id };
const OF_ROUND = { ...ORIGIN, artifacts: ARTIFACTS, encoding: ENCODING };

/** By name, and by where they are sent. */
export const CALLBACKS: Readonly<Record<string, Record<string, PathItem>>> = {
  generated: callback("generated", {
    ...{ to: "callback_url/generated", schema: "GeneratedBatch", example: GENERATED },
    summary: "Valid nonces that the search has found",
  }),
  validated: callback("validated", {
    ...{ to: "callback_url/validated", schema: "ValidatedBatch", example: VALIDATED },
    summary: "The verdict on a proof that came while the node was validating",
  }),
  artifacts: callback("artifacts", {
    ...{ to: "url/generated", schema: "GeneratedArtifacts", example: OF_ROUND },
    summary: "Artifacts of a round, in their order",
  }),
  jobArtifacts: callback("jobArtifacts", {
    ...{ to: "url/generated", schema: "JobArtifacts" },
    example: { request_id: EXAMPLE_JOB, ...OF_ROUND },
    summary: "Artifacts that a job was asked for",
  }),
  jobVerdict: callback("jobVerdict", {
    ...{ to: "url/validated", schema: "ValidatedArtifacts" },
    example: { request_id: EXAMPLE_JOB, ...ORIGIN, ...ARTIFACT_VERDICT },
    summary: "What a job says of a prover's artifacts",
  }),
};

const OF_DISTANCES = ["generated", "validated"];
const SENT: Readonly<Record<string, readonly string[]>> = {
  InitRequest: OF_DISTANCES,
  EitherRound: [...OF_DISTANCES, "artifacts"],
  ArtifactRound: ["artifacts"],
  ArtifactJob: ["jobArtifacts", "jobVerdict"],
};

export const callbackAddress = (name: string): string => `#/components/callbacks/${name}`;

/** What an operation says that has some, by its body; undefined: it has none. */
export function callbacksOf(body: string | undefined): Record<string, Reference> | undefined {
  const names = SENT[body ?? ""];
  return names && Object.fromEntries(names.map((name) => [name, { $ref: callbackAddress(name) }]));
}

interface Sent {
  summary: string;
  /** A field of the body that asked for it, and what is added to the address in it. */
  to: string;
  schema: SchemaName;
  example: object;
}

function callback(
  operationId: string,
  { summary, to, schema, example }: Sent,
): Record<string, PathItem> {
  const [field, path] = to.split("/");
  return {
    [`{$request.body#/${field}}/${path}`]: {
      post: {
        operationId,
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
