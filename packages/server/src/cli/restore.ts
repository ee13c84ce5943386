/** `proofmill restore`: puts a backup into a data folder, in place of what is there. */
import {
  chmodSync,
  chownSync,
  copyFileSync,
  existsSync,
  realpathSync,
  renameSync,
  rmSync,
  statSync,
} from "node:fs";
import { join, resolve } from "node:path";
import { Command } from "commander";
import { makeFolder, toDisk } from "../platform/folders.ts";
import { stdout } from "../platform/output.ts";
import { readDataDir } from "../settings/read.ts";
import { addDataDirOption } from "../settings/shared-options.ts";
import { NodeDatabase } from "../store/database.ts";
import { DataFolderError, explain, FolderInUseError } from "../store/faults.ts";
import { namesOf } from "../store/private.ts";
import { DATABASE } from "../store/sqlite.ts";
import { Exit } from "./exit.ts";

/** What was there before is kept under this name, until the next time. */
const REPLACED = "replaced";

export function restoreCommand(environment: NodeJS.ProcessEnv): Command {
  const command = new Command("restore")
    .description(
      "put a backup into a stopped node's data folder; what was there is kept beside it as " +
        `${DATABASE}.${REPLACED}`,
    )
    .argument("<file>", "what `proofmill backup` has made");
  return addDataDirOption(command).action((file: string) => {
    restore(resolve(file), readDataDir(command, environment));
  });
}

/** @throws Exit; until the last step, which happens whole or not at all, the folder is as it was */
function restore(file: string, folder: string): void {
  const stat = statSync(file, { throwIfNoEntry: false });
  if (!stat) throw new Exit(1, `there is no file ${file}`);
  if (!stat.isFile()) throw new Exit(1, `${file} is not a file`);
  const target = join(folder, DATABASE);
  const copy = `${target}.partial`;
  if (existsSync(copy) && realpathSync(copy) === realpathSync(file)) {
    throw new Exit(1, `${file} is what restore itself writes; give it another name first`);
  }
  try {
    makeFolder(folder, 0o700);
    refuseWhileInUse(target);
    removeAll(copy);
    copyFileSync(file, copy);
    chmodSync(copy, 0o600);
    if (process.getuid?.() === 0) {
      // The node may run as another user, to whom the folder belongs.
      const { uid, gid } = statSync(folder);
      chownSync(copy, uid, gid);
    }
    // Opened, it is checked from end to end, and brought to the present version.
    new NodeDatabase(copy, { mustExist: true }).close();
    toDisk(copy);
    refuseWhileInUse(target); // a node may have been started meanwhile
    for (const name of namesOf(DATABASE)) {
      const [from, to] = [join(folder, name), join(folder, `${name}.${REPLACED}`)];
      rmSync(to, { force: true });
      if (existsSync(from)) renameSync(from, to);
    }
    renameSync(copy, target);
    toDisk(folder);
  } catch (error) {
    removeAll(copy);
    throw new Exit(1, `${file} was not restored: ${faultOf(error, { file, folder })}`);
  }
  stdout.write(`${file} is in ${folder} now\n`);
}

/** Whatever else is wrong with the database that is there may be why it is replaced. */
function refuseWhileInUse(path: string): void {
  if (!existsSync(path)) return;
  try {
    new NodeDatabase(path).close(); // folds its journal into it, so that it is whole where it is kept
  } catch (error) {
    if (error instanceof FolderInUseError) throw error;
  }
}

function removeAll(path: string): void {
  for (const each of namesOf(path)) rmSync(each, { force: true });
}

function faultOf(error: unknown, { file, folder }: { file: string; folder: string }): string {
  if (error instanceof FolderInUseError) return `${folder}: ${error.message}; ${error.remedy}`;
  if (error instanceof DataFolderError) return `${file} is no backup (${error.message})`;
  return explain(error);
}
