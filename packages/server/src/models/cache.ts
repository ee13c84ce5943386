/**
 * The Hugging Face cache as the Python tools lay it out:
 *
 *     models--Qwen--Qwen3-0.6B/
 *       refs/main                     the commit that a branch or tag stands for
 *       blobs/<hash>                  content: SHA-256 for large files, git's SHA-1 for small ones
 *       snapshots/<commit>/<file>     links to blobs
 */
import { randomUUID } from "node:crypto";
import { readdirSync, readlinkSync, statSync } from "node:fs";
import { rename, stat, symlink, writeFile } from "node:fs/promises";
import { dirname, join, relative, resolve } from "node:path";
import { readBounded } from "@proofmill/native/model/json-file";
import { INDEX_FILE } from "@proofmill/native/model/safetensors";
import { weightFiles } from "@proofmill/native/model/weight-files";
import { makeFolder } from "../platform/folders.ts";

/** A ref holds 40 characters. */
const MAX_REF_BYTES = 1000;
const READ_FILES = /\.(json|jinja|model|safetensors|txt)$/;
const COMMIT = /^[0-9a-f]{40}$/;

/** Whether this is a whole commit id, and so the name of a snapshot. */
export function isCommit(revision: string): boolean {
  return COMMIT.test(revision);
}

/** One model's folder in the cache. */
export class ModelCache {
  readonly folder: string;

  /** @param name as `Qwen/Qwen3-0.6B`, already found valid */
  constructor(cacheFolder: string, name: string) {
    this.folder = join(cacheFolder, ["models", ...name.split("/")].join("--"));
  }

  snapshot(commit: string): string {
    return join(this.folder, "snapshots", commit);
  }

  /** @param hash names the content */
  blob(hash: string): string {
    return join(this.folder, "blobs", hash);
  }

  /** How much of a file is still to be written. */
  async missingBytes({ hash, size }: { hash: string; size: number }): Promise<number> {
    if ((await sizeOf(this.blob(hash))) === size) return 0;
    return Math.max(size - (await sizeOf(`${this.blob(hash)}.incomplete`)), 0);
  }

  /**
   * The snapshot of a revision, if everything is there that a node loads.
   *
   * @param revision a branch, a tag or a whole commit id
   */
  find(revision: string): string | null {
    const commit = isCommit(revision) ? revision : this.#readRef(revision);
    if (commit === null) return null;
    const directory = this.snapshot(commit);
    return isComplete(directory) ? directory : null;
  }

  /**
   * The blobs behind a snapshot's files that a node may read: what is no link to one cannot be checked.
   *
   * @returns names in the snapshot, and absolute paths of the blobs
   */
  blobsOf(commit: string): { name: string; blob: string }[] {
    const directory = this.snapshot(commit);
    return readdirSync(directory, { withFileTypes: true }).flatMap((entry) => {
      if (!entry.isSymbolicLink() || !READ_FILES.test(entry.name)) return [];
      const blob = resolve(directory, readlinkSync(join(directory, entry.name)));
      return dirname(blob) === join(this.folder, "blobs") ? [{ name: entry.name, blob }] : [];
    });
  }

  /** A blob that is not what its name says: a download goes on with what of it is right. */
  async setAside(blob: string): Promise<void> {
    await rename(blob, `${blob}.incomplete`);
  }

  /** Writes down which commit a branch or tag stands for, in one step for whoever reads it. */
  async writeRef(revision: string, commit: string): Promise<void> {
    if (revision === commit || this.#readRef(revision) === commit) return;
    const file = join(this.folder, "refs", revision);
    makeFolder(dirname(file));
    const made = `${file}.${randomUUID()}.tmp`;
    await writeFile(made, commit);
    await rename(made, file);
  }

  /** Puts a blob into a snapshot under its file's name: a relative link, so that caches can move. */
  async link(file: { commit: string; name: string; hash: string }): Promise<void> {
    const link = join(this.snapshot(file.commit), file.name);
    makeFolder(dirname(link));
    const made = `${link}.${randomUUID()}.tmp`;
    await symlink(relative(dirname(link), this.blob(file.hash)), made);
    await rename(made, link);
  }

  #readRef(revision: string): string | null {
    try {
      const ref = join(this.folder, "refs", revision);
      const commit = readBounded(ref, MAX_REF_BYTES).toString("utf8").trim();
      return isCommit(commit) ? commit : null;
    } catch {
      return null;
    }
  }
}

/** config.json and all weights; a download links these last. */
function isComplete(directory: string): boolean {
  const at = (name: string) => join(directory, name);
  const config = at("config.json");
  if (!isFile(config)) return false;
  try {
    const names = readdirSync(directory);
    const weights = weightFiles({ names, config, index: at(INDEX_FILE) });
    return weights.length > 0 && weights.every((name) => isFile(at(name)));
  } catch {
    return false;
  }
}

async function sizeOf(path: string): Promise<number> {
  return stat(path).then(
    ({ size }) => size,
    () => 0,
  );
}

function isFile(path: string): boolean {
  try {
    return statSync(path).isFile();
  } catch {
    return false;
  }
}
