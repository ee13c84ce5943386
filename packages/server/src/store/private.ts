/** The data folder is its user's alone: rounds name callbacks, whose addresses may hold tokens. */
import { chmodSync, closeSync, openSync, readdirSync, statSync } from "node:fs";
import { basename, join } from "node:path";
import { makeFolder } from "../platform/folders.ts";

/** What SQLite puts beside a database gets the database's mode; older files are mended. */
const BESIDE = ["-wal", "-shm", "-journal"];

/** Names that a database and what belongs to it have in their folder. */
export const namesOf = (file: string) => [file, ...BESIDE.map((suffix) => file + suffix)];

/** Others may not delete each other's files there, but all may use it, as in /tmp. */
const STICKY = 0o1000;

/**
 * Makes the folder (0700) and an empty database in it (0600), or takes from those that are there
 * what others may do. Whoever does not own them cannot, and may work with them all the same. A
 * folder that holds other things too, as /dev and /tmp do, has other users: it stays as it is, and
 * only the files are closed.
 *
 * @returns whether nobody else can read the database now
 * @throws Error of the file system, for a folder that cannot be made or looked into; or when
 *   something else than a file has a file's name
 */
export function makePrivate(folder: string, file: string): boolean {
  makeFolder(folder, 0o700);
  const names = readdirSync(folder);
  const ours = namesOf(file);
  const present = ours.filter((name) => names.includes(name)).map((name) => join(folder, name));
  for (const path of present) {
    if (!statSync(path).isFile()) throw new Error(`${basename(path)} is not a file`);
  }
  // Versions that left their database open to others had their folder for themselves.
  const isFromBefore = present.some((path) => (statSync(path).mode & 0o077) !== 0);
  const isShared = (statSync(folder).mode & STICKY) !== 0;
  const isOurs = !isShared && (isFromBefore || names.every((name) => ours.includes(name)));
  const isFolderClosed = isOurs && closeToOthers(folder);
  try {
    // Not opened where it exists: closing it again would end SQLite's locks on it.
    closeSync(openSync(join(folder, file), "ax", 0o600));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
  }
  const areClosed = present.map(closeToOthers);
  return isFolderClosed || areClosed.every(Boolean);
}

function closeToOthers(path: string): boolean {
  const { mode } = statSync(path);
  if ((mode & 0o077) === 0 || process.platform === "win32") return true;
  try {
    chmodSync(path, mode & 0o700);
  } catch {
    return false;
  }
  return (statSync(path).mode & 0o077) === 0; // some file systems only say yes
}
