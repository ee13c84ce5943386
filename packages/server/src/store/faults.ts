/** What is wrong with a data folder or its database, in words for whoever runs the node. */

/** Why a data folder cannot be used. */
export class DataFolderError extends Error {
  override readonly name = "DataFolderError";
  /** What to do about it. */
  readonly remedy: string;

  constructor(message: string, remedy = "choose another with --data-dir") {
    super(message);
    this.remedy = remedy;
  }
}

/** Another process has the folder's database open. */
export class FolderInUseError extends DataFolderError {
  constructor() {
    super("another node is using it", "stop that node, or choose another with --data-dir");
  }
}

/** What to do about a database that is damaged. */
export const RESTORE =
  "restore a backup (proofmill restore), or move it and its journal (-wal) away to begin anew";

/** @param file the database's name */
export function asDataFolderError(error: unknown, file: string): DataFolderError {
  if (error instanceof DataFolderError) return error;
  const { code = "" } = error as { code?: string };
  if (code === "SQLITE_BUSY") {
    return new FolderInUseError();
  }
  if (code === "SQLITE_FULL") {
    return new DataFolderError("the disk is full", "free some, or choose another with --data-dir");
  }
  const reason = explain(error);
  // SQLITE_ERROR: the tables are not those that a version of proofmill makes.
  const isDamaged =
    code.startsWith("SQLITE_CORRUPT") || ["SQLITE_NOTADB", "SQLITE_ERROR"].includes(code);
  return new DataFolderError(`${file}: ${reason}`, isDamaged ? RESTORE : undefined);
}

/** What a fault of the database means to whoever runs the node. */
export function explain(error: unknown): string {
  const { code = "", message } = error as { code?: string; message: string };
  if (code === "SQLITE_FULL") return "the disk is full";
  if (code.startsWith("SQLITE_CORRUPT")) return `the database is damaged (${message})`;
  if (code.startsWith("SQLITE_IOERR")) return `the disk fails (${message})`;
  if (code.startsWith("SQLITE_READONLY")) return `the database cannot be written (${message})`;
  return message;
}
