/** Ends a growing text at the first of some strings, and holds back what may be the start of one. */
export class StopStrings {
  readonly #stops: readonly string[];
  #held = "";
  /** Whether one of them was found: what follows is no part of the text. */
  isFound = false;

  /** @param stops none of them empty */
  constructor(stops: readonly string[]) {
    this.#stops = stops;
  }

  /** The text that is certain with this piece. */
  push(piece: string): string {
    if (this.isFound) return "";
    if (this.#stops.length === 0) return piece;
    const text = this.#held + piece;
    const found = this.#stops.map((stop) => text.indexOf(stop)).filter((at) => at >= 0);
    if (found.length > 0) {
      this.isFound = true;
      this.#held = "";
      return text.slice(0, Math.min(...found));
    }
    const certain = text.length - this.#startsAtEnd(text);
    this.#held = text.slice(certain);
    return text.slice(0, certain);
  }

  /** What was held back, once nothing more comes. */
  end(): string {
    const held = this.#held;
    this.#held = "";
    return held;
  }

  /** Length of the longest end of the text that one of them starts with. */
  #startsAtEnd(text: string): number {
    const most = Math.max(...this.#stops.map((stop) => stop.length - 1));
    for (let length = Math.min(most, text.length); length > 0; length--) {
      const end = text.slice(text.length - length);
      if (this.#stops.some((stop) => stop.length > length && stop.startsWith(end))) return length;
    }
    return 0;
  }
}
