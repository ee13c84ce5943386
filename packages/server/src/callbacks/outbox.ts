/** What is due for delivery: the sender's port to the store (docs/protocol.md §4). */
import type { Delivery, NextDelivery } from "../store/database.ts";

export interface Outbox {
  /** Every callback URL for which something is due. */
  dueUrls(): Promise<string[]>;
  /** How much is due, over all of them. */
  pending(): Promise<{ nonces: number; verdicts: number }>;
  /** What to send next, or null. */
  next(wanted: NextDelivery): Promise<Delivery | null>;
  /** The receiver has it: it is not due any more. */
  acknowledge(delivery: Pick<Delivery, "kind" | "key" | "upTo">): Promise<void>;
  /** What is older (milliseconds) is not due any more; gives how much that was. */
  giveUp(maxAge: number): Promise<{ nonces: number; verdicts: number }>;
  /** Calls `listener` whenever something has become due for a URL; gives what ends it. */
  onDue(listener: (callbackUrl: string) => void): () => void;
}
