/** Short forms of what `npm run soak` plays: the same scenarios and bounds. */

import { readdirSync } from "node:fs";
import { notLinux, skipped } from "@proofmill/core/testing";
import { expect, test } from "vitest";
import { linesOf, rowsOf } from "./table.mjs";

/** How much of each scenario is played: some seconds. */
const SHARES: Readonly<Record<string, number>> = {
  "artifact-flood": 0.05,
  "broker-kills": 0.1,
  "broker-moods": 0.1,
  chats: 0.02,
  "node-kills": 0.06,
  orphans: 0.01,
  page: 0.035,
  rounds: 0.02,
  "runner-deaths": 0.03,
};

const scenarios = readdirSync(new URL("./scenarios/", import.meta.url)).map((file) =>
  file.replace(/\.mjs$/, ""),
);

test("every scenario has a short form", () => {
  expect(Object.keys(SHARES).sort()).toEqual(scenarios.sort());
});

test.skipIf(skipped(notLinux)).concurrent.each(scenarios)(
  "%s",
  async (name) => {
    const { play, bounds } = await import(`./scenarios/${name}.mjs`);
    const figures = await play({ share: SHARES[name] });
    const rows = rowsOf({ name, bounds, figures });
    expect(rows.filter(({ holds }) => !holds)).toEqual([]);
  },
  240_000,
);

test("the table says which bound did not hold, what was not measured, and what ended it", () => {
  const rows = rowsOf({
    name: "example",
    bounds: { lost: { most: 0 }, kills: { least: 50, most: 50 }, missing: { least: 1 } },
    figures: { lost: 1, kills: 50, seconds: 12.345678 },
    fault: new Error("the node did not start\nand more"),
  });
  expect(linesOf(rows)).toEqual([
    "scenario  figure       value                   bound",
    "example   lost         1                       at most 0   BROKEN",
    "example   kills        50                      exactly 50",
    "example   seconds      12.35",
    "example   missing      not measured            at least 1  BROKEN",
    "example   ended early  the node did not start              BROKEN",
  ]);
});
