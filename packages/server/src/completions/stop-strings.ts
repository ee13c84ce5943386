/** Ends a growing text at the first of some strings, and holds back what may be the start of one. */
export class StopStrings {
  readonly #matches: readonly Match[];
  readonly #includesStop: boolean;
  #held = "";
  /** Whether one of them was found: what follows is no part of the text. */
  isFound = false;

  /**
   * @param stops none of them empty
   * @param options.includesStop whether the string that ends the text is a part of it
   */
  constructor(stops: readonly string[], { includesStop = false } = {}) {
    this.#matches = stops.map((stop) => new Match(stop));
    this.#includesStop = includesStop;
  }

  /** The text that is certain with this piece. */
  push(piece: string): string {
    if (this.isFound) return "";
    const text = this.#held + piece;
    const found = this.#matches.flatMap((match) => match.push(piece) ?? []);
    if (found.length > 0) {
      this.isFound = true;
      const { begin, end } = found.reduce(first);
      const length = this.#held.length + (this.#includesStop ? end : begin);
      this.#held = "";
      return text.slice(0, length);
    }
    const certain = text.length - Math.max(0, ...this.#matches.map(({ length }) => length));
    this.#held = text.slice(certain);
    return text.slice(0, certain);
  }

  /** What was held back, once nothing more comes. */
  end(): string {
    const held = this.#held;
    this.#held = "";
    return held;
  }
}

interface Place {
  /** Negative where the string began before the piece. */
  readonly begin: number;
  /** After its last unit. */
  readonly end: number;
}

/** Which of two strings begins first, or where both begin together is shorter. */
function first(a: Place, b: Place): Place {
  const isLater = a.begin === b.begin ? a.end > b.end : a.begin > b.begin;
  return isLater ? b : a;
}

/**
 * How much of one string a growing text ends with. The text is looked at once (Knuth, Morris and
 * Pratt): strings of a thousand characters that it nearly ends with would cost a million comparisons.
 */
class Match {
  readonly #stop: string;
  /** For each start of the string, by its last place: how long an end of it is a shorter start, too. */
  readonly #borders: Uint32Array;
  /** UTF-16 units of the string that the text ends with. */
  length = 0;

  constructor(stop: string) {
    this.#stop = stop;
    this.#borders = new Uint32Array(stop.length);
    for (let place = 1; place < stop.length; place++) {
      this.#add(stop.charCodeAt(place));
      this.#borders[place] = this.length;
    }
    this.length = 0;
  }

  /** @returns where the string stands, counted from the piece's first unit; null where it has not come whole */
  push(piece: string): Place | null {
    for (let place = 0; place < piece.length; place++) {
      this.#add(piece.charCodeAt(place));
      if (this.length === this.#stop.length)
        return { begin: place + 1 - this.length, end: place + 1 };
    }
    return null;
  }

  #add(unit: number): void {
    while (this.length > 0 && this.#stop.charCodeAt(this.length) !== unit) {
      this.length = this.#borders[this.length - 1] ?? 0;
    }
    if (this.#stop.charCodeAt(this.length) === unit) this.length++;
  }
}
