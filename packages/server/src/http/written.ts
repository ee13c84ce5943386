/**
 * JSON whose long lists are written apart from it: finds once for all answers, a verdict's own lists
 * a slice at a time. Marks stand for them until the answer leaves.
 */
import { randomBytes } from "node:crypto";
import { Readable } from "node:stream";
import { type FoundList, itemsJson, type Section, sectionOf } from "@proofmill/core";
import type { FastifyReply } from "fastify";

/** Shorter lists are written as they come. */
const LEAST_ITEMS = 256;
/** Shorter arrays may hold answers, as a batch does. */
const MOST_ENVELOPE = 64;
/** Shorter answers are sent in one piece. */
const LEAST_STREAM = 64 * 1024;

/** Lists that are no longer are written in one turn of the event loop. */
const SHORT = 8192;

/** Marks begin with it. No caller knows it, so that none can send a mark of his own. */
const SECRET = randomBytes(16).toString("hex");
const MARK = `"${SECRET}`;
/** Behind the secret: what follows is the list's JSON. */
const ITSELF = "=";

/** The lists that marks name, as long as there are such lists. */
const lists = new Map<number, WeakRef<FoundList>>();
const numbers = new WeakMap<FoundList, number>();
const gone = new FinalizationRegistry<number>((number) => lists.delete(number));
let named = 0;

/** Lists whose JSON is written already, without brackets. */
const texts = new WeakMap<readonly unknown[], string>();

/**
 * Writes an answer's long lists, a slice in each turn of the event loop: all at once they would hold
 * it up. Finds are written already. What `marked` makes of the answer then is short.
 *
 * @param answer an object; its lists hold no text but ASCII
 */
export async function writeLists<T extends object>(answer: T): Promise<T> {
  for (const list of Object.values(answer)) {
    if (!Array.isArray(list) || list.length <= SHORT || texts.has(list)) continue;
    if (sectionOf(list)) continue;
    texts.set(list, await itemsJson(list));
  }
  return answer;
}

/**
 * A value whose JSON is for `pieces`: long lists that are written already are replaced by marks. It
 * is the same value where there are none.
 */
export function marked<T>(value: T): T {
  return (replaced(value) ?? value) as T;
}

/** Undefined where nothing has to be replaced. */
function replaced(value: unknown): unknown {
  if (typeof value !== "object" || value === null) return undefined;
  if (Array.isArray(value) && value.length > MOST_ENVELOPE) {
    const section = value.length < LEAST_ITEMS ? undefined : sectionOf(value);
    if (section) return markOf(section);
    const text = texts.get(value);
    return text === undefined ? undefined : SECRET + ITSELF + text; // a string holds it as it is
  }
  let copy: Record<string, unknown> | undefined;
  for (const [key, item] of Object.entries(value)) {
    const other = replaced(item);
    if (other === undefined) continue;
    copy ??= (Array.isArray(value) ? [...value] : { ...value }) as Record<string, unknown>;
    copy[key] = other;
  }
  return copy;
}

function markOf({ list, since, end }: Section): string {
  let number = numbers.get(list);
  if (number === undefined) {
    number = named++;
    numbers.set(list, number);
    lists.set(number, new WeakRef(list));
    gone.register(list, number);
  }
  return `${SECRET}${number}:${since}:${end}`;
}

/**
 * JSON with marks as bytes.
 *
 * @throws Error when a list is gone: its answer has waited for longer than a round lasted
 */
export function pieces(text: string): Uint8Array[] {
  const bytes: Uint8Array[] = [];
  let done = 0;
  let bracket = "";
  for (let mark = text.indexOf(MARK); mark !== -1; mark = text.indexOf(MARK, done)) {
    const end = text.indexOf('"', mark + MARK.length);
    const before = Buffer.from(`${bracket}${text.slice(done, mark)}[`);
    bytes.push(before, listOf(text.slice(mark + MARK.length, end)));
    bracket = "]";
    done = end + 1;
  }
  bytes.push(Buffer.from(bracket + text.slice(done)));
  return bytes;
}

/** What a mark says after the secret: the JSON itself, or which finds. */
function listOf(said: string): Uint8Array {
  if (said.startsWith(ITSELF)) return Buffer.from(said.slice(ITSELF.length), "latin1");
  const [number, since = 0, end = 0] = said.split(":").map(Number);
  const list = lists.get(number as number)?.deref();
  if (!list) throw new Error("a round is gone whose finds were still to be sent");
  return list.json(since, end);
}

/** Answers with a value as JSON. */
export function sendWritten(reply: FastifyReply, value: unknown): FastifyReply {
  const parts = pieces(JSON.stringify(marked(value)));
  const length = parts.reduce((sum, part) => sum + part.length, 0);
  reply.type("application/json; charset=utf-8");
  if (length < LEAST_STREAM) return reply.send(Buffer.concat(parts));
  return reply.header("content-length", length).send(Readable.from(parts, { objectMode: false }));
}

/** A stream of JSON texts with marks, each whole in its chunk, as bytes. */
export function writtenStream(chunks: AsyncIterable<Uint8Array>): Readable {
  async function* bytes() {
    for await (const chunk of chunks) {
      const text = Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength);
      if (text.includes(SECRET)) yield* pieces(text.toString());
      else yield text;
    }
  }
  return Readable.from(bytes(), { objectMode: false });
}
