/** The data folder is its user's alone: rounds name callbacks, whose addresses may hold tokens. */
import { chmodSync, closeSync, openSync, readdirSync, statSync } from "node:fs";
import { join } from "node:path";
import { makeFolder } from "../folders.ts";

/** What SQLite puts beside a database gets the database's mode; older files are mended. */
const BESIDE = ["-wal", "-shm", "-journal"];

/**
 * Makes the folder (0700) and an empty database in it (0600), or takes from those that are there
 * what others may do. Whoever does not own them cannot, and may work with them all the same.
 *
 * @returns whether nobody else can read the database now
 * @throws Error of the file system, for a folder that cannot be made or looked into
 */
export function makePrivate(folder: string, file: string): boolean {
  makeFolder(folder, 0o700);
  const isFolderClosed = closeToOthers(folder);
  try {
    // Not opened where it exists: closing it again would end SQLite's locks on it.
    closeSync(openSync(join(folder, file), "ax", 0o600));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
  }
  const ours = [file, ...BESIDE.map((suffix) => file + suffix)];
  const areClosed = readdirSync(folder)
    .filter((name) => ours.includes(name))
    .map((name) => closeToOthers(join(folder, name)));
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
