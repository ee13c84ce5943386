/** JSON of what is long: a slice of it in each turn of the event loop, which would stand still for all. */
import { setImmediate as nextTurn } from "node:timers/promises";

/** Items that are written in one turn: a millisecond for short ones, a few for the longest vectors. */
const SLICE = 4096;

/** A list, or what makes a list's items as they are asked for. */
interface Sliceable {
  readonly length: number;
  slice(start: number, end: number): readonly unknown[];
}

/** A list as JSON without its brackets. */
export async function itemsJson(list: Sliceable): Promise<string> {
  const pieces: string[] = [];
  await writeItems(list, pieces);
  return pieces.join("");
}

/** An object of plain values as JSON. Its lists are written so, and those of the objects in it. */
export async function objectJson(value: object): Promise<string> {
  const pieces: string[] = [];
  await writeObject(value, pieces);
  return pieces.join(""); // once: each copy of megabytes takes milliseconds
}

async function writeItems(list: Sliceable, pieces: string[]): Promise<void> {
  for (let start = 0; start < list.length; start += SLICE) {
    if (start > 0) await nextTurn();
    const items = JSON.stringify(list.slice(start, start + SLICE)).slice(1, -1);
    pieces.push(start > 0 ? "," : "", items);
  }
}

async function writeObject(value: object, pieces: string[]): Promise<void> {
  let separator = "{";
  for (const [name, field] of Object.entries(value)) {
    if (field === undefined) continue;
    pieces.push(separator, JSON.stringify(name), ":");
    separator = ",";
    if (typeof field !== "object" || field === null) {
      pieces.push(JSON.stringify(field));
    } else if (isSliceable(field)) {
      pieces.push("[");
      await writeItems(field, pieces);
      pieces.push("]");
    } else {
      await writeObject(field, pieces);
    }
  }
  pieces.push(separator === "{" ? "{}" : "}");
}

function isSliceable(value: object): value is Sliceable {
  return "length" in value && "slice" in value;
}
