/** A job that finds no memory says so, and leaves the runner as it was. */

import { execFileSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { notLinux, skipped } from "@proofmill/core/testing";
import { expect, test } from "vitest";
import { goldenModel } from "./golden.ts";

const CHILD = fileURLToPath(new URL("out-of-memory-child.mjs", import.meta.url));

test.skipIf(skipped(notLinux))("a job that does not fit into memory", () => {
  const printed = execFileSync(process.execPath, [CHILD, goldenModel("qwen3-tiny")]);
  expect(JSON.parse(printed.toString())).toEqual([
    "3",
    "out of memory: the results of this job could not be held",
    "3",
  ]);
});
