/** Server-sent events of one answer, and what a reader who does not read costs at most. */
import { Readable } from "node:stream";

/** Bytes that wait for a slow reader; one who lets more wait is cut off. */
const MAX_WAITING = 4 * 2 ** 20;

export class EventStream {
  readonly source = new Readable({ read: () => {}, highWaterMark: MAX_WAITING });
  readonly #onSlow: () => void;

  /** @param onSlow called when too much waits */
  constructor(onSlow: () => void) {
    this.#onSlow = onSlow;
  }

  send(event: object): void {
    this.#write(JSON.stringify(event));
  }

  /** The last event of an answer that came to its end. */
  done(): void {
    this.#write("[DONE]");
    this.source.push(null);
  }

  /** The last event of one that did not. */
  fail(error: object): void {
    this.send({ error });
    this.source.push(null);
  }

  #write(data: string): void {
    if (this.source.destroyed || this.source.readableEnded) return;
    if (!this.source.push(`data: ${data}\n\n`)) this.#onSlow();
  }
}
