/** Where this platform keeps a user's files. */
import { closeSync, fsyncSync, mkdirSync, openSync, statSync } from "node:fs";
import { homedir } from "node:os";
import { dirname, isAbsolute, join } from "node:path";

interface Place {
  /** The variable that names it on Linux and the like, and its place where that is unset. */
  readonly xdg: string;
  readonly unix: string[];
  readonly mac: string[];
  readonly windows: string[];
}

const CACHE: Place = {
  xdg: "XDG_CACHE_HOME",
  unix: [".cache"],
  mac: ["Library", "Caches"],
  windows: ["Cache"],
};
const DATA: Place = {
  xdg: "XDG_DATA_HOME",
  unix: [".local", "share"],
  mac: ["Library", "Application Support"],
  windows: ["Data"],
};

/** For what can be made again; null where the user has no home. */
export function cacheFolder(environment: NodeJS.ProcessEnv = process.env): string | null {
  return folder(CACHE, environment);
}

/** For what must be kept; null where the user has no home. */
export function dataFolder(environment: NodeJS.ProcessEnv = process.env): string | null {
  return folder(DATA, environment);
}

/** The user's home; null where the environment names none and the system does not know the user. */
export function homeFolder(environment: NodeJS.ProcessEnv): string | null {
  try {
    const home = environment.HOME || homedir();
    return isAbsolute(home) ? home : null;
  } catch {
    return null;
  }
}

/**
 * Makes a folder and those above it, where they are missing.
 *
 * Node's own recursive `mkdir` never ends where the file system answers "no such file" for a folder
 * whose parent is there, as /proc does.
 *
 * @param mode of every folder that is made
 * @throws Error of the file system
 */
export function makeFolder(path: string, mode = 0o777): void {
  try {
    mkdirSync(path, mode);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === "ENOENT" && dirname(path) !== path) {
      makeFolder(dirname(path), mode);
      mkdirOrKeep(path, mode);
    } else if (!isFolder(path)) throw noFolder(path, error);
  }
}

function mkdirOrKeep(path: string, mode: number): void {
  try {
    mkdirSync(path, mode);
  } catch (error) {
    if (!isFolder(path)) throw noFolder(path, error); // else another process was faster
  }
}

function isFolder(path: string): boolean {
  try {
    return statSync(path).isDirectory();
  } catch {
    return false;
  }
}

/** "file already exists" says nothing to whoever named a file where a folder belongs. */
function noFolder(path: string, error: unknown): unknown {
  const { code } = error as NodeJS.ErrnoException;
  const reason = code === "EEXIST" ? path : code === "ENOTDIR" ? dirname(path) : null;
  if (reason === null) return error;
  return Object.assign(new Error(`${code}: ${reason} is not a folder`, { cause: error }), { code });
}

function folder(place: Place, environment: NodeJS.ProcessEnv): string | null {
  const home = homeFolder(environment);
  const below = (...parts: string[]) => home && join(home, ...parts);
  if (process.platform === "win32") {
    const local = environment.LOCALAPPDATA || below("AppData", "Local");
    return local && join(local, "proofmill", ...place.windows);
  }
  if (process.platform === "darwin") return below(...place.mac, "proofmill");
  const named = environment[place.xdg];
  // A relative path is invalid there, says the XDG specification, and must be ignored.
  return named?.startsWith("/") ? join(named, "proofmill") : below(...place.unix, "proofmill");
}

/** Waits until what was written to a file, or into a folder, is on the disk. */
export function toDisk(path: string): void {
  const file = openSync(path, "r");
  try {
    fsyncSync(file);
  } finally {
    closeSync(file);
  }
}
