/** Reads files that an operator writes: keys, certificates. */
import { closeSync, constants, fstatSync, openSync, readFileSync } from "node:fs";

const MAX_BYTES = 1024 * 1024;

/** What the system says most often, for people. */
const WORDS: Readonly<Record<string, string>> = {
  ENOENT: "there is no such file",
  ENOTDIR: "there is no such file",
  EACCES: "the node's user may not read it",
  EPERM: "the node's user may not read it",
};

/** @throws Error with the file's name where it cannot be read, is no file, or is large */
export function readSmallFile(file: string): Buffer {
  let fd: number | null = null;
  try {
    fd = openSync(file, constants.O_RDONLY | constants.O_NONBLOCK); // a pipe is not waited for
    const stat = fstatSync(fd);
    if (!stat.isFile()) throw new Error("is not a regular file");
    if (stat.size > MAX_BYTES) throw new Error(`is larger than ${MAX_BYTES} bytes`);
    return readFileSync(fd);
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    const fault = code === undefined ? message : (WORDS[code] ?? `cannot be read (${code})`);
    throw new Error(`${file}: ${fault}`);
  } finally {
    if (fd !== null) closeSync(fd);
  }
}
