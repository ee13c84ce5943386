/** What can be said of a model directory before its model is loaded. */
import { statSync } from "node:fs";
import { join } from "node:path";
import { contextOf } from "@proofmill/native/context";
import { MAX_CONFIG_BYTES, readJsonFile } from "@proofmill/native/json-file";

/** @throws Error when rounds that name no sequence length would get one beyond the context */
export function checkSeqLen(pocSeqLen: number, context: number | null): void {
  if (context === null || pocSeqLen <= context) return;
  throw new Error(`--poc-seq-len ${pocSeqLen} is more than the model's context of ${context}`);
}

/**
 * The model's context in tokens, from its config.json; null when that does not say, which is for
 * the loader to judge.
 *
 * @throws Error in one line, when there is no such directory or no readable config.json in it
 */
export function readContext(directory: string): number | null {
  if (!statSync(directory, { throwIfNoEntry: false })) {
    throw new Error(`model directory ${directory} does not exist`);
  }
  try {
    return contextOf(readJsonFile(join(directory, "config.json"), MAX_CONFIG_BYTES));
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === "ENOTDIR") throw new Error(`${directory} is not a model directory but a file`);
    if (code === "ENOENT") throw new Error(`model directory ${directory} has no config.json`);
    throw error;
  }
}
