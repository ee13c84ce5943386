/** A long answer as JSON, a slice at a time: written at once it would hold the event loop up. */
import { Readable } from "node:stream";
import { setImmediate as nextTurn } from "node:timers/promises";

/** Items of a list that are written in one turn of the event loop. */
const SLICE = 8192;

/** Whether `jsonSlices` is for this answer. */
export function isLong(answer: object): boolean {
  return Object.values(answer).some((item) => Array.isArray(item) && item.length > SLICE);
}

/** The JSON of an object whose lists hold plain values. */
export function jsonSlices(answer: object): Readable {
  return Readable.from(slices(answer), { objectMode: false });
}

async function* slices(answer: object): AsyncGenerator<string> {
  let before = "{";
  for (const [key, item] of Object.entries(answer)) {
    const begin = `${before}${JSON.stringify(key)}:`;
    before = ",";
    if (!Array.isArray(item) || item.length <= SLICE) {
      yield begin + JSON.stringify(item);
      continue;
    }
    for (let i = 0; i < item.length; i += SLICE) {
      const text = JSON.stringify(item.slice(i, i + SLICE)).slice(1, -1);
      yield i === 0 ? `${begin}[${text}` : `,${text}`;
      await nextTurn();
    }
    yield "]";
  }
  yield "}";
}
