import { ulid } from "ulid";
import { expect, onTestFinished, test, vi } from "vitest";
import { roundIdAfter } from "./round-id.ts";

const MONTH = 30 * 24 * 3600 * 1000;

test("a later round's id is greater, however the clock is set and however fast rounds follow", () => {
  vi.useFakeTimers({ toFake: ["Date"] });
  onTestFinished(() => void vi.useRealTimers());
  const ids = [roundIdAfter(null)];
  for (const step of [0, 0, MONTH, -2 * MONTH, 0, 1, MONTH]) {
    vi.setSystemTime(Date.now() + step);
    ids.push(roundIdAfter(ids.at(-1) ?? null));
  }
  expect(ids.toSorted()).toEqual(ids);
  expect(new Set(ids).size).toBe(ids.length);
  for (const id of ids) expect(id).toMatch(/^[0-7][0-9A-HJKMNP-TV-Z]{25}$/);
});

test("an id is made of the present time where nothing stands against it", () => {
  const old = ulid(Date.now() - MONTH);
  expect(roundIdAfter(old).slice(0, 6)).toBe(ulid().slice(0, 6));
});

test.each(["zzz", "", "7ZZZ", "round-of-another-program"])(
  "a stored id %j keeps no round from beginning",
  (id) => {
    expect(roundIdAfter(id)).toMatch(/^[0-7][0-9A-HJKMNP-TV-Z]{25}$/);
  },
);
