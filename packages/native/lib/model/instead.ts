/**
 * What a folder holds where a model's files are missing, for people who have named the wrong one. Never
 * loads the addon.
 */
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { show } from "./refusal.ts";

/** Weights in other forms; config.json is no part of some of them. */
const OTHER_FORM = /\.(gguf|ggml|bin|pt|pth|h5|msgpack|onnx|npz)$/i;
/** What programs call a file that they still download. */
const UNFINISHED = /\.(incomplete|part|partial|crdownload|aria2|tmp)$/i;
/** The Hugging Face cache has a model's files three folders down. */
const MAX_DEPTH = 3;
/** A home folder may be large. */
const MAX_FOLDERS = 200;

/** Ends a sentence that says which weights are missing: `; …`, or nothing. */
export function insteadOfWeights(directory: string): string {
  const unknown = fileIn(directory, /\.safetensors$/);
  const last = unknown && `; ${show(unknown)} is no name that a whole model's weights have`;
  return unreadable(directory) ?? last ?? "";
}

/** Likewise, of config.json. */
export function insteadOfConfig(directory: string): string {
  const folder = folderWithConfig(directory);
  if (folder !== null) return `, but ${show(folder)} in it has: name that`;
  return unreadable(directory) ?? "";
}

/** What looks like a model and is not read; undefined where nothing does. */
function unreadable(directory: string): string | undefined {
  const unfinished = fileIn(directory, UNFINISHED);
  if (unfinished) return `; ${show(unfinished)} is a download that has not ended: do it again`;
  const other = fileIn(directory, OTHER_FORM);
  return other && `; ${show(other)} is in a form that is not read, expected safetensors`;
}

function fileIn(directory: string, pattern: RegExp): string | undefined {
  return namesIn(directory).find(({ name }) => pattern.test(name))?.name;
}

/** The path below a folder of the nearest one with a config.json; null where none is near. */
function folderWithConfig(directory: string): string | null {
  let level = [""];
  let looked = 0;
  for (let depth = 1; depth <= MAX_DEPTH; depth++) {
    const next: string[] = [];
    for (const parent of level) {
      for (const { name, isFolder } of namesIn(join(directory, parent))) {
        if (!isFolder || ++looked > MAX_FOLDERS) continue;
        const folder = join(parent, name);
        if (namesIn(join(directory, folder)).some((entry) => entry.name === "config.json")) {
          return folder;
        }
        next.push(folder);
      }
    }
    level = next;
  }
  return null;
}

/**
 * In the order of their names, so that everybody is told the same; none where it cannot be read. What
 * is no file, a link among it, may be a folder.
 */
function namesIn(directory: string): { name: string; isFolder: boolean }[] {
  try {
    return readdirSync(directory, { withFileTypes: true })
      .map((entry) => ({ name: entry.name, isFolder: !entry.isFile() }))
      .sort((a, b) => (a.name < b.name ? -1 : 1));
  } catch {
    return [];
  }
}
