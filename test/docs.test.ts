/** docs/protocol.md and the code say the same of refusals. */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { POC_ERRORS } from "@proofmill/core";
import { expect, test } from "vitest";

const ROOT = fileURLToPath(new URL("..", import.meta.url));
const page = readFileSync(join(ROOT, "docs", "protocol.md"), "utf8");

/** The cells of the rows below this head of a table. */
function rows(head: string): string[][] {
  const [, rest] = page.split(`${head}\n`);
  const lines = (rest ?? "").split("\n");
  const table = lines.slice(1, lines.indexOf(""));
  return table.map((line) =>
    line
      .split("|")
      .map((cell) => cell.trim())
      .slice(1, -1),
  );
}

/** What stands between a cell's first two backticks; null without them. */
const code = (cell = ""): string | null => /`([^`]+)`/.exec(cell)?.[1] ?? null;

test("the table of refusals is that of core", () => {
  const documented = rows("| code | status | `detail` | seconds | when |").map(
    ([name, status, detail, seconds]) => [
      code(name),
      { status: Number(status), text: code(detail), retryAfter: Number(seconds) },
    ],
  );
  const known = Object.entries(POC_ERRORS).map(([name, { status, text, retryAfter = 0 }]) => [
    name,
    // Its `detail` is the list of faults, never the text.
    { status, text: name === "INVALID_BODY" ? null : text, retryAfter },
  ]);
  expect(Object.fromEntries(documented)).toEqual(Object.fromEntries(known));
});

test("what else is refused is in the server's code", () => {
  const source = join(ROOT, "packages", "server", "src");
  const files = (readdirSync(source, { recursive: true }) as string[]).filter((file) =>
    /(?<!\.test)\.ts$/.test(file),
  );
  const text = files.map((file) => readFileSync(join(source, file), "utf8")).join();
  const details = rows("| status | `detail` | when |").map(([, detail]) => code(detail) as string);
  expect(details.length).toBeGreaterThan(10);
  expect(details.filter((detail) => !text.includes(`"${detail}"`))).toEqual([]);
});
