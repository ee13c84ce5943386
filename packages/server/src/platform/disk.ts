/** How much a folder takes, and how much its disk has left. */
import { readdir, stat, statfs } from "node:fs/promises";
import { join } from "node:path";

/** Bytes of the files of a folder, those that links lead to included; what is gone meanwhile counts nothing. */
export async function folderSize(folder: string): Promise<number> {
  const names = await readdir(folder).catch(() => []);
  const files = await Promise.all(names.map((name) => stat(join(folder, name)).catch(() => null)));
  return files.reduce((sum, file) => sum + (file?.isFile() ? file.size : 0), 0);
}

/** Bytes that this user may still write there; 0 where it cannot be told. */
export async function freeSpace(folder: string): Promise<number> {
  return statfs(folder).then(
    ({ bavail, bsize }) => bavail * bsize,
    () => 0,
  );
}
