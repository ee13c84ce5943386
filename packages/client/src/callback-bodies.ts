/** What a node pushes, as it is read from the body of a POST. */
import {
  GeneratedArtifacts as Artifacts,
  ValidatedArtifacts as ArtifactVerdict,
  ProofBatch as Proof,
  ValidatedBatch as Validated,
} from "@proofmill/core/wire";
import { z } from "zod";
import type {
  GeneratedArtifacts,
  GeneratedBatch,
  ValidatedArtifacts,
  ValidatedBatch,
} from "./types.ts";

/** Characters; a node's have 26. */
const MAX_ROUND_ID = 1024;

/** What older services do not send is null. */
const GeneratedSchema = Proof.safeExtend({
  arithmetic: z.string().nullish(),
  round_id: z.string().max(MAX_ROUND_ID).nullish(),
  r_target: z.number().nullish(),
});
const ValidatedSchema = Validated.extend({ round_id: z.string().max(MAX_ROUND_ID).nullish() });
const ArtifactsSchema = Artifacts.extend({ request_id: z.string().nullish() });

/** A callback that is not what a node sends. */
export class InvalidCallbackError extends Error {
  override name = "InvalidCallbackError";
  /** HTTP status to answer with. */
  readonly status: number;

  constructor(message: string, status = 422) {
    super(message);
    this.status = status;
  }
}

/**
 * Reads the body of a POST to `…/generated`, of a round of distances.
 *
 * @param body JSON text, its bytes, or what a parser made of it
 * @throws InvalidCallbackError that names each field that does not fit
 */
export function parseGenerated(body: unknown): GeneratedBatch {
  const {
    arithmetic = null,
    round_id = null,
    r_target = null,
    ...proof
  } = check(GeneratedSchema, body);
  return { ...proof, arithmetic, round_id, r_target };
}

/** Reads the body of a POST to `…/validated`, of a proof of distances; as `parseGenerated`. */
export function parseValidated(body: unknown): ValidatedBatch {
  const { round_id = null, ...verdict } = check(ValidatedSchema, body);
  return { ...verdict, round_id };
}

/** Reads the body of a POST to `…/generated`, of artifacts; as `parseGenerated`. */
export function parseArtifacts(body: unknown): GeneratedArtifacts {
  const { request_id = null, ...batch } = check(ArtifactsSchema, body);
  return { ...batch, request_id };
}

/** Reads the body of a POST to `…/validated`, of a job of artifacts; as `parseGenerated`. */
export function parseArtifactVerdict(body: unknown): ValidatedArtifacts {
  return check(ArtifactVerdict, body);
}

/** @throws InvalidCallbackError for text or bytes that are no JSON */
export function parseBody(body: unknown): unknown {
  if (typeof body !== "string" && !(body instanceof Uint8Array)) return body;
  try {
    return JSON.parse(typeof body === "string" ? body : new TextDecoder().decode(body));
  } catch {
    throw new InvalidCallbackError("the body is not JSON");
  }
}

function check<T>(schema: z.ZodType<T>, body: unknown): T {
  const parsed = schema.safeParse(parseBody(body));
  if (parsed.success) return parsed.data;
  const faults = parsed.error.issues.map(({ path, message }) => `${path.join(".")}: ${message}`);
  throw new InvalidCallbackError(faults.join("; "));
}
