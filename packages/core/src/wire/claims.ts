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

/** Of two claims for one nonce the last counts. */
export function claimsOf(nonces: readonly number[], sent: readonly Claim[]): Claims {
  const vectors = new Map(sent.map(({ nonce, vector_b64 }) => [nonce, vector_b64]));
  const isSame =
    new Set(nonces).size === vectors.size && nonces.every((nonce) => vectors.has(nonce));
  const texts = () => joinTexts(nonces.map((nonce) => vectors.get(nonce) ?? ""));
  return { vectors_b64: isSame ? texts() : null };
}

/** What could be sent to claim the same. */
export function sentOf(nonces: readonly number[], vectors: Texts): Claim[] {
  return nonces.map((nonce, place) => ({ nonce, vector_b64: textAt(vectors, place) ?? "" }));
}

/** @returns undefined past the last */
export function textAt({ joined, ends }: Texts, place: number): string | undefined {
  const end = ends[place];
  return end === undefined ? undefined : joined.slice(ends[place - 1] ?? 0, end);
}

function joinTexts(texts: readonly string[]): Texts {
  let end = 0;
  const ends = Uint32Array.from(texts, ({ length }) => {
    end += length;
    return end;
  });
  return { joined: texts.join(""), ends };
}
