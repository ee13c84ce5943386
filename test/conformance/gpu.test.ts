/** This machine's own GPU, where it has one. */
import { skipped } from "@proofmill/core/testing";
import { resolveDevice, selftest } from "@proofmill/native/selftest";
import { expect, test } from "vitest";

const { cuda, notice } = resolveDevice({ device: "auto" });

test.skipIf(skipped(cuda ? null : (notice ?? "there is no GPU")))(
  "the GPU passes the self-test",
  { timeout: 600_000 },
  async () => {
    const { device, checks } = await selftest({ device: "cuda", seconds: 10 });
    expect(device).toBe("cuda:0");
    expect(checks.filter(({ ok }) => !ok)).toEqual([]);
  },
);
