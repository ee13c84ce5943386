/** Files that are read again when they change, or when a signal asks for it. */
import { statSync } from "node:fs";
import type { Logger } from "@proofmill/core";

/** Between two looks at whether a file has changed, milliseconds. */
const LOOK_MS = 1000;

/** What stands in some files. */
export interface Reread {
  /** What it is called in the log, e.g. `keys`. */
  readonly what: string;
  readonly files: readonly string[];
  /** Reads it again and takes it over. @throws Error, and then nothing has changed */
  read(): void;
}

/**
 * Reads each again when one of its files has changed. What cannot be read is logged as an error, and
 * what was read before stays.
 *
 * @returns `again` reads all at once, `close` ends it
 */
export function keepReading(all: readonly Reread[], log: Logger): { again(): void; close(): void } {
  const read = (each: Reread) => {
    try {
      each.read();
      log.info({}, `${each.what} read again`);
    } catch (error) {
      const { message } = error as Error;
      log.error({ reason: message }, `${each.what} cannot be read again: the old ones stay`);
    }
  };
  const closers = all.map((each) => watchFiles(each.files, () => read(each)));
  return {
    again: () => all.forEach(read),
    close: () => {
      for (const close of closers) close();
    },
  };
}

/**
 * Calls `changed` after any of the files has changed, once they have been the same for a second:
 * what is being written is not read by halves. It looks by name, so that a file that is replaced,
 * or lies behind a link that is, is seen too.
 *
 * @returns what ends it
 */
function watchFiles(files: readonly string[], changed: () => void): () => void {
  let known = files.map(versionOf).join();
  let seen = known;
  const timer = setInterval(() => {
    const now = files.map(versionOf).join();
    const isSettled = now === seen;
    seen = now;
    if (!isSettled || now === known) return;
    known = now;
    changed();
  }, LOOK_MS).unref();
  return () => clearInterval(timer);
}

function versionOf(file: string): string {
  try {
    const { ino, size, mtimeMs, ctimeMs } = statSync(file);
    return `${ino}:${size}:${mtimeMs}:${ctimeMs}`;
  } catch (error) {
    return `${(error as NodeJS.ErrnoException).code}`;
  }
}
