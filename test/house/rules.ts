/** What is held against the table of rooms. Every function tells in lines what is wrong. */
import { type Import, isSource, type Sources, stringsIn } from "./sources.ts";

/**
 * What each room may import, with spaces between, from the roof of the house to its ground.
 *
 * A room is a file, or a folder with all that is in it but rooms of their own; its name is its path
 * without `packages/`. Tests that stand beside what they test are one room, `<package>/tests`. What may
 * be imported are rooms and modules that are not ours; `x/*` means all that begin with `x/`.
 */
export type Rooms = Readonly<Record<string, string>>;

/** Where nothing but tests stands. */
const TEST_FOLDERS = /^(test|packages\/\w+\/test)\//;
/** Beside what is tested: a test, what tests share, or a program that they start. */
const UNIT_TEST =
  /^packages\/(\w+)\/(src|lib)\/(.*\/)?([^/]+\.test\.ts|test-support\.ts|[^/]+\.mjs)$/;

function isTest(path: string): boolean {
  return TEST_FOLDERS.test(path) || UNIT_TEST.test(path);
}

/** The room that a file stands in, null for none. */
function roomOf(rooms: Rooms, path: string): string | null {
  const [, tested] = UNIT_TEST.exec(path) ?? [];
  const name = tested === undefined ? path.replace(/^packages\//, "") : `${tested}/tests`;
  const around = Object.keys(rooms).filter((room) => name === room || name.startsWith(`${room}/`));
  return around.sort((a, b) => b.length - a.length)[0] ?? null;
}

/** Files that stand in no room. */
export function homeless(sources: Sources, rooms: Rooms): string[] {
  return [...sources.keys()]
    .filter((path) => isSource(path) && roomOf(rooms, path) === null)
    .map((path) => `${path} stands in no room: its folder needs a row in test/house/rooms.ts`);
}

/** Imports that the table does not allow. */
export function forbidden(imports: readonly Import[], rooms: Rooms): string[] {
  return imports.flatMap(({ from, to }) => {
    const room = roomOf(rooms, from);
    if (room === null) return [];
    const target = isOurs(to) ? roomOf(rooms, to) : to;
    if (target === room || allowedIn(rooms, room).some((each) => covers(each, target ?? to)))
      return [];
    return [`${room} may not import ${target ?? to}: ${from} imports ${to}`];
  });
}

/** Rows of the table that allow what nobody does. */
export function unused(imports: readonly Import[], rooms: Rooms): string[] {
  const done = new Map<string, Set<string>>();
  for (const { from, to } of imports) {
    const room = roomOf(rooms, from) ?? "";
    const targets = done.get(room) ?? new Set();
    done.set(room, targets.add((isOurs(to) ? roomOf(rooms, to) : null) ?? to));
  }
  return Object.keys(rooms).flatMap((room) =>
    allowedIn(rooms, room)
      .filter((each) => ![...(done.get(room) ?? [])].some((target) => covers(each, target)))
      .map((each) => `${room} may import ${each}, and does not`),
  );
}

/**
 * Arrows of the table that do not lead downward. Where all do, no way along them comes back to
 * where it began.
 */
export function climbing(rooms: Rooms): string[] {
  const names = Object.keys(rooms);
  return names.flatMap((room, floor) =>
    allowedIn(rooms, room).flatMap((each) => {
      const above = names.slice(0, floor + 1).filter((name) => name !== room && covers(each, name));
      return above.map((name) => `${room} may import ${name}, which stands above it`);
    }),
  );
}

/** Files that import each other in a circle. */
export function circles(imports: readonly Import[]): string[] {
  const arrows = new Map<string, string[]>();
  for (const { from, to } of imports) arrows.set(from, [...(arrows.get(from) ?? []), to]);
  const found: string[] = [];
  const finished = new Set<string>();
  const visit = (file: string, way: readonly string[]) => {
    if (way.includes(file)) found.push([...way.slice(way.indexOf(file)), file].join(" → "));
    else if (!finished.has(file)) {
      for (const next of arrows.get(file) ?? []) visit(next, [...way, file]);
      finished.add(file);
    }
  };
  for (const file of arrows.keys()) visit(file, []);
  return found;
}

/** Strings of the product that lead into `test/`. */
export function pathsToTests(sources: Sources): string[] {
  return [...sources].flatMap(([path, text]) => {
    if (!/^packages\/\w+\/(src|lib)\/.*\.ts$/.test(path) || isTest(path)) return [];
    const paths = stringsIn(path, text).filter((each) => /(^|\/)test\//.test(each));
    return paths.map((each) => `${path} reads ${each}`);
  });
}

/** Files of the product that are longer than `most` lines. */
export function tooLong(sources: Sources, most: number): string[] {
  return [...sources].flatMap(([path, text]) => {
    const lines = text.trimEnd().split("\n").length;
    return isSource(path) && !isTest(path) && lines > most ? [`${path} has ${lines} lines`] : [];
  });
}

function isOurs(target: string): boolean {
  return /^(packages|scripts|test|examples)\//.test(target);
}

function allowedIn(rooms: Rooms, room: string): string[] {
  return rooms[room]?.split(/\s+/).filter((each) => each !== "") ?? [];
}

function covers(allowed: string, target: string): boolean {
  return allowed.endsWith("*") ? target.startsWith(allowed.slice(0, -1)) : target === allowed;
}
