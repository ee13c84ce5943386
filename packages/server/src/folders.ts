/** Where this platform keeps a user's files. */
import { homedir } from "node:os";
import { join } from "node:path";

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

/** For what can be made again. */
export function cacheFolder(environment: NodeJS.ProcessEnv = process.env): string {
  return folder(CACHE, environment);
}

/** For what must be kept. */
export function dataFolder(environment: NodeJS.ProcessEnv = process.env): string {
  return folder(DATA, environment);
}

function folder(place: Place, environment: NodeJS.ProcessEnv): string {
  const home = environment.HOME || homedir();
  if (process.platform === "win32") {
    const local = environment.LOCALAPPDATA || join(home, "AppData", "Local");
    return join(local, "proofmill", ...place.windows);
  }
  if (process.platform === "darwin") return join(home, ...place.mac, "proofmill");
  const named = environment[place.xdg];
  // A relative path is invalid there, says the XDG specification, and must be ignored.
  return join(named?.startsWith("/") ? named : join(home, ...place.unix), "proofmill");
}
