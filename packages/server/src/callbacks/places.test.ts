import { expect, test } from "vitest";
import { Places } from "./places.ts";

const RECEIVER = { kind: "generated", host: "a.example", isFailing: false };
const hang = () => new Promise<never>(() => {});
const inside = async () => "inside";

/** So many who hang, each at a host of its own unless one is named. */
function occupy(places: Places, count: number, what: { host?: string; isFailing?: boolean } = {}) {
  for (let i = 0; i < count; i++) {
    void places.with({ ...RECEIVER, host: `h${i}.example`, ...what }, hang);
  }
}

test("strangers who hang keep no known host waiting, even one that has just failed", async () => {
  const places = new Places();
  places.remember(RECEIVER.host);
  for (const isFailing of [false, true]) {
    occupy(places, 100, { isFailing });
    expect(await places.with({ ...RECEIVER, isFailing }, inside)).toBe("inside");
  }
});

test("a known host that hangs under a hundred URLs keeps no other waiting", async () => {
  const places = new Places();
  for (const host of ["a.example", "b.example"]) places.remember(host);
  occupy(places, 100, { host: "a.example" });
  expect(await places.with({ ...RECEIVER, host: "b.example" }, inside)).toBe("inside");
});

test("places are given in the order in which they were asked for, and never more than there are", async () => {
  const places = new Places();
  const now = { all: 0, most: 0 };
  const order: number[] = [];
  const hosts = Array.from({ length: 200 }, (_, i) => `h${i % 100}.example`);
  const work = (i: number) => async () => {
    order.push(i);
    now.most = Math.max(now.most, ++now.all);
    await new Promise(setImmediate);
    now.all--;
    if (i % 3 === 0) throw new Error("it failed"); // and gives its place back all the same
  };
  const all = hosts.map((host, i) => places.with({ ...RECEIVER, host }, work(i)));
  const ended = await Promise.allSettled(all);
  expect(ended.filter(({ status }) => status === "rejected")).toHaveLength(67);
  expect(order).toEqual(hosts.map((_, i) => i));
  expect(now.most).toBe(24);
});

test("whoever waits when they close gets none, and nobody does after it", async () => {
  const places = new Places();
  occupy(places, 24);
  occupy(places, 2, { host: "a.example" });
  const waiting = ["a.example", "b.example"].map((host) =>
    places.with({ ...RECEIVER, host }, inside),
  );
  places.close();
  expect(await Promise.all(waiting)).toEqual([null, null]);
  expect(await places.with({ ...RECEIVER, kind: "validated" }, inside)).toBe(null);
});
