/** The objects on the wire, as proofmill's protocol names them: they are the node's own schemas. */
import type {
  ArtifactEvent as Artifacts,
  ValidatedBatch as Judged,
  NoncesEvent,
  ProofBatch,
  RoundEvent,
  StatusEvent as Update,
  GeneratedArtifacts as Yielded,
} from "@proofmill/core/wire";

export type {
  ArtifactJob,
  ArtifactJobs,
  ArtifactRound,
  ArtifactStatus,
  ArtifactVerdict,
  CommandAnswer,
  DeliveryInfo,
  HistorySeries,
  InitBody,
  JobAnswer,
  NodeEvent,
  NodeEvents,
  NodeHistory,
  NodeInfo,
  NoncesEvent,
  ProofBatch,
  RoundEvent,
  RoundState,
  RunnerInfo,
  Scope,
  Status,
  StatusPage,
  StatusSummary,
  ValidateAnswer,
  ValidatedArtifacts,
  ValidationIssue,
  Verdict,
} from "@proofmill/core/wire";

/** A ProofBatch as a node pushes it to `callback_url/generated`. */
export interface GeneratedBatch extends ProofBatch {
  /** What computed the distances; null from a service that does not say. */
  arithmetic: string | null;
  /** A ULID: names the round for good; null from a service that does not say. */
  round_id: string | null;
  /** Null from a service that does not say. */
  r_target: number | null;
}

/** A judged proof as a node pushes it to `callback_url/validated`. */
export interface ValidatedBatch extends Omit<Judged, "round_id"> {
  /** The round in which it was judged; null from a service that does not say. */
  round_id: string | null;
}

/** Artifacts as a node pushes them to `url/generated`. */
export interface GeneratedArtifacts extends Yielded {
  /** Of the job that yielded them; null for a round's. */
  request_id: string | null;
}

/** An event under the id that `lastEventId` names to go on after it. */
export type Identified<T> = T & { id: string };

export type ValidNoncesEvent = Identified<RoundEvent> | Identified<NoncesEvent>;

/** A round of artifacts that begins, or artifacts of one. */
export type ArtifactEvent = Identified<Artifacts>;

/** A status as it is streamed: with what the inference gate has done since the node started. */
export type StatusUpdate = Update;

export type StatusEvent = Identified<StatusUpdate>;
