/** A Status as JSON. Whole lists, which older callers ask for again and again, are written once. */
import type { PocService } from "@proofmill/core";

/** The items of a growing list, as JSON without brackets. Bytes that were given out never change. */
class ItemsText {
  #bytes = Buffer.alloc(0);
  #length = 0;

  get bytes(): Buffer {
    return this.#bytes.subarray(0, this.#length);
  }

  append(items: readonly number[]): void {
    if (items.length === 0) return;
    const text = (this.#length === 0 ? "" : ",") + JSON.stringify(items).slice(1, -1);
    const length = this.#length + text.length; // digits: a byte for each character
    if (length > this.#bytes.length) {
      const larger = Buffer.allocUnsafeSlow(2 * length);
      this.#bytes.copy(larger, 0, 0, this.#length);
      this.#bytes = larger;
    }
    this.#bytes.write(text, this.#length, "latin1");
    this.#length = length;
  }
}

/** Follows the present round's finds. */
export class StatusText {
  readonly #service: PocService;
  #round: string | null = null;
  #count = 0;
  #nonces = new ItemsText();
  #distances = new ItemsText();

  constructor(service: PocService) {
    this.#service = service;
  }

  /**
   * The Status of `page`, a query as it came, in UTF-8.
   *
   * @throws PocError as `PocService.status`
   */
  read(page: object): Buffer {
    return Object.keys(page).length === 0
      ? this.#whole()
      : Buffer.from(JSON.stringify(this.#service.status(page)));
  }

  #whole(): Buffer {
    let status = this.#service.status({ since: this.#count });
    if (status.round_id !== this.#round) {
      this.#round = status.round_id;
      this.#count = 0;
      this.#nonces = new ItemsText();
      this.#distances = new ItemsText();
      status = this.#service.status();
    }
    const { valid_nonces, valid_distances, ...others } = status;
    this.#count += valid_nonces.length;
    this.#nonces.append(valid_nonces);
    this.#distances.append(valid_distances);
    return Buffer.concat([
      Buffer.from('{"valid_nonces":['),
      this.#nonces.bytes,
      Buffer.from('],"valid_distances":['),
      this.#distances.bytes,
      Buffer.from(`],${JSON.stringify(others).slice(1)}`),
    ]);
  }
}
