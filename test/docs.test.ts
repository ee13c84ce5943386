/** What documents say of the code is so. */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import {
  ArtifactJobs,
  ArtifactStatus,
  BROKER_OPERATIONS,
  OPERATIONS,
  type OperationTable,
  POC_ERRORS,
} from "@proofmill/core";
import { expect, test } from "vitest";

const ROOT = fileURLToPath(new URL("..", import.meta.url));
const PROTOCOL = "docs/protocol.md";
const PROTOCOL_V2 = "docs/protocol-v2.md";
const GLOSSARY = "docs/glossary.md";

/** The cells of the rows below this head of a document's table. */
function rows(document: string, head: string): string[][] {
  const [, rest] = readFileSync(join(ROOT, document), "utf8").split(`${head}\n`);
  const lines = (rest ?? "").split("\n");
  const table = lines.slice(1, lines.indexOf(""));
  return table.map((line) =>
    line
      .split("|")
      .map((cell) => cell.trim())
      .slice(1, -1),
  );
}

/** The texts of the files below a folder whose names match. */
function texts(folder: string, name: RegExp): string[] {
  const files = readdirSync(join(ROOT, folder), { recursive: true }) as string[];
  return files
    .filter((file) => name.test(file))
    .map((file) => readFileSync(join(ROOT, folder, file), "utf8"));
}

/** What stands between a cell's first two backticks; null without them. */
const quoted = (cell = ""): string | null => /`([^`]+)`/.exec(cell)?.[1] ?? null;

test("the table of operations is that of core", () => {
  const documented = rows(PROTOCOL, "| operation | REST | procedure (§5) | sent | answered |");
  const table: OperationTable = OPERATIONS;
  const known = Object.entries(table).map(([name, operation]) => {
    const { rest, procedure, body, query, output } = operation;
    return [
      `\`${name}\``,
      rest?.replace(/\/.*/, (path) => `\`${path}\``) ?? "–",
      procedure ? `\`${procedure}\`` : "–",
      body ?? query ?? "–",
      output,
    ];
  });
  expect(documented).toEqual(known);
});

test("the README names every path, the SDK's every method", () => {
  const table: OperationTable = OPERATIONS;
  const [readme, sdk] = ["README.md", "packages/client/README.md"].map((document) =>
    readFileSync(join(ROOT, document), "utf8"),
  );
  const missing = Object.entries(table).flatMap(([name, { rest, procedure }]) => [
    ...(!rest || readme?.includes(`| ${rest.replace(" ", " `")}\` |`) ? [] : [`README: ${rest}`]),
    ...(!procedure || new RegExp(`\`${name}[\`(]`).test(sdk ?? "") ? [] : [`SDK: ${name}`]),
  ]);
  expect(missing).toEqual([]);
});

test("version 2's page names its operations as core's table does, and every state of a job", () => {
  const documented = rows(PROTOCOL_V2, "| here | REST | the SDK | procedure |");
  const table: OperationTable = OPERATIONS;
  const known = Object.entries(table)
    .filter(([, { procedure }]) => procedure?.startsWith("artifacts."))
    .map(([name, { procedure }]) => [name, procedure]);
  const methods = documented.map(([, , method, procedure]) => [quoted(method), quoted(procedure)]);
  expect(methods.filter(([, procedure]) => procedure !== "pow.stop").sort()).toEqual(known.sort());
  const paths = Object.values(table).map(({ rest }) => String(rest));
  const named = documented.map(([, path = ""]) => path.replaceAll("`", ""));
  expect(named.filter((path) => path !== "–" && !paths.includes(path))).toEqual([]);
  const page = readFileSync(join(ROOT, PROTOCOL_V2), "utf8");
  const [, ofJobs = ""] = /^### 3\.4 `job`\n(.*)$/m.exec(page) ?? [];
  const states = ArtifactJobs.shape.jobs.element.shape.status.options;
  expect(states.filter((state) => !ofJobs.includes(`\`${state}\``))).toEqual([]);
  const fields = [ArtifactStatus.shape.config, ArtifactStatus.shape.stats].flatMap((each) =>
    Object.keys(each.unwrap().shape),
  );
  const [, ofStatus = ""] = /^### 3\.5 `status`\n(.*)$/m.exec(page) ?? [];
  expect(fields.filter((field) => !ofStatus.includes(`\`${field}\``))).toEqual([]);
});

test("the table of refusals is that of core", () => {
  const documented = [PROTOCOL, PROTOCOL_V2]
    .flatMap((page) => rows(page, "| code | status | `detail` | seconds | when |"))
    .map(([name, status, detail, seconds]) => [
      quoted(name),
      { status: Number(status), text: quoted(detail), retryAfter: Number(seconds) },
    ]);
  const known = Object.entries(POC_ERRORS).map(([name, { status, text, retryAfter = 0 }]) => [
    name,
    // Its `detail` is the list of faults, never the text.
    { status, text: name === "INVALID_BODY" ? null : text, retryAfter },
  ]);
  expect(Object.fromEntries(documented)).toEqual(Object.fromEntries(known));
});

test("the broker's paths and their scopes are those of core", () => {
  const documented = rows("docs/mlnode.md", "| scope | paths below `/api/v1` |").flatMap(
    ([scope, paths = ""]) =>
      paths
        .split(", ")
        .map((path) => [path.replace("DELETE ", "DELETE").replaceAll("`", ""), scope]),
  );
  const known = Object.values(BROKER_OPERATIONS).map(({ rest, scope }) => {
    const path = rest.replace(/^\w+ \/api\/v1\//, "").replace("request_id", "id");
    return [`${rest.startsWith("DELETE") ? "DELETE" : ""}${path}`, `\`${scope}\``];
  });
  expect(documented.sort()).toEqual(known.sort());
});

test("what else is refused is in the server's code", () => {
  const code = texts("packages/server/src", /(?<!\.test)\.ts$/).join();
  const details = rows(PROTOCOL, "| status | `detail` | when |").map(([, cell]) => quoted(cell));
  expect(details.length).toBeGreaterThan(10);
  expect(details.filter((detail) => !code.includes(`"${detail}"`))).toEqual([]);
});

test("words that gave way are gone", () => {
  const words = rows(GLOSSARY, "| not | but | why |").map(([word = ""]) => word);
  const code = /\.(ts|mjs|cc|h|cuh?)$/;
  const searched = [
    ...["core/src", "native/lib", "native/src", "server/src", "client/src"].flatMap((folder) =>
      texts(`packages/${folder}`, code),
    ),
    ...texts("docs", /(?<!glossary)\.md$/),
  ].join("\n");
  expect(words.length).toBeGreaterThan(0);
  expect(words.filter((word) => searched.toLowerCase().includes(word.toLowerCase()))).toEqual([]);
});
