/** Server-sent events of one answer, and what a reader who does not read costs at most. */
import { Readable } from "node:stream";
import type { Part } from "../../http/connections/unfinished.ts";

/** Bytes that wait for a slow reader; one who lets more wait is cut off. */
const MAX_WAITING = 4 * 2 ** 20;

export class EventStream {
  readonly source = new Readable({ read: () => {}, highWaterMark: MAX_WAITING });
  readonly #part: Part;
  readonly #onSlow: () => void;
  /** Bytes that the part is told of. */
  #held = 0;

  /**
   * @param part told of what waits
   * @param onSlow called when too much waits
   */
  constructor(part: Part, onSlow: () => void) {
    this.#part = part;
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
    const hasRoom = this.source.push(`data: ${data}\n\n`);
    const held = this.source.readableLength;
    if (held > this.#held) this.#part.add(held - this.#held);
    else this.#part.remove(this.#held - held);
    this.#held = held;
    if (!hasRoom) this.#onSlow();
  }
}
