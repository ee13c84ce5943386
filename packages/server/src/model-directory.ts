/** What can be said of a model directory before its model is loaded. */
import { readFileSync, statSync } from "node:fs";
import { join } from "node:path";

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
  const file = join(directory, "config.json");
  let text: string;
  try {
    text = readFileSync(file, "utf8");
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    if (code === "ENOTDIR") throw new Error(`${directory} is not a model directory but a file`);
    if (code === "ENOENT") throw new Error(`model directory ${directory} has no config.json`);
    throw new Error(`${file} cannot be read: ${code}`);
  }
  try {
    const config: unknown = JSON.parse(text);
    const context = (config as { max_position_embeddings?: unknown })?.max_position_embeddings;
    return Number.isSafeInteger(context) && Number(context) > 0 ? Number(context) : null;
  } catch (error) {
    throw new Error(`${file} is not JSON: ${(error as Error).message}`);
  }
}
