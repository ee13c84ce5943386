/** Reads files that an operator writes: keys, certificates. */
import { closeSync, constants, fstatSync, openSync, readFileSync } from "node:fs";

const MAX_BYTES = 1024 * 1024;

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
    throw new Error(`${file}: ${code === undefined ? message : `cannot be read (${code})`}`);
  } finally {
    if (fd !== null) closeSync(fd);
  }
}
