/**
 * What a prover sent of a job's nonces, as few long values: a thread's message copies those at once,
 * where a hundred thousand objects take long.
 */

/** Many texts as one. */
export interface Texts {
  readonly joined: string;
  /** Where each ends in `joined`, in UTF-16 units. */
  readonly ends: Uint32Array;
}

export interface Claims {
  /** The prover's vector for each of the job's nonces, in their order; null where it sent other nonces. */
  readonly vectors_b64: Texts | null;
}

interface Claim {
  nonce: number;
  vector_b64: string;
}

/** Of two claims for one nonce the last counts. Loops alone: it is the thread that has little memory. */
export function claimsOf(nonces: readonly number[], sent: readonly Claim[]): Claims {
  const places = new Map<number, number>();
  for (let place = 0; place < sent.length; place++) places.set(sent[place]?.nonce ?? -1, place);
  const isWanted = new Uint8Array(sent.length);
  const vectors: string[] = [];
  for (const nonce of nonces) {
    const place = places.get(nonce) ?? -1;
    const claim = sent[place];
    if (!claim) return { vectors_b64: null };
    isWanted[place] = 1;
    vectors.push(claim.vector_b64);
  }
  const wanted = isWanted.reduce((sum, one) => sum + one, 0);
  return { vectors_b64: wanted === places.size ? joinTexts(vectors) : null };
}

/** What could be sent to claim the same: a list whose items are made as they are asked for. */
export class SentClaims {
  readonly #nonces: readonly number[];
  readonly #vectors: Texts;

  /** @param vectors one for each of the nonces */
  constructor(nonces: readonly number[], vectors: Texts) {
    this.#nonces = nonces;
    this.#vectors = vectors;
  }

  get length(): number {
    return this.#nonces.length;
  }

  slice(start: number, end: number): Claim[] {
    return this.#nonces.slice(start, end).map((nonce, i) => ({
      nonce,
      vector_b64: textAt(this.#vectors, start + i) ?? "",
    }));
  }
}

/** @returns undefined past the last */
export function textAt({ joined, ends }: Texts, place: number): string | undefined {
  const end = ends[place];
  return end === undefined ? undefined : joined.slice(ends[place - 1] ?? 0, end);
}

function joinTexts(texts: readonly string[]): Texts {
  const ends = new Uint32Array(texts.length);
  let end = 0;
  for (let place = 0; place < texts.length; place++) {
    end += texts[place]?.length ?? 0;
    ends[place] = end;
  }
  return { joined: texts.join(""), ends };
}
