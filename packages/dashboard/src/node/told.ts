/** What a node tells, looked at before it is kept: whoever answers at an address may say anything. */
import { NotANodeError } from "@proofmill/client";
import { brief } from "../brief.ts";

/** Characters of one text; what honest nodes say has hundreds. */
const LONGEST_TEXT = 100_000;
/** Bytes of an answer; a round of a million finds has half as many. */
const MOST_BYTES = 64 * 2 ** 20;

interface Misfit {
  issues: readonly { path: readonly PropertyKey[]; message: string }[];
}

interface Schema<T> {
  safeParse(value: unknown): { success: true; data: T } | { success: false; error: Misfit };
}

/** A node told what no node of this page's version tells. */
export class NotUnderstoodError extends NotANodeError {
  override name = "NotUnderstoodError";

  constructor(url: string, cause: unknown) {
    const why = brief(cause instanceof Error ? cause.message : String(cause));
    const message = `${url} does not answer as nodes of this page's version do: ${why}`;
    super(message, { code: "NOT_A_NODE", cause });
  }
}

/** Looks at what the node of this address tells. */
export class Told {
  readonly #url: string;

  constructor(url: string) {
    this.#url = url;
  }

  /**
   * @returns what the schema knows of it
   * @throws NotUnderstoodError where it does not fit, or holds a text of more than 100,000 characters
   */
  by<T>(schema: Schema<T>, value: unknown): T {
    const outcome = schema.safeParse(value);
    if (!outcome.success) {
      const [first] = outcome.error.issues;
      throw new NotUnderstoodError(
        this.#url,
        `${first?.path.join(".") || "it"}: ${first?.message}`,
      );
    }
    if (hasLongText(outcome.data)) throw new NotUnderstoodError(this.#url, "a text is too long");
    return outcome.data;
  }
}

/** What fits a schema is as deep as the schema. */
function hasLongText(value: unknown): boolean {
  if (typeof value === "string") return value.length > LONGEST_TEXT;
  if (typeof value !== "object" || value === null) return false;
  return Object.values(value).some(hasLongText);
}

/** The browser's own, for answers that have an end. */
export async function fetchBounded(...request: Parameters<typeof fetch>): Promise<Response> {
  const response = await fetch(...request);
  if (!response.body) return response;
  let bytes = 0;
  const counter = new TransformStream<Uint8Array<ArrayBuffer>, Uint8Array<ArrayBuffer>>({
    transform(piece, controller) {
      bytes += piece.length;
      if (bytes > MOST_BYTES) controller.error(new Error("the answer is too long for this page"));
      else controller.enqueue(piece);
    },
  });
  return new Response(response.body.pipeThrough(counter), response);
}
