import { mkdtempSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { silentLog } from "@proofmill/core";
import { expect, onTestFinished, test, vi } from "vitest";
import { keepReading, versionsOf } from "./reread.ts";
import { readSmallFile } from "./small-file.ts";

/** A file that holds `before`, what of it has been taken over, and what the log says. */
function kept() {
  vi.useFakeTimers({ toFake: ["setInterval", "clearInterval"] });
  const folder = mkdtempSync(join(tmpdir(), "proofmill-"));
  onTestFinished(() => {
    vi.useRealTimers();
    rmSync(folder, { recursive: true, force: true });
  });
  const file = join(folder, "keys");
  writeFileSync(file, "before");
  const said: string[] = [];
  const taken: string[] = [];
  /** What the next tries fail with. */
  const faults: string[] = [];
  const log = {
    ...silentLog,
    info: (_: object, message: string) => void said.push(message),
    error: ({ reason }: { reason?: string }) => void said.push(String(reason)),
  };
  const read = () => {
    const fault = faults.shift();
    if (fault !== undefined) throw new Error(fault);
    taken.push(String(readSmallFile(file)));
  };
  const begin = (versions = versionsOf([file])) => {
    const files = keepReading([{ what: "keys", files: [file], read }], { versions, log });
    onTestFinished(files.close);
    return files;
  };
  const put = (text: string) => {
    writeFileSync(`${file}.new`, text);
    renameSync(`${file}.new`, file);
  };
  const look = (times: number) => vi.advanceTimersByTime(1000 * times);
  return { file, folder, said, taken, faults, begin, put, look };
}

test("a file is read when it has changed and stands still, and no other time", () => {
  const { taken, begin, put, look } = kept();
  begin();
  look(5);
  expect(taken).toEqual([]);
  put("half");
  look(1);
  put("whole");
  look(1);
  expect(taken).toEqual([]);
  look(5);
  expect(taken).toEqual(["whole"]);
});

test("what changes between the first reading and the first look is seen", () => {
  const { file, taken, begin, put, look } = kept();
  const versions = versionsOf([file]);
  put("while it starts");
  begin(versions);
  look(3);
  expect(taken).toEqual(["while it starts"]);
});

test("what fails for a while is said once, and tried until it does not", () => {
  const { file, said, taken, faults, begin, put, look } = kept();
  begin();
  put("after");
  faults.push("no descriptor", "no descriptor", "no memory");
  look(10);
  expect(said).toEqual(["no descriptor", "no memory", "keys read again"]);
  expect(taken).toEqual(["after"]);
  rmSync(file);
  look(10);
  writeFileSync(file, "there again");
  look(3);
  expect(said.slice(3)).toEqual([`${file}: there is no such file`, "keys read again"]);
  expect(taken).toEqual(["after", "there again"]);
});

test("whoever asks is answered each time, and a failure is tried again", () => {
  const { said, taken, faults, begin, look } = kept();
  const files = begin();
  faults.push("no descriptor", "no descriptor", "no descriptor");
  files.again();
  files.again();
  expect(said).toEqual(["no descriptor", "no descriptor"]);
  look(5);
  expect(said.slice(2)).toEqual(["keys read again"]);
  expect(taken).toEqual(["before"]);
});
