import { createFakeRunner } from "@proofmill/core/testing";
import { expect, test } from "vitest";
import { warmUp } from "./warm-up.ts";

const info = (arithmetic: string, max_seq_len = 1024) => ({
  arithmetic,
  max_seq_len,
  device: "it",
});

test.each([
  ["cpu-fma-bf16-3", 2],
  ["cuda-sm90-wgmma-nvcc13000-bf16-1", 3],
])("%s: %i times, two nonces of 16 tokens", async (arithmetic, times) => {
  const runner = createFakeRunner({ info: info(arithmetic) });
  expect(await warmUp(runner)).toMatch(/^[\d.]+ and [\d.]+$/);
  expect(runner.jobs.map(({ seq_len, input_seeds }) => [seq_len, input_seeds.length])).toEqual(
    Array(times).fill([16, 2]),
  );
});

test("sequences are no longer than the runner allows", async () => {
  const runner = createFakeRunner({ info: info("cpu-fma-bf16-3", 5) });
  await warmUp(runner);
  expect(runner.jobs[0]?.seq_len).toBe(5);
});

test.each([1, 2])("a device that gives other bits in round %i is refused", async (wrong) => {
  let calls = 0;
  const distance = () => (Math.floor(calls++ / 2) === wrong ? 1.5 : 1.25);
  const runner = createFakeRunner({ info: info("cuda-sm90-1"), distance });
  await expect(warmUp(runner)).rejects.toThrow(
    "it does not compute reliably and is refused: in its warm-up two nonces had the distances " +
      "1.25 and 1.25, and then 1.5 and 1.5",
  );
});

test("results that are not finite are equal to each other", async () => {
  const runner = createFakeRunner({ distance: () => Number.NaN });
  expect(await warmUp(runner)).toBe("NaN and NaN");
});
