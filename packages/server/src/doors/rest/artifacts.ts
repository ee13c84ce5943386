/** What rounds of artifacts add below REST's prefix for rounds (docs/protocol-v2.md §3). */
import {
  isArtifactRound,
  type Operation,
  type PocService,
  type SchemaName,
  type Status,
} from "@proofmill/core";
import type { Call } from "../../calls.ts";

/** What a node for rounds of artifacts has beside the table's operations. */
export interface ArtifactsOffer {
  artifacts: PocService["artifacts"];
  /** Whether these are the only rounds. */
  isOnly: boolean;
}

export function isOffered(
  name: string,
  { rounds }: Operation,
  offer: ArtifactsOffer | null,
): boolean {
  if (name === "initGenerate") return true; // begins rounds of either kind
  return rounds === "artifacts" ? offer !== null : rounds !== "distances" || !offer?.isOnly;
}

/** What the body of an operation may be. */
export function bodyFor(
  name: string,
  body: SchemaName | undefined,
  offer: ArtifactsOffer | null,
): SchemaName | undefined {
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
