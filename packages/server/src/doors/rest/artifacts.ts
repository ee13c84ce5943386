/** What rounds of artifacts add below REST's prefix for rounds (docs/protocol-v2.md §3). */
import {
  isArtifactRound,
  type PocService,
  type SchemaName,
  type Scope,
  type Status,
} from "@proofmill/core";
import type { Call } from "../../calls.ts";
import { JOB_BODY } from "../../http/bodies.ts";
import type { EitherRound } from "../../http/json-tasks.ts";
import { version } from "../../version.ts";

/** Operations that a node for artifacts alone does not have. */
const OF_DISTANCES: ReadonlySet<string> = new Set([
  "init",
  "initValidate",
  "phaseGenerate",
  "phaseValidate",
  "validate",
]);

/** What a node for rounds of artifacts has beside the table's operations. */
export interface ArtifactsOffer {
  artifacts: PocService["artifacts"];
  /** Whether these are the only rounds. */
  isOnly: boolean;
  /** Whether chat goes on while jobs are computed. */
  chatsBesideJobs: boolean;
}

export function isOffered(name: string, offer: ArtifactsOffer | null): boolean {
  return !offer?.isOnly || !OF_DISTANCES.has(name);
}

/** What the body of an operation may be. */
export function bodyFor(
  name: string,
  body: SchemaName | undefined,
  offer: ArtifactsOffer | null,
): SchemaName | EitherRound | undefined {
  if (name !== "initGenerate" || !offer) return body;
  return offer.isOnly ? "ArtifactRound" : "EitherRound";
}

/** An operation's call for callers of either protocol. */
export function callForBoth(name: string, call: Call, offer: ArtifactsOffer | null): Call {
  if (!offer) return call;
  const { artifacts, isOnly } = offer;
  switch (name) {
    case "initGenerate":
      return (body, caller) =>
        isOnly || isArtifactRound(body) ? artifacts.initGenerate(body, caller) : call(body, caller);
    case "status":
      return async (page, caller) => artifacts.statusBeside((await call(page, caller)) as Status);
    case "stop":
      return async (input, caller) => {
        const { pow_status } = (await call(input, caller)) as { pow_status: Status };
        const beside = { ...artifacts.statusBeside(pow_status), status: "STOPPED" };
        return { status: "OK", pow_status: beside };
      };
    default:
      return call;
  }
}

export interface ArtifactRoute {
  method: "GET" | "POST";
  /** Below the prefix. */
  url: string;
  scope: Scope;
  body?: SchemaName;
  bodyLimit?: number;
  /** @param asked the body, or else what stands in the path */
  call: Call;
}

/** Paths that rounds of distances do not have. */
export function artifactRoutes({ artifacts, chatsBesideJobs }: ArtifactsOffer): ArtifactRoute[] {
  return [
    {
      method: "POST",
      url: "/generate",
      scope: "validate",
      body: "ArtifactJob",
      bodyLimit: JOB_BODY,
      call: (body, caller) => artifacts.generate(body, caller),
    },
    {
      method: "GET",
      url: "/generate/:request_id",
      scope: "read",
      call: (params) => artifacts.job((params as { request_id: string }).request_id),
    },
    {
      method: "GET",
      url: "/versions",
      scope: "read",
      call: () => ({
        vllm_version: `proofmill-${version}`,
        poc_validation_inference: chatsBesideJobs,
      }),
    },
  ];
}
