/** What docs/mlnode.md prints to be tried is answered as it prints. */

import { execFile } from "node:child_process";
import { readFileSync } from "node:fs";
import { promisify } from "node:util";
import { lacking, skipped } from "@proofmill/core/testing";
import { expect, test } from "vitest";
import { startServer } from "../helpers.ts";

const PAGE = readFileSync(new URL("../../docs/mlnode.md", import.meta.url), "utf8");

test.skipIf(skipped(lacking("curl")))("the page's curl lines", async () => {
  const [, trying = ""] = PAGE.split("## Trying it\n");
  const [, printed = ""] = /```sh\n(.*?)```/s.exec(trying) ?? [];
  const node = await startServer({ args: ["--enable-poc"] });
  const { port } = new URL(node.url);
  const script = printed.replace("127.0.0.1:8000", `127.0.0.1:${port}`);
  const lines = script.replaceAll(/^curl (.*)$/gm, "curl -sS $1; echo"); // an answer a line
  const { stdout } = await promisify(execFile)("sh", ["-ec", lines]);
  // Up to where something is left out.
  const expected = [...printed.matchAll(/^# (.*?)(…|$)/gm)].map(([, answer = ""]) =>
    answer.replace('"port":8000', `"port":${port}`),
  );
  expect(expected).toHaveLength(7);
  const answers = stdout.trim().split("\n");
  expect(answers.map((answer, i) => answer.slice(0, expected[i]?.length))).toEqual(expected);
  expect(await node.stop()).toBe(0);
});
