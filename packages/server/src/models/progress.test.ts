import { expect, test } from "vitest";
import { formatBytes, formatSeconds, Progress } from "./progress.ts";

/** A progress over 1,000 MB whose time is set by hand. */
function progress(terminal: { isTTY?: boolean; columns?: number }) {
  const written: string[] = [];
  const logged: string[] = [];
  let time = 0;
  const shown = new Progress({
    label: "Org/Model",
    total: 1e9,
    terminal: { ...terminal, write: (text) => written.push(text) },
    log: (text) => logged.push(text),
    now: () => time,
  });
  const at = (seconds: number, bytes: number) => {
    time = seconds * 1000;
    shown.update(bytes);
  };
  return { shown, written, logged, at };
}

test("elsewhere than on a terminal: a line every five seconds", () => {
  const { shown, written, logged, at } = progress({});
  at(0, 0);
  for (let i = 1; i <= 120; i++) at(i / 10, i * 2_000_000);
  shown.finish();
  expect(logged).toEqual([
    "Org/Model: 10 %, 100 MB of 1.00 GB, 20.0 MB/s, 45 s left",
    "Org/Model: 20 %, 200 MB of 1.00 GB, 20.0 MB/s, 40 s left",
  ]);
  expect(written).toEqual([]);
});

test("on a terminal: one line that changes, no wider than that", () => {
  const { shown, written, logged, at } = progress({ isTTY: true, columns: 100 });
  at(0, 0);
  at(0.05, 1_000_000);
  at(10, 500_000_000);
  expect(written).toEqual([
    `\rOrg/Model ${"█".repeat(12)}${"░".repeat(12)} 50 %, 500 MB of 1.00 GB, 50.0 MB/s, 10 s left\u001b[K`,
  ]);
  shown.finish();
  shown.finish();
  expect([written.at(-1), written.length, logged]).toEqual(["\n", 2, []]);
  const narrow = progress({ isTTY: true, columns: 20 });
  narrow.at(0, 0);
  narrow.at(1, 1);
  expect(narrow.written[0]).toHaveLength(1 + 19 + "\u001b[K".length);
});

test("what was there before does not count for the rate", () => {
  const { logged, at } = progress({});
  at(0, 900_000_000);
  at(10, 910_000_000);
  expect(logged).toEqual(["Org/Model: 91 %, 910 MB of 1.00 GB, 1.00 MB/s, 1 min 30 s left"]);
});

test("the rate is that of the last seconds, and begins anew when the bytes do", () => {
  const { logged, at } = progress({});
  at(0, 0);
  for (let i = 1; i <= 20; i++) at(i, 300_000_000);
  expect(logged.at(-1)).toBe("Org/Model: 30 %, 300 MB of 1.00 GB, 0 B/s");
  at(21, 0);
  at(30, 9_000_000);
  expect(logged.at(-1)).toBe("Org/Model: 0 %, 9.00 MB of 1.00 GB, 1.00 MB/s, 16 min 31 s left");
});

test("numbers as people read them", () => {
  const bytes = [0, 999, 1000, 1_503_300_328, 16e9, 999_499, 999_600, 4e15];
  expect(bytes.map(formatBytes)).toEqual([
    "0 B",
    "999 B",
    "1.00 kB",
    "1.50 GB",
    "16.0 GB",
    "999 kB",
    "1.00 MB",
    "4000 TB",
  ]);
  expect([0, 0.2, 59, 60, 3600, 3900].map(formatSeconds)).toEqual([
    "0 s",
    "1 s",
    "59 s",
    "1 min 00 s",
    "1 h 00 min",
    "1 h 05 min",
  ]);
});
