import { closeSync, openSync } from "node:fs";

/** So many of its modules Node may read at once. */
const LEAST = 90;

/**
 * Ends the process with one line where it may open too few files to read its own modules. Called before
 * any is imported: that fails with a stack, or says that a package is not there.
 */
export function refuseFewOpenFiles() {
  const files = [];
  try {
    while (files.length < LEAST) files.push(openSync(import.meta.filename, "r"));
  } catch ({ code }) {
    if (code !== "EMFILE" && code !== "ENFILE") return;
    console.error(
      `proofmill: only ${files.length} more files can be opened; raise the limit, e.g. with ulimit -n 1024 or LimitNOFILE=`,
    );
    process.exit(1);
  } finally {
    for (const file of files) closeSync(file);
  }
}
