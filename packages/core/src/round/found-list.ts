/** A round's growing list, as items and as the JSON that all answers are made of. */
import type { FindRecord } from "../proof/scheme.ts";

/** Part of a list: the items from the `since`-th on, up to `end`. */
export interface Section {
  readonly list: FoundList;
  readonly since: number;
  readonly end: number;
}

const sections = new WeakMap<readonly unknown[], Section>();

/** The section of a list that an array was made from; undefined for any other array. */
export function sectionOf(items: readonly unknown[]): Section | undefined {
  return sections.get(items);
}

/**
 * Finite numbers or texts in the order in which they were found. Each is written as JSON once, when
 * it comes, however many answers it stands in: a long list that is written when somebody asks would
 * hold up everybody else.
 */
export class FoundList<Item extends FindRecord = FindRecord> {
  readonly #items: Item[] = [];
  #bytes = Buffer.alloc(0);
  /** For each item, the byte after it. */
  readonly #ends: number[] = [];
  #lastGiven: { section: Section; items: Item[] } | null = null;

  constructor(items: readonly Item[]) {
    this.append(items);
  }

  get length(): number {
    return this.#items.length;
  }

  append(items: readonly Item[]): void {
    const written = this.#ends.at(-1) ?? 0;
    const texts: string[] = [];
    let length = written;
    for (const item of items) {
      const isText = typeof item === "string";
      const json = isText ? JSON.stringify(item) : `${item}`;
      const text = this.length === 0 ? json : `,${json}`;
      length += isText ? Buffer.byteLength(text) : text.length; // a digit is a byte
      texts.push(text);
      this.#items.push(item);
      this.#ends.push(length);
    }
    if (length > this.#bytes.length) {
      const larger = Buffer.allocUnsafeSlow(2 * length);
      this.#bytes.copy(larger, 0, 0, written);
      this.#bytes = larger;
    }
    this.#bytes.write(texts.join(""), written, "utf8");
  }

  /** Items as an array, which is not to be changed: whoever asks for the same ones gets the same. */
  slice(since: number, limit: number): Item[] {
    const end = Math.min(since + limit, this.length);
    const last = this.#lastGiven;
    if (last && last.section.since === since && last.section.end === end) return last.items;
    const items = this.#items.slice(since, end);
    const section = { list: this, since, end };
    sections.set(items, section);
    this.#lastGiven = { section, items };
    return items;
  }

  /**
   * The same items as JSON without brackets, in UTF-8. These bytes never change, and no copy is made
   * of them.
   */
  json(since: number, end: number): Uint8Array {
    if (since >= end) return this.#bytes.subarray(0, 0);
    const begin = since === 0 ? 0 : (this.#ends[since - 1] ?? 0) + 1; // after the comma
    return this.#bytes.subarray(begin, this.#ends[end - 1]);
  }
}
