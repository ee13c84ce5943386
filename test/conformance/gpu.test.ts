/** This machine's own GPU, where it has one. */
import { skipped } from "@proofmill/core/testing";
import { countGpus } from "@proofmill/native/devices";
import { selftest } from "@proofmill/native/selftest";
import { expect, test } from "vitest";

function whyNone(): string | null {
  try {
    countGpus();
    return null;
  } catch (error) {
    return (error as Error).message;
  }
}

test.skipIf(skipped(whyNone()))("the GPU passes the self-test", { timeout: 600_000 }, async () => {
  const { device, checks } = await selftest({ device: "cuda", seconds: 10 });
  expect(device).toBe("cuda:0");
  expect(checks.filter(({ ok }) => !ok)).toEqual([]);
});
