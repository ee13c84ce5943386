import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, truncateSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { notLinux, skipped } from "@proofmill/core/testing";
import { beforeEach, describe, expect, onTestFinished, test } from "vitest";
import { openFile, readBounded, readJsonFile } from "./json-file.ts";

let path: string;
beforeEach(() => {
  const directory = mkdtempSync(join(tmpdir(), "proofmill-"));
  onTestFinished(() => rmSync(directory, { recursive: true }));
  path = join(directory, "file.json");
});

const read = () => readJsonFile(path, 1000);

async function refusal(): Promise<string> {
  const opening = openFile(path).then(
    ({ handle }) => handle.close().then(() => "opened"),
    (error) => error.message,
  );
  expect(read).toThrow(await opening);
  return opening;
}

describe("what is no file is refused by its kind, and never waited for", () => {
  test("a pipe that nobody writes to", async () => {
    execFileSync("mkfifo", [path]);
    expect(await refusal()).toBe(`${path}: is a pipe, expected a regular file`);
  });

  test("a device without an end", async () => {
    symlinkSync("/dev/zero", path);
    expect(await refusal()).toBe(`${path}: is a device, expected a regular file`);
  });

  test("a socket", async () => {
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(path, resolve));
    onTestFinished(() => void server.close());
    expect(await refusal()).toBe(`${path}: is a socket, expected a regular file`);
  });

  test("a directory", async () => {
    mkdirSync(path);
    expect(await refusal()).toBe(`${path}: is a directory, expected a regular file`);
  });

  test("nothing, a link to nothing, a link to itself", async () => {
    expect(await refusal()).toBe(`${path}: is not there`);
    symlinkSync("../blobs/gone", path);
    expect(await refusal()).toBe(`${path}: is a link to ../blobs/gone, which is not there`);
    rmSync(path);
    symlinkSync("file.json", path);
    expect(await refusal()).toBe(`${path}: cannot be read: ELOOP`);
  });
});

test("the file system's code is passed on", () => {
  expect(read).toThrow(expect.objectContaining({ code: "ENOENT" }));
});

test("a file that is too large is not read", () => {
  writeFileSync(path, "{}");
  truncateSync(path, 2 ** 40); // a hole
  expect(read).toThrow(`${path}: has ${2 ** 40} bytes, expected at most 1000`);
});

test.skipIf(skipped(notLinux))("a pseudo file of no size is read as empty", () => {
  // The kernel says 0 for every size there, and some of these files never end.
  expect(readBounded("/proc/version", 1000)).toHaveLength(0);
});

describe("JSON", () => {
  test.each([
    ["behind a byte-order mark", `\ufeff{"a": 1}`, { a: 1 }],
    ["with brackets in strings", `{"a": "${"[".repeat(100)}\\"${"{".repeat(100)}"}`, undefined],
    ["of 32 levels", `${"[".repeat(32)}${"]".repeat(32)}`, undefined],
  ])("%s", (_, text, value) => {
    writeFileSync(path, text);
    expect(read()).toEqual(value ?? JSON.parse(text));
  });

  test.each([
    ["that is empty", "", "is not JSON in UTF-8"],
    ["in UTF-16", Buffer.from("\ufeff{}", "utf16le"), "is not JSON in UTF-8"],
    ["that is broken", "{", "is not JSON in UTF-8"],
    ["that is Python's", '{\n  "a": 1,\n  "b": NaN,\n  "c": 2\n}', "is not JSON in UTF-8"],
    ["of 33 levels", `${"[".repeat(33)}${"]".repeat(33)}`, "nests deeper than 32 levels"],
    [
      "of a git-lfs pointer",
      "version https://git-lfs.github.com/spec/v1\n",
      "is a git-lfs pointer",
    ],
    [
      "of one behind a byte-order mark",
      "\ufeffversion https://git-lfs.github.com/spec/v1\r\n",
      "is a git-lfs pointer",
    ],
  ])("%s is refused", (_, content, message) => {
    writeFileSync(path, content);
    expect(read).toThrow(`${path}: ${message}`);
    expect(read).toThrow(/^[^\n]*$/);
  });
});
