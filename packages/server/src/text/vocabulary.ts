/** What each token of a model stands for, in bytes. */
import { TextDecoder } from "node:util";

/** A table of tokens; it survives a structured clone, and is given away whole. */
export interface VocabularyTable {
  /** [tokens + 1]: token i has bytes from `starts[i]` to `starts[i + 1]`; none where no token has the id. */
  readonly starts: Uint32Array<ArrayBuffer>;
  readonly bytes: Uint8Array<ArrayBuffer>;
  /** [tokens]: 1 for tokens that are no text, as those that end an answer. */
  readonly special: Uint8Array<ArrayBuffer>;
  /** Whether a text's first space is the tokenizer's own. */
  readonly beginsWithSpace: boolean;
}

const SPACE = 0x20;
/** Of whole texts alone: it keeps nothing between two of them. */
const wholeDecoder = newDecoder();

export class Vocabulary {
  readonly #table: VocabularyTable;

  constructor(table: VocabularyTable) {
    this.#table = table;
  }

  /** Empty for an id that no token has. */
  bytes(id: number): Uint8Array {
    const { starts, bytes, special } = this.#table;
    if (!(id >= 0 && id < special.length)) return bytes.subarray(0, 0);
    return bytes.subarray(starts[id], starts[id + 1]);
  }

  isSpecial(id: number): boolean {
    return this.#table.special[id] === 1;
  }

  decode(ids: Iterable<number>, skipSpecialTokens: boolean): string {
    const pieces: Uint8Array[] = [];
    for (const id of ids) {
      if (!(skipSpecialTokens && this.isSpecial(id))) pieces.push(this.bytes(id));
    }
    const whole = Buffer.concat(pieces);
    const from = this.#table.beginsWithSpace && whole[0] === SPACE ? 1 : 0;
    return wholeDecoder.decode(whole.subarray(from));
  }

  token(id: number): { text: string; bytes: number[] } {
    const bytes = this.bytes(id);
    return { text: wholeDecoder.decode(bytes), bytes: [...bytes] };
  }
}

/** What begins with a byte-order mark has one: it is a character as others are. */
export function newDecoder(): TextDecoder {
  return new TextDecoder("utf-8", { ignoreBOM: true });
}
