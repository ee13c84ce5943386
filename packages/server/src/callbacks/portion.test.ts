import { expect, test } from "vitest";
import { Portion } from "./portion.ts";

const MINUTE = 60_000;

/** A receiver that takes up to `limit`, and the sizes that it is sent in `requests` full requests. */
function send(portion: Portion, limit: number, requests: number): number[] {
  return Array.from({ length: requests }, () => {
    const { size } = portion;
    if (size <= limit) portion.passed(size);
    else portion.shrink(size);
    return size;
  });
}

test("halves until it passes, and stays there", () => {
  const portion = new Portion(1000, () => 0);
  expect(send(portion, 300, 7)).toEqual([1000, 500, 250, 250, 250, 250, 250]);
  expect(portion.shrink(1)).toBe(false);
});

test("a request that was not full tells nothing", () => {
  let now = 0;
  const portion = new Portion(1000, () => now);
  send(portion, 300, 3);
  now = MINUTE;
  portion.passed(249);
  expect(portion.size).toBe(250);
  // But one that was too large does, whatever was allowed.
  portion.shrink(100);
  expect(portion.size).toBe(50);
});

test("what has passed is not given up for a larger one that did not", () => {
  let now = 0;
  const portion = new Portion(1000, () => now);
  portion.passed(700);
  portion.shrink(1000);
  expect(portion.size).toBe(700);
  now = MINUTE;
  portion.passed(700);
  expect(portion.size).toBe(1000);
  portion.shrink(800); // there were no more to try it with
  expect(portion.size).toBe(700);
  portion.shrink(600); // and now even fewer do not pass
  expect(portion.size).toBe(300);
});

test("a limit that stays is tried ever more rarely", () => {
  let now = 0;
  const portion = new Portion(1000, () => now);
  send(portion, 300, 3);
  const trials: number[] = [];
  for (; now < 600 * MINUTE; now += MINUTE) {
    const sizes = send(portion, 300, 3);
    if (sizes.includes(500)) trials.push(now / MINUTE);
  }
  expect(trials).toEqual([1, 3, 7, 15, 31, 63, 123, 183, 243, 303, 363, 423, 483, 543]);
});

test("a limit that is gone is left behind at once, once a larger size has passed", () => {
  let now = 0;
  const portion = new Portion(1000, () => now);
  send(portion, 1, 11);
  expect(portion.size).toBe(1);
  expect(send(portion, 1000, 3)).toEqual([1, 1, 1]);
  now = MINUTE;
  expect(send(portion, 1000, 13)).toEqual([
    ...[1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1000, 1000, 1000],
  ]);
});
