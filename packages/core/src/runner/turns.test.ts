import { describe, expect, it } from "vitest";
import { Turns } from "./turns.ts";

type Kind = "proofs" | "search";

/** Gives one job after the other, as a dispatcher does, and adds up what each kind has had. */
function play(
  turns: Turns<Kind>,
  jobs: number,
  wants: (kind: Kind, job: number) => number | null,
): Record<Kind, number> & { order: string } {
  const had = { proofs: 0, search: 0, order: "" };
  for (let job = 0; job < jobs; job++) {
    const without: Kind[] = [];
    for (const kind of turns.order()) {
      const milliseconds = wants(kind, job);
      if (milliseconds === null) {
        without.push(kind);
        continue;
      }
      turns.take(kind, without)(milliseconds);
      had[kind] += milliseconds;
      had.order += kind[0];
      break;
    }
  }
  return had;
}

const turns = (shares = { proofs: 1, search: 1 }) => new Turns<Kind>(shares);

describe("turns", () => {
  it("go to and fro, the first kind first", () => {
    expect(play(turns(), 6, () => 100).order).toBe("pspsps");
  });

  it("give each its share", () => {
    expect(play(turns({ proofs: 1, search: 3 }), 9, () => 100).order).toBe("pssspsssp");
    const { proofs, search } = play(turns({ proofs: 1, search: 7 }), 4000, (kind) =>
      kind === "proofs" ? 900 : 20,
    );
    expect(Math.abs(7 * proofs - search)).toBeLessThanOrEqual(7 * 900);
  });

  it("share time, not jobs", () => {
    const { proofs, search, order } = play(turns(), 2000, (kind) => (kind === "proofs" ? 700 : 50));
    expect(Math.abs(proofs - search)).toBeLessThanOrEqual(700);
    expect(order).toContain("ssssssssss");
  });

  it("leave to the others what one does not want", () => {
    expect(play(turns(), 50, (kind) => (kind === "search" ? 10 : null)).search).toBe(500);
    expect(play(turns(), 50, (kind) => (kind === "proofs" ? 10 : null)).proofs).toBe(500);
  });

  it.each([
    ["search", 750],
    ["proofs", 250],
  ] as const)("save nothing up for the %s that wanted nothing", (idle, expected) => {
    const had = play(turns({ proofs: 1, search: 3 }), 2000, (kind, job) =>
      kind === idle && job < 1000 ? null : 10,
    );
    expect(Math.abs(had[idle] - 10 * expected)).toBeLessThanOrEqual(30);
  });

  it("count what is under way by guess", () => {
    const both = turns();
    const first = both.take("proofs", []);
    expect(both.order()).toEqual(["search", "proofs"]);
    const second = both.take("search", []);
    first(900);
    expect(both.order()).toEqual(["search", "proofs"]);
    second(1000);
    expect(both.order()).toEqual(["proofs", "search"]);
  });
});
