/** What happened to a node, in words for people: the last hundred events. */
import type {
  EndedArtifactJob,
  Meter,
  NodeEvent,
  NodeEvents,
  ValidatedBatch,
} from "@proofmill/core";

const MAX_EVENTS = 100;
/** Characters that an event shows; a reason may be anybody's text. */
const MAX_TEXT = 300;

/** What is told; its id and time are the events' own. */
export type Told = Pick<NodeEvent, "kind" | "text"> & { isBad?: boolean };

export type Tell = (event: Told) => void;

export class Events implements Partial<Meter> {
  readonly #events: NodeEvent[] = [];
  #last = 0;

  readonly tell: Tell = ({ kind, text, isBad = false }) => {
    const shown = text.length > MAX_TEXT ? `${text.slice(0, MAX_TEXT - 1)}…` : text;
    const event = { id: ++this.#last, at: Date.now(), kind, is_bad: isBad, text: shown };
    this.#events.push(event);
    if (this.#events.length > MAX_EVENTS) this.#events.shift();
  };

  judged({ nonces, n_invalid, probability_honest, fraud_detected }: ValidatedBatch): void {
    const probability =
      probability_honest < 0
        ? ""
        : `; an honest node has so many or more with probability ${short(probability_honest)}`;
    this.tell({
      kind: "verdict",
      text:
        `${fraud_detected ? "Fraud" : "No fraud"} in a proof of ${count(nonces.length, "nonce")}: ` +
        `${count(n_invalid, "mismatch", "mismatches")}${probability}`,
      isBad: fraud_detected,
    });
  }

  artifactJob({ verdict }: EndedArtifactJob): void {
    if (!verdict) return;
    const { n_total, n_mismatch, p_value, fraud_detected } = verdict;
    this.tell({
      kind: "verdict",
      text:
        `${fraud_detected ? "Fraud" : "No fraud"} in ${count(n_total, "artifact")}: ` +
        `${count(n_mismatch, "mismatch", "mismatches")}; an honest node has so many or more with ` +
        `probability ${short(p_value)}`,
      isBad: fraud_detected,
    });
  }

  /** @param since leave out events up to this id */
  read(since = 0): NodeEvents {
    return { events: this.#events.filter(({ id }) => id > since) };
  }
}

/** E.g. `1,480 nonces`. */
export function count(many: number, one: string, several = `${one}s`): string {
  return `${many.toLocaleString("en")} ${many === 1 ? one : several}`;
}

const short = (x: number): string => String(Number(x.toPrecision(3)));
