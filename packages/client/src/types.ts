/**
 * The objects on the wire, as proofmill's protocol names them: snake_case, units and ranges beside
 * each field. They are the node's own schemas, written out so that this package stands alone.
 */

/** What starts a round. */
export interface InitBody {
  /** The block whose round this is; 1 to 1,024 bytes of UTF-8. */
  block_hash: string;
  /** ≥ 0. */
  block_height: number;
  /** The key that the nonces are searched for; 1 to 1,024 bytes of UTF-8. */
  public_key: string;
  /** A nonce is valid when its distance, in [0, 2], is less than this. */
  r_target: number;
  /** In [0, 1]: fraud is when the probability of an honest prover is less; 0.01 by default. */
  fraud_threshold?: number;
  /** First nonce of the node's sequence, ≥ 0; −1 (the default) is unset. */
  node_id?: number;
  /** Step of the node's sequence, greater than `node_id`; −1 (the default) is unset. */
  node_count?: number;
  /** Nonces that one job has at most, 1 to 1,024; the node's default otherwise. */
  batch_size?: number;
  /** Tokens per nonce, 1 to the model's context; the node's default otherwise. */
  seq_len?: number;
  /** http or https; results are pushed below it. */
  callback_url?: string | null;
}

export type RoundState = "IDLE" | "GENERATING" | "VALIDATING" | "STOPPED";

/** A Status without its two lists. What is of the round is null without one. */
export interface StatusSummary {
  state: RoundState;
  /** Nonces that the search has computed, non-finite ones included. */
  total_checked: number;
  total_valid: number;
  /** Since init, without the time spent STOPPED. */
  elapsed_seconds: number;
  /** `total_checked` per second spent GENERATING. */
  rate_per_second: number;
  /** The same as `state`, for callers of the older service. */
  status: RoundState;
  is_model_initialized: boolean;
  total_nonfinite: number;
  /** What computes here; null until the model is loaded. */
  arithmetic: string | null;
  /** A ULID: names the round for good. */
  round_id: string | null;
  block_hash: string | null;
  block_height: number | null;
  public_key: string | null;
  r_target: number | null;
  node_id: number | null;
  node_count: number | null;
}

/** The node's state, counters and finds. */
export interface Status extends StatusSummary {
  /** In the order in which they were found. */
  valid_nonces: number[];
  /** Of the same length. */
  valid_distances: number[];
}

/** The answer of every command. */
export interface CommandAnswer {
  status: "OK";
  pow_status: Status;
}

/** Which part of the two lists a status shows. */
export interface StatusPage {
  /** Leave out this many of the first finds, ≥ 0. */
  since?: number;
  /** Show at most this many, ≥ 1. */
  limit?: number;
}

/** Nonces with the distances that a node claims for them. */
export interface ProofBatch {
  /** Whose nonces these are; it seeds the recomputation. */
  public_key: string;
  block_hash: string;
  block_height: number;
  /** Integers from 0 to 2⁵³ − 1, none twice. */
  nonces: number[];
  /** The claimed distance of each nonce. */
  dist: number[];
  node_id: number;
}

/** A ProofBatch as a node pushes it to `callback_url/generated`. */
export interface GeneratedBatch extends ProofBatch {
  /** What computed the distances; null from a service that does not say. */
  arithmetic: string | null;
  /** A ULID: names the round for good; null from a service that does not say. */
  round_id: string | null;
  /** Null from a service that does not say. */
  r_target: number | null;
}

/** What every verdict says. */
export interface Verdict {
  /** The claimed distances. */
  received_dist: number[];
  r_target: number;
  fraud_threshold: number;
  n_invalid: number;
  /** P(at least `n_invalid` invalid | honest); −1 when nothing could be judged. */
  probability_honest: number;
  fraud_detected: boolean;
  /** A verdict is sharp only between equal tags. */
  arithmetic: string;
}

/** The answer to a proof. */
export interface ValidateAnswer extends Verdict {
  nonces: number[];
  /** Recomputed; null where not finite. */
  distances: (number | null)[];
  /** Whether the recomputed distance is less than `r_target`. */
  valid: boolean[];
  /** For callers of the older service. */
  status: "OK";
  /** The same as `distances`, for those callers. */
  computed_distances: (number | null)[];
}

/** A judged proof as a node pushes it to `callback_url/validated`. */
export interface ValidatedBatch extends Verdict {
  public_key: string;
  block_hash: string;
  block_height: number;
  nonces: number[];
  /** Recomputed; null where not finite. */
  dist: (number | null)[];
  node_id: number;
  /** The round in which it was judged; null from a service that does not say. */
  round_id: string | null;
}

/** Callbacks since the node started, and what waits now. */
export interface DeliveryInfo {
  delivered_nonces: number;
  delivered_verdicts: number;
  /** Requests that were not acknowledged. */
  failed_requests: number;
  given_up_nonces: number;
  given_up_verdicts: number;
  pending_nonces: number;
  pending_verdicts: number;
}

/** What a node says of itself. What is of the model is null until it is loaded. */
export interface NodeInfo {
  version: string;
  poc_enabled: boolean;
  /** As /v1 calls it. */
  model: string;
  architecture: string | null;
  arithmetic: string | null;
  dtype: string | null;
  device: string | null;
  hidden_size: number | null;
  vocab_size: number | null;
  num_hidden_layers: number | null;
  max_position_embeddings: number | null;
  /** Lines that the log's file, pipe or terminal did not take, since the node started. */
  lost_log_lines: number;
  /** The longest round: the context, or what fits into memory or is allowed. */
  max_seq_len: number | null;
  delivery: DeliveryInfo;
}

/** A round begins. */
export interface RoundEvent {
  type: "round";
  round_id: string;
  block_hash: string;
  block_height: number;
  r_target: number;
}

/** Finds, in the order in which they were found. */
export interface NoncesEvent {
  type: "nonces";
  round_id: string;
  block_hash: string;
  /** Index of the first in the round's found list. */
  from: number;
  nonces: number[];
  distances: number[];
}

/** An event under the id that `lastEventId` names to go on after it. */
export type Identified<T> = T & { id: string };

export type ValidNoncesEvent = Identified<RoundEvent> | Identified<NoncesEvent>;
/** A status as it is streamed: with what the inference gate has done since the node started. */
export interface StatusUpdate extends StatusSummary {
  /** Inference requests that got the 503. */
  inference_refused: number;
  /** Running inference requests that were cut off. */
  inference_aborted: number;
}

export type StatusEvent = Identified<StatusUpdate>;

/** One fault of a refused body. */
export interface ValidationIssue {
  /** E.g. `missing`, `int_type`, `greater_than_equal`. */
  type: string;
  /** `["body", field…]` or `["query", field]`. */
  loc: (string | number)[];
  msg: string;
  /** What was sent, shortened; null when absent. */
  input: unknown;
}
