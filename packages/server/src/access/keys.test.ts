import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { lineOf, readKeyFile } from "./key-file.ts";
import { allows, digestOf, isToken, Keyring, newKey } from "./keys.ts";
import { Rates } from "./rates.ts";

function fileWith(text: string): string {
  const folder = mkdtempSync(join(tmpdir(), "proofmill-keys-"));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  const file = join(folder, "keys");
  writeFileSync(file, text);
  return file;
}

test("a key that is made is found by its line", () => {
  const key = newKey();
  expect(isToken(key)).toBe(true);
  const line = lineOf({ label: "ops", scopes: ["read", "inference"], digest: digestOf(key) });
  expect(line).not.toContain(key);
  const ring = new Keyring(readKeyFile(fileWith(`# label scopes key\n\n  ${line}\r\n`)));
  const found = ring.find(`Bearer ${key}`);
  expect(found).toMatchObject({ label: "ops", scopes: ["read", "inference"] });
  expect(
    found && (["read", "inference", "validate", "admin"] as const).map((s) => allows(found, s)),
  ).toEqual([true, true, false, false]);
  for (const other of [
    undefined,
    "",
    "Bearer",
    `Basic ${key}`,
    key,
    `Bearer ${key}x`,
    `Bearer ${key},`,
  ]) {
    expect(ring.find(other)).toBe(null);
  }
  expect(ring.find(`bearer  ${key} `)).toBe(found);
});

test.each([
  ["", "holds no key"],
  ["# none\n", "holds no key"],
  ["ops admin", "line 1: expected a label, scopes and sha256:…"],
  ["key   proofmill_0123456789abcdef", "line 1: expected a label, scopes and sha256:…"],
  ["ops admin a-key-as-it-is-sent", "line 1: expected sha256:"],
  [`\nops admin sha256:${"0".repeat(63)}`, "line 2: expected sha256:"],
  [`ops admin sha256:${"0".repeat(64)} more`, "line 1: expected a label, scopes and sha256:…"],
  [`ops root sha256:${"0".repeat(64)}`, "line 1: expected scopes from admin, validate, read, inf"],
  [`o/ps admin sha256:${"0".repeat(64)}`, "line 1: expected a label"],
  [
    `a admin sha256:${"0".repeat(64)}\nb read sha256:${"0".repeat(64)}`,
    "line 2: the key is there twice",
  ],
  [`a admin sha256:${"0".repeat(64)}\na read sha256:${"1".repeat(64)}`, "line 2: the label a is"],
  [
    Array.from(
      { length: 257 },
      (_, i) => `k${i} read sha256:${i.toString(16).padStart(64, "0")}`,
    ).join("\n"),
    "more than 256",
  ],
])("a file with %j is refused", (text, message) => {
  let said = "";
  try {
    readKeyFile(fileWith(text));
  } catch (error) {
    said = (error as Error).message;
  }
  expect(said).toContain(message);
  expect(said).not.toContain("a-key-as-it-is-sent");
});

test("a file that is none is refused", () => {
  expect(() => readKeyFile("/no/such/file")).toThrow("/no/such/file: there is no such file");
  expect(() => readKeyFile(tmpdir())).toThrow("is not a regular file");
});

test("keys that stay are the same objects, those that change are revoked", () => {
  const entry = (label: string, key: string) => ({
    label,
    scopes: ["read" as const],
    digest: digestOf(key),
  });
  const ring = new Keyring([entry("a", "key-a"), entry("b", "key-b"), entry("c", "key-c")]);
  const [a, b, c] = ["a", "b", "c"].map((name) => ring.find(`Bearer key-${name}`));
  ring.replace([entry("a", "key-a"), { ...entry("b", "key-b"), scopes: ["admin"] }]);
  expect(ring.find("Bearer key-a")).toBe(a);
  expect([a, b, c].map((key) => key?.revoked.aborted)).toEqual([false, true, true]);
  expect(ring.find("Bearer key-b")?.scopes).toEqual(["admin"]);
  expect(ring.find("Bearer key-c")).toBe(null);
});

test("so many requests may come at once, and then so many a second", () => {
  let now = 0;
  const rates = new Rates(10, () => now);
  for (let i = 0; i < 10; i++) expect(rates.take("a", 1)).toBe(0);
  expect(rates.take("a", 1)).toBe(100);
  expect(rates.take("b", 1)).toBe(0);
  now += 99;
  expect(rates.take("a", 1)).toBeCloseTo(1);
  now += 1;
  expect(rates.take("a", 32)).toBe(0); // a batch is taken whole, and owed
  expect(rates.take("a", 1)).toBeCloseTo(3200);
  expect(rates.reserve("a", 10)).toBeCloseTo(3200);
  expect(rates.take("a", 1)).toBeCloseTo(4200);
  now += 1_000_000;
  for (let i = 0; i < 10; i++) expect(rates.take("a", 1)).toBe(0);
  expect(rates.take("a", 1)).toBeGreaterThan(0);
});
