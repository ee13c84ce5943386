/** JSON of what is long: a slice of it in each turn of the event loop, which would stand still for all. */
import { setImmediate as nextTurn } from "node:timers/promises";

/** Items that are written in one turn: a millisecond for short ones, a few for the longest vectors. */
const SLICE = 4096;

/** A list, or what makes a list's items as they are asked for. */
export interface Sliceable {
  readonly length: number;
  slice(start: number, end: number): readonly unknown[];
}

/** A list as JSON without its brackets. */
export async function itemsJson(list: Sliceable): Promise<string> {
  const slices: string[] = [];
  for (let start = 0; start < list.length; start += SLICE) {
    if (start > 0) await nextTurn();
    slices.push(JSON.stringify(list.slice(start, start + SLICE)).slice(1, -1));
  }
  return slices.join();
}

/** An object of plain values as JSON. Its lists are written so, and those of the objects in it. */
export async function objectJson(value: object): Promise<string> {
  const fields: string[] = [];
  for (const [name, field] of Object.entries(value)) {
    if (field !== undefined) fields.push(`${JSON.stringify(name)}:${await fieldJson(field)}`);
  }
  return `{${fields.join()}}`;
}

async function fieldJson(value: unknown): Promise<string> {
  if (typeof value !== "object" || value === null) return JSON.stringify(value);
  return isSliceable(value) ? `[${await itemsJson(value)}]` : objectJson(value);
}

function isSliceable(value: object): value is Sliceable {
  return "length" in value && "slice" in value;
}
