/** What the table of operations says of one, as the schema of its route. */
import {
  type ErrorAnswer,
  type InitDefaults,
  type Operation,
  POC_ERRORS,
  schemaNamed,
} from "@proofmill/core";
import type { FastifySchema } from "fastify";
import { EXAMPLES } from "./examples.ts";

/** What a status means, where the examples do not say it more exactly. */
const REFUSED: Readonly<Record<number, string>> = {
  400: "The round does not allow it.",
  413: "The body or its list of nonces is too long.",
  422: "The body does not fit.",
  500: "The job that recomputes the distances failed.",
  503: "PoC is off, or the model is loading or gone.",
};

/** The statuses that an operation can be refused with. */
function refusedWith({ refusals, body }: Operation): number[] {
  const statuses = refusals.map((code) => POC_ERRORS[code].status);
  return [...new Set(body ? [...statuses, 413] : statuses)]; // a body can be too long
}

/** @param defaults what the document names as such: the service fills them in */
export function schemaOf(
  name: string,
  operation: Operation,
  defaults: InitDefaults,
): FastifySchema {
  const { group, summary, body, query, output, refusal = "ErrorAnswer" } = operation;
  const schema = (which: typeof output) => schemaNamed(which, { defaults });
  const meanings = { ...REFUSED, ...EXAMPLES[name]?.refused };
  const refused = refusedWith(operation).map((status) => [
    status,
    (schema(refusal) as typeof ErrorAnswer).describe(meanings[status] ?? ""),
  ]);
  return {
    tags: [group],
    summary,
    ...(body && { body: schema(body) }),
    ...(query && { querystring: schema(query) }),
    response: { 200: schema(output), ...Object.fromEntries(refused) },
  };
}
