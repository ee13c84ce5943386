import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { golden } from "../../test-support.ts";
import { binomialTail } from "../beta.ts";
import { probabilityHonest } from "./fraud.ts";

interface Row {
  n: number;
  k: number;
  p: number;
  exact_rounded_to_f64: number;
  log10_exact: number;
  underflow?: boolean;
}

describe("binomialTail", () => {
  const { table } = golden<{ table: Row[] }>("fraud.json");

  it("is within 1e-9 of every exact value above 1e-290", () => {
    const rows = table.filter((row) => row.exact_rounded_to_f64 > 1e-290);
    expect(rows.length).toBeGreaterThan(150);
    for (const { n, k, p, exact_rounded_to_f64: exact } of rows) {
      expect(Math.abs(binomialTail(k, n, p) - exact) / exact, `n ${n} k ${k}`).toBeLessThan(1e-9);
    }
  });

  it("keeps its magnitude below that, and underflows to 0", () => {
    const rows = table.filter((row) => row.exact_rounded_to_f64 <= 1e-290);
    expect(rows.some((row) => row.underflow)).toBe(true);
    for (const { n, k, p, exact_rounded_to_f64, log10_exact } of rows) {
      const tail = binomialTail(k, n, p);
      if (exact_rounded_to_f64 === 0) expect(tail).toBe(0);
      else expect(Math.abs(Math.log10(tail) - log10_exact), `n ${n} k ${k}`).toBeLessThan(1e-3);
    }
  });

  it("is exactly p for one of one, so that a threshold can equal it", () => {
    expect(probabilityHonest(1, 1)).toBe(5e-4);
  });

  it("is below the usual threshold for the proofs that docs/operating.md names", () => {
    const longest = (invalid: number) => {
      let n = invalid;
      while (probabilityHonest(invalid, n) < 0.01) n++;
      return n - 1;
    };
    const page = readFileSync(new URL("../../../../../docs/operating.md", import.meta.url), "utf8");
    const [, one, two] =
      /one invalid nonce .* at most (\d+), with two .* at most (\d+)/.exec(page) ?? [];
    expect([longest(1), longest(2)]).toEqual([Number(one), Number(two)]);
  });

  it("is −1 where there is nothing to judge", () => {
    expect(probabilityHonest(0, 0)).toBe(-1);
    expect(probabilityHonest(0, 5)).toBe(1);
  });
});
