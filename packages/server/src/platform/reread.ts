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

/** What tells a file from what it was before, by its name. */
export type FileVersions = ReadonlyMap<string, string>;

/** To be asked for before the files are read first: what changes from then on is seen. */
export function versionsOf(files: readonly string[]): FileVersions {
  return new Map(files.map((file) => [file, versionOf(file)]));
}

/**
 * Reads each again when one of its files has changed, once they have been the same for a second:
 * what is being written is not read by halves. It looks by name, so that a file that is replaced,
 * or lies behind a link that is, is seen too.
 *
 * What cannot be read is logged as an error, what was read before stays, and it is tried again at
 * every look: there may have been no descriptor left, or the file was not there for a moment.
 *
 * @param versions of all files, as they were before they were read first
 * @returns `again` reads all at once, `close` ends it
 */
export function keepReading(
  all: readonly Reread[],
  { versions, log }: { versions: FileVersions; log: Logger },
): { again(): void; close(): void } {
  const kept = all.map((each) => new KeptRead(each, { versions, log }));
  const timer = setInterval(() => {
    for (const each of kept) each.look();
  }, LOOK_MS).unref();
  return {
    again: () => {
      for (const each of kept) each.again();
    },
    close: () => clearInterval(timer),
  };
}

class KeptRead {
  readonly #reread: Reread;
  readonly #log: Logger;
  /** What was read last. */
  #known: string;
  /** At the last look. */
  #seen: string;
  /** Why the last try failed; null: it did not. */
  #fault: string | null = null;

  constructor(reread: Reread, { versions, log }: { versions: FileVersions; log: Logger }) {
    this.#reread = reread;
    this.#log = log;
    this.#known = reread.files.map((file) => versions.get(file)).join();
    this.#seen = this.#known;
  }

  look(): void {
    const now = this.#version();
    const isSettled = now === this.#seen;
    this.#seen = now;
    if (isSettled && (now !== this.#known || this.#fault !== null)) this.#read(now);
  }

  /** Whoever asks for it is told in any case. */
  again(): void {
    this.#fault = null;
    this.#read(this.#version());
  }

  /** @param version of the files before they are read: what changes meanwhile is seen later */
  #read(version: string): void {
    const { what, read } = this.#reread;
    try {
      read();
      this.#known = version;
      this.#fault = null;
      this.#log.info({}, `${what} read again`);
    } catch (error) {
      const { message } = error as Error;
      if (message === this.#fault) return; // it is said once
      this.#fault = message;
      this.#log.error({ reason: message }, `${what} cannot be read again: the old ones stay`);
    }
  }

  #version(): string {
    return this.#reread.files.map(versionOf).join();
  }
}

function versionOf(file: string): string {
  try {
    const { ino, size, mtimeMs, ctimeMs } = statSync(file);
    return `${ino}:${size}:${mtimeMs}:${ctimeMs}`;
  } catch (error) {
    return `${(error as NodeJS.ErrnoException).code}`;
  }
}
