import { expect, test } from "vitest";
import { Subscriptions } from "./subscriptions.ts";

/** Subscribes over as many connections as it takes, until a second one is refused; gives how many it got. */
function take(subscriptions: Subscriptions, caller: string): number {
  const before = subscriptions.size;
  for (;;) {
    const subscribe = subscriptions.connection(() => caller);
    subscribe();
    try {
      for (let i = 1; i < 64; i++) subscribe();
    } catch {
      return subscriptions.size - before;
    }
  }
}

test("a connection has 64 subscriptions at most", () => {
  const subscribe = new Subscriptions().connection(() => "a");
  for (let i = 0; i < 64; i++) subscribe();
  expect(subscribe).toThrow("At most 64 subscriptions on one connection");
});

test("a caller has no more than he leaves free, and what ends is free again", () => {
  const subscriptions = new Subscriptions(1000);
  const ends: (() => void)[] = [];
  const first = subscriptions.connection(() => "greedy");
  for (let i = 0; i < 64; i++) ends.push(first());
  expect(take(subscriptions, "greedy")).toBe(436);
  const honest = subscriptions.connection(() => "honest");
  for (let i = 0; i < 64; i++) honest();
  const another = subscriptions.connection(() => "greedy");
  another();
  expect(another).toThrow(
    "One subscription on a connection while you have as many as are free (435)",
  );
  for (const end of ends) end();
  another();
  expect(subscriptions.size).toBe(502);
});

test("a crowd of callers leaves one to every connection", () => {
  const subscriptions = new Subscriptions(100);
  for (let i = 0; i < 200; i++) take(subscriptions, `one of a crowd, ${i}`);
  expect(subscriptions.size).toBeGreaterThan(200);
  const honest = subscriptions.connection(() => "honest");
  honest();
  expect(honest).toThrow("One subscription on a connection while you have as many as are free (0)");
});
