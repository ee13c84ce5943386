/** Bodies and what they have to fit; large ones are checked elsewhere, on a thread of a door's. */
import { z } from "zod";
import * as artifactSchemas from "./artifact-schemas.ts";
import { PocError, type PocErrorCode, type RefusalDetail } from "./errors.ts";
import { parseWith } from "./issues.ts";
import * as mlnodeSchemas from "./mlnode-schemas.ts";
import type { Parsed, SchemaName, SchemaOf } from "./operation.ts";
import * as schemas from "./schemas.ts";

/** All of them, by name: what imports this file has them all, so the SDK does not. */
const SCHEMAS = { ...schemas, ...artifactSchemas, ...mlnodeSchemas };

/** The schema of that name, made for what the node allows where that matters. */
function schemaNamed<Name extends SchemaName>(
  name: Name,
  limits: schemas.InitLimits,
): SchemaOf<Name> {
  const schema = SCHEMAS[name];
  return (typeof schema === "function" ? schema(limits) : schema) as SchemaOf<Name>;
}

/** The names of the fields of a schema that is a plain object. */
export function fieldsOf(name: SchemaName): string[] {
  const schema: unknown = SCHEMAS[name];
  return schema instanceof z.ZodObject ? Object.keys(schema.shape) : [];
}

/** What came of a check. Can be cloned to and from a thread. */
export type CheckOutcome =
  | { readonly value: unknown }
  | { readonly refusal: PocErrorCode; readonly detail?: RefusalDetail };

/**
 * Checks what a caller sent against the schema of that name.
 *
 * @throws PocError INVALID_BODY
 */
export function checkBody<Name extends SchemaName>(
  name: Name,
  value: unknown,
  limits: schemas.InitLimits,
): Parsed<Name> {
  return parseWith(schemaNamed(name, limits) as z.ZodType<Parsed<Name>>, value, "body");
}

/**
 * Whether the body of an `init/generate` begins a round of artifacts (docs/protocol-v2.md §3): it names
 * a model and no target. One of the older service has `params` too, but a target beside them.
 */
export function isArtifactRound(body: unknown): boolean {
  if (body instanceof CheckedBody) return body.schema === "ArtifactRound";
  if (typeof body !== "object" || body === null || Object.hasOwn(body, "r_target")) return false;
  const { params } = body as { params?: { model?: unknown } | null };
  return typeof params?.model === "string";
}

/** The outcome of `work`, which may refuse. */
export function outcomeOf(work: () => unknown): CheckOutcome {
  try {
    return { value: work() };
  } catch (error) {
    if (!(error instanceof PocError)) throw error;
    return { refusal: error.code, detail: error.detail };
  }
}

/** A body that has been checked already; the service takes it instead of what was sent. */
export class CheckedBody {
  /** The name of what it was checked against. */
  readonly schema: SchemaName;
  readonly #limits: schemas.InitLimits;
  readonly #outcome: CheckOutcome;

  /** @param limits the service's at the time of the check */
  constructor(schema: SchemaName, limits: schemas.InitLimits, outcome: CheckOutcome) {
    this.schema = schema;
    this.#limits = limits;
    this.#outcome = outcome;
  }

  /**
   * What the body says.
   *
   * @throws PocError what it was refused with; MODEL_LOADING when the limits are others by now
   */
  take<Name extends SchemaName>(schema: Name, limits: schemas.InitLimits): Parsed<Name> {
    const outcome = this.#outcome;
    if ("refusal" in outcome) {
      throw new PocError(outcome.refusal, outcome.detail ? { detail: outcome.detail } : {});
    }
    if (this.schema !== schema) throw new Error(`checked as ${this.schema}, wanted as ${schema}`);
    const isLimited = typeof SCHEMAS[schema] === "function";
    if (isLimited && this.#limits !== limits) throw new PocError("MODEL_LOADING");
    return outcome.value as Parsed<Name>;
  }
}
