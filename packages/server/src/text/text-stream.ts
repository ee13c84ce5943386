import { newDecoder, type Vocabulary } from "./vocabulary.ts";

/**
 * The text of an answer as it grows, never half a character: tokens may end within one, and what is
 * told is what cannot change any more.
 */
export class TextStream {
  readonly #vocabulary: Vocabulary;
  readonly #skipSpecialTokens: boolean;
  readonly #decoder = newDecoder();

  constructor(vocabulary: Vocabulary, skipSpecialTokens: boolean) {
    this.#vocabulary = vocabulary;
    this.#skipSpecialTokens = skipSpecialTokens;
  }

  /** The text that the next token completes; often none. */
  push(id: number): string {
    if (this.#skipSpecialTokens && this.#vocabulary.isSpecial(id)) return "";
    return this.#decoder.decode(this.#vocabulary.bytes(id), { stream: true });
  }

  /** What is left: U+FFFD for a character that was never completed, else nothing. */
  end(): string {
    return this.#decoder.decode();
  }
}
