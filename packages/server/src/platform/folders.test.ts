import { chmodSync, mkdtempSync, rmSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { notLinux, skipped } from "@proofmill/core/testing";
import { expect, onTestFinished, test } from "vitest";
import { dataFolder, makeFolder } from "./folders.ts";

function temporaryFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), "proofmill-"));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  return folder;
}

test("folders are made, with those above them, and kept where they are there", () => {
  const folder = join(temporaryFolder(), "a", "b", "c");
  makeFolder(folder, 0o700);
  expect(statSync(folder).mode & 0o777).toBe(0o700);
  expect(statSync(join(folder, "..", "..")).mode & 0o777).toBe(0o700);
  chmodSync(folder, 0o750);
  makeFolder(folder, 0o700);
  expect(statSync(folder).mode & 0o777).toBe(0o750);
});

test("what cannot be made is an error, at once", () => {
  const folder = temporaryFolder();
  writeFileSync(join(folder, "file"), "");
  symlinkSync(join(folder, "nowhere"), join(folder, "dangling"));
  expect(() => makeFolder(join(folder, "file"))).toThrow(
    `EEXIST: ${join(folder, "file")} is not a folder`,
  );
  expect(() => makeFolder(join(folder, "file", "x"))).toThrow(
    `ENOTDIR: ${join(folder, "file")} is not a folder`,
  );
  expect(() => makeFolder(join(folder, "dangling"))).toThrow("EEXIST");
  expect(() => makeFolder(join(folder, "dangling", "x"))).toThrow(/EEXIST|ENOENT/);
});

test.skipIf(skipped(notLinux))("nor is it waited for in a pseudo file system", () => {
  for (const folder of ["/proc/x", "/proc/x/y/z", "/proc/self/x/y", "/sys/x/y", "/dev/null/x"]) {
    expect(() => makeFolder(folder)).toThrow(/E[A-Z]+: /);
  }
});

test("without a home there is no folder of one's own, but the one that is named", () => {
  if (process.platform === "linux") {
    expect(dataFolder({ XDG_DATA_HOME: "/data" })).toBe("/data/proofmill");
    expect(dataFolder({ HOME: "/home/me" })).toBe("/home/me/.local/share/proofmill");
    expect(dataFolder({ HOME: "relative" })).toBe(null);
  }
});
