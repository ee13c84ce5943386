/** JSON in which long lists of finds stand as bytes that all answers share, written once. */
import { randomBytes } from "node:crypto";
import { Readable } from "node:stream";
import { type FoundList, type Section, sectionOf } from "@proofmill/core";
import type { FastifyReply } from "fastify";

/** Shorter lists are written as they come. */
const LEAST_ITEMS = 256;
/** Shorter arrays may hold answers, as a batch does. */
const MOST_ENVELOPE = 64;
/** Shorter answers are sent in one piece. */
const LEAST_STREAM = 64 * 1024;

/** No caller knows it, so that none can say it. */
const SECRET = randomBytes(16).toString("hex");
const MARK = new RegExp(`"${SECRET}:(\\d+):(\\d+):(\\d+)"`);

/** The lists that marks name, as long as there are such lists. */
const lists = new Map<number, WeakRef<FoundList>>();
const numbers = new WeakMap<FoundList, number>();
const gone = new FinalizationRegistry<number>((number) => lists.delete(number));
let named = 0;

/**
 * A value whose JSON is for `pieces`: long lists of finds are replaced by marks. It is the same value
 * where there are none.
 */
export function marked<T>(value: T): T {
  return (replaced(value) ?? value) as T;
}

/** Undefined where nothing has to be replaced. */
function replaced(value: unknown): unknown {
  if (typeof value !== "object" || value === null) return undefined;
  if (Array.isArray(value) && value.length > MOST_ENVELOPE) {
    const section = value.length < LEAST_ITEMS ? undefined : sectionOf(value);
    return section && markOf(section);
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
  return `${SECRET}:${number}:${since}:${end}`;
}

/**
 * JSON with marks as bytes.
 *
 * @throws Error when a list is gone, which only those meet who wait for longer than a round
 */
export function pieces(text: string): Uint8Array[] {
  if (!text.includes(SECRET)) return [Buffer.from(text)];
  const parts = text.split(MARK); // text, number, since, end, text …
  const bytes: Uint8Array[] = [];
  for (let i = 0; i < parts.length; i += 4) {
    const [before = "", number, since, end] = parts.slice(i, i + 4);
    if (number === undefined) {
      bytes.push(Buffer.from(before));
      continue;
    }
    const list = lists.get(Number(number))?.deref();
    if (!list) throw new Error("a round is gone whose finds were still to be sent");
    bytes.push(Buffer.from(`${before}[`), list.json(Number(since), Number(end)));
    parts[i + 4] = `]${parts[i + 4]}`;
  }
  return bytes;
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
