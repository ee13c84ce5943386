/** Instruction sets against each other: those of this CPU, and AVX-512 written out for AVX2. */
import { execFileSync } from "node:child_process";
import { expect, test } from "vitest";
import { buildNativeTarget, NATIVE_BUILD } from "../native-target.ts";

test("instruction sets of equal arithmetic give equal bits, and every operation is right", () => {
  buildNativeTarget("isa_digest");
  // A non-zero exit status, when an operation is off, throws with what was printed.
  const lines = execFileSync(`${NATIVE_BUILD}/isa_digest`, { encoding: "utf8" }).trim().split("\n");
  const digests = new Map<string, Map<string, string>>();
  for (const line of lines) {
    const [isa = "", arithmetic = "", digest = ""] = line.split(/\s+/);
    expect(digest).toMatch(/^[0-9a-f]{16}$/);
    digests.set(arithmetic, (digests.get(arithmetic) ?? new Map()).set(isa, digest));
  }
  for (const [arithmetic, ofIsa] of digests) {
    expect(new Set(ofIsa.values()).size, `${arithmetic}: ${[...ofIsa.keys()]}`).toBe(1);
  }
  if (process.arch === "x64") expect(lines.join()).toContain("baseline");
});
