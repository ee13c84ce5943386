/** Where answers end. */
import { expect, test } from "vitest";
import { StopStrings } from "./stop-strings.ts";

/** All texts of `a` and `b` of these lengths. */
function texts(lengths: readonly number[]): string[] {
  return lengths.flatMap((length) =>
    Array.from({ length: 2 ** length }, (_, bits) =>
      Array.from({ length }, (_, i) => ((bits >> i) & 1 ? "b" : "a")).join(""),
    ),
  );
}

/** What is certain of a text: all of it that is before the first stop and is the start of none. */
function certainOf(text: string, stops: readonly string[]): string {
  const found = stops.map((stop) => text.indexOf(stop)).filter((at) => at >= 0);
  if (found.length > 0) return text.slice(0, Math.min(...found));
  for (let at = 0; at < text.length; at++) {
    if (stops.some((stop) => stop.startsWith(text.slice(at)))) return text.slice(0, at);
  }
  return text;
}

test("every text of two letters, in pieces of each length, ends where it should", () => {
  const stops = texts([1, 2, 3, 4]);
  for (const [i, first] of stops.entries()) {
    const pair = [first, stops[(7 * i + 3) % stops.length] ?? first];
    for (const text of texts([7])) {
      for (const size of [1, 2, 3, 7]) {
        const strings = new StopStrings(pair);
        let [said, seen] = ["", ""];
        for (let at = 0; at < text.length && !strings.isFound; at += size) {
          const piece = text.slice(at, at + size);
          said += strings.push(piece);
          seen += piece;
          expect(said).toBe(certainOf(seen, pair));
        }
        const isStopped = pair.some((stop) => seen.includes(stop));
        expect(strings.isFound).toBe(isStopped);
        expect(said + strings.end()).toBe(isStopped ? certainOf(seen, pair) : text);
      }
    }
  }
});

test("a stop string that is to be told is told, and nothing after it", () => {
  const push = (stops: string[], pieces: string[]) => {
    const strings = new StopStrings(stops, { includesStop: true });
    return pieces.map((piece) => strings.push(piece)).concat(strings.end());
  };
  expect(push(["ab"], ["xa", "bc", "d"])).toEqual(["x", "ab", "", ""]);
  expect(push(["abc", "ab"], ["xabcd"])).toEqual(["xab", ""]);
  expect(push(["cd", "b"], ["abcd"])).toEqual(["ab", ""]);
  expect(push(["abc"], ["xab"])).toEqual(["x", "ab"]);
});

test("what follows a stop string is no part of the text", () => {
  const strings = new StopStrings(["ab"]);
  expect(["xa", "bc", "d"].map((piece) => strings.push(piece))).toEqual(["x", "", ""]);
  expect(strings.end()).toBe("");
});
