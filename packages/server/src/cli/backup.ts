/** `proofmill backup`: copies a stopped node's data folder into one file. */
import {
  closeSync,
  existsSync,
  openSync,
  realpathSync,
  renameSync,
  rmSync,
  statSync,
} from "node:fs";
import { basename, dirname, join, resolve } from "node:path";
import { Command } from "commander";
import { toDisk } from "../platform/folders.ts";
import { stdout } from "../platform/output.ts";
import { readDataDir } from "../settings/read.ts";
import { addDataDirOption } from "../settings/shared-options.ts";
import { NodeDatabase } from "../store/database.ts";
import { DataFolderError, explain } from "../store/faults.ts";
import { namesOf } from "../store/private.ts";
import { DATABASE } from "../store/sqlite.ts";
import { Exit } from "./exit.ts";

export function backupCommand(environment: NodeJS.ProcessEnv): Command {
  const command = new Command("backup")
    .description("copy a stopped node's rounds, finds and undelivered callbacks into one file")
    .argument("<file>", "the new file; `proofmill restore` puts it back");
  return addDataDirOption(command).action((file: string) => {
    backup(readDataDir(command, environment), resolve(file));
  });
}

/** @throws Exit; a backup that does not come to its end leaves nothing behind */
function backup(folder: string, file: string): void {
  if (existsSync(file)) throw new Exit(1, `${file} is there already; choose another name`);
  if (!existsSync(join(folder, DATABASE))) {
    throw new Exit(1, `there is no ${DATABASE} in ${folder}; name the folder with --data-dir`);
  }
  if (!existsSync(dirname(file))) {
    throw new Exit(1, `there is no folder ${dirname(file)} to put the backup into`);
  }
  const isBeside = realpathSync(dirname(file)) === realpathSync(folder);
  if (isBeside && namesOf(DATABASE).includes(basename(file))) {
    throw new Exit(1, `${file} would be taken for the database's own; choose another name`);
  }
  const partial = `${file}.partial`;
  rmSync(partial, { force: true });
  try {
    // SQLite keeps the mode of an empty file that it is given: the backup is its user's alone, as
    // the data folder is.
    closeSync(openSync(partial, "wx", 0o600));
    const database = new NodeDatabase(join(folder, DATABASE), { mustExist: true });
    try {
      database.copyTo(partial);
    } finally {
      database.close();
    }
    toDisk(partial);
    renameSync(partial, file);
  } catch (error) {
    rmSync(partial, { force: true });
    throw new Exit(
      1,
      error instanceof DataFolderError
        ? `cannot copy the data folder ${folder}: ${error.message}; ${error.remedy}`
        : `${file} was not made: ${explain(error)}`,
    );
  }
  stdout.write(`${file}, ${statSync(file).size} bytes\n`);
}
