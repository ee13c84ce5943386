/** What is due for delivery: the sender's port to the store (docs/protocol.md §4). */

/** Finds of a round, or a single object: a verdict, or what a job has computed. */
export type DeliveryKind = "generated" | "validated";

/** Of finds that are due, the round that they are of. */
export interface DueRound {
  readonly round_id: string;
  readonly block_hash: string;
  readonly block_height: number;
  /** What of it is due behind them. */
  readonly rest: number;
}

/** One request's worth of what is due for a URL. */
export interface Delivery {
  readonly kind: DeliveryKind;
  /** Which of the URL's paths it goes to: what a job has computed goes where finds go. */
  readonly path: "generated" | "validated";
  /** What the finds, the verdict or the job's result are of; names a proof scheme. */
  readonly scheme: string;
  /** Null of what are no finds of a round. */
  readonly round: DueRound | null;
  /** As `ProofScheme.maxRefusals`. */
  readonly maxRefusals: number | null;
  /** Of the round or the verdict; `NextDelivery.after` asks for what comes behind it. */
  readonly key: number;
  /** Of a delivery of finds: it ends before the round's find with this index. */
  readonly upTo: number;
  readonly count: number;
  /** JSON. */
  readonly body: string;
}

export type Acknowledged = Pick<Delivery, "kind" | "key" | "upTo">;

export interface NextDelivery {
  kind: DeliveryKind;
  callback_url: string;
  /** Key to look behind first; if nothing is due there, from the beginning. */
  after: number;
  /** Finds that one delivery has at most. */
  maxNonces: number;
}

export interface Outbox {
  /** Every callback URL for which something is due. */
  dueUrls(): Promise<string[]>;
  /** How much is due, over all of them. */
  pending(): Promise<{ nonces: number; verdicts: number }>;
  /** The age of the oldest that is due, milliseconds that nodes of the folder were up; 0 without any. */
  oldestAge(): Promise<number>;
  /** What to send next, or null. */
  next(wanted: NextDelivery): Promise<Delivery | null>;
  /** The receiver has it: it is not due any more. */
  acknowledge(delivery: Acknowledged): Promise<void>;
  /** What is older (milliseconds) is not due any more; gives how much that was. */
  giveUp(maxAge: number): Promise<{ nonces: number; verdicts: number }>;
  /** That receiver will not have it, nor what else its round owes; gives how much that was. */
  giveUpOn(delivery: Acknowledged): Promise<{ nonces: number; verdicts: number }>;
  /** Calls `listener` whenever something has become due for a URL; gives what ends it. */
  onDue(listener: (callbackUrl: string) => void): () => void;
}
