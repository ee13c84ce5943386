import { expect, test } from "vitest";
import { Subscriptions } from "./subscriptions.ts";

test("a crowd of subscriptions leaves one to every connection", () => {
  const subscriptions = new Subscriptions(100);
  const greedy = [subscriptions.connection(), subscriptions.connection()];
  const ends: (() => void)[] = [];
  for (const subscribe of greedy) {
    expect(() => {
      for (let i = 0; i < 65; i++) ends.push(subscribe());
    }).toThrow(/^(At most 64 subscriptions on one connection|One subscription on a connection)/);
  }
  expect(ends).toHaveLength(100);
  const honest = subscriptions.connection();
  const end = honest();
  expect(honest).toThrow("One subscription on a connection while there are 100 in all");
  end();
  ends[0]?.();
  ends[1]?.();
  honest();
  honest();
});
