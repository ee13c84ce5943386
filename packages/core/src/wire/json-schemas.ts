/** The wire's objects as JSON Schema, for descriptions of the API. Free of Node. */
import { z } from "zod";
import * as artifactSchemas from "./artifact-schemas.ts";
import * as mlnodeSchemas from "./mlnode-schemas.ts";
import type { SchemaName } from "./operation.ts";
import * as schemas from "./schemas.ts";

/**
 * Every schema of the wire under its name, as JSON Schema 2020-12. One that holds another names it
 * by a `$ref`.
 *
 * @param limits what an init body has to fit
 * @param address what a `$ref` to the schema of a name says
 */
export function jsonSchemas(
  limits: schemas.InitLimits,
  address: (name: string) => string,
): Readonly<Record<SchemaName, object>> {
  const registry = z.registry<{ id: string }>();
  const all = { ...schemas, ...artifactSchemas, ...mlnodeSchemas };
  for (const [id, schema] of Object.entries(all)) {
    if (schema instanceof z.ZodType) registry.add(schema, { id });
    else if (typeof schema === "function") registry.add(schema(limits), { id });
  }
  // As they are sent: what has a default may be left out, and unknown fields do no harm.
  const made = z.toJSONSchema(registry, { io: "input", unrepresentable: "any", uri: address });
  const named = Object.entries(made.schemas).map(([name, { $schema, $id, ...schema }]) => [
    name,
    schema,
  ]);
  return Object.fromEntries(named) as Record<SchemaName, object>;
}
