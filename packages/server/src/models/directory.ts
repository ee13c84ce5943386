/** What can be said of a model directory before its model is loaded. */
import { statSync } from "node:fs";
import { join } from "node:path";
import { insteadOfConfig } from "@proofmill/native/model/instead";
import { MAX_CONFIG_BYTES, readJsonFile } from "@proofmill/native/model/json-file";

/** Lengths of sequences as they are configured. */
interface Lengths {
  /** Of rounds that name none. */
  pocSeqLen: number;
  /** The most that is allowed; undefined: as much as the model and the memory allow. */
  maxModelLen?: number | undefined;
}

/**
 * @param context the model's, in tokens; null: not known
 * @throws Error when rounds that name no length would get one beyond what is allowed, or more is
 *   allowed than the model can
 */
export function checkLengths({ pocSeqLen, maxModelLen }: Lengths, context: number | null): void {
  const most = context ?? Number.POSITIVE_INFINITY;
  const [allowed, name] =
    maxModelLen === undefined
      ? [most, `the model's context of ${context}`]
      : [maxModelLen, `--max-model-len ${maxModelLen}`];
  if (allowed > most) throw new Error(`${name} is more than the model's context of ${context}`);
  if (pocSeqLen > allowed) throw new Error(`--poc-seq-len ${pocSeqLen} is more than ${name}`);
}

/**
 * What a model's config.json holds.
 *
 * @throws Error in one line, when there is no such directory or no readable config.json in it
 */
export function readConfigFile(directory: string): unknown {
  if (!statSync(directory, { throwIfNoEntry: false })) {
    throw new Error(
      `model directory ${directory} does not exist; a model of the hub is named owner/name`,
    );
  }
  try {
    return readJsonFile(join(directory, "config.json"), MAX_CONFIG_BYTES);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === "ENOTDIR")
      throw new Error(
        `${directory} is not a model directory but a file; name the directory that holds a model's ` +
          "config.json and safetensors",
      );
    if (code === "ENOENT") {
      throw new Error(
        `model directory ${directory} has no config.json${insteadOfConfig(directory)}`,
      );
    }
    throw error;
  }
}
