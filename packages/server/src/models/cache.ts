/**
 * The Hugging Face cache as the Python tools lay it out:
 *
 *     models--Qwen--Qwen3-0.6B/
 *       refs/main                     the commit that a branch or tag stands for
 *       blobs/<hash>                  content: SHA-256 for large files, git's SHA-1 for small ones
 *       snapshots/<commit>/<file>     links to blobs
 */
import { randomUUID } from "node:crypto";
import { readFileSync, statSync } from "node:fs";
import { mkdir, rename, stat, symlink, writeFile } from "node:fs/promises";
import { basename, dirname, join, relative } from "node:path";

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

  /** Writes down which commit a branch or tag stands for, in one step for whoever reads it. */
  async writeRef(revision: string, commit: string): Promise<void> {
    if (revision === commit || this.#readRef(revision) === commit) return;
    const file = join(this.folder, "refs", revision);
    await mkdir(dirname(file), { recursive: true });
    const made = `${file}.${randomUUID()}.tmp`;
    await writeFile(made, commit);
    await rename(made, file);
  }

  /** Puts a blob into a snapshot under its file's name: a relative link, so that caches can move. */
  async link(file: { commit: string; name: string; hash: string }): Promise<void> {
    const link = join(this.snapshot(file.commit), file.name);
    await mkdir(dirname(link), { recursive: true });
    const made = `${link}.${randomUUID()}.tmp`;
    await symlink(relative(dirname(link), this.blob(file.hash)), made);
    await rename(made, link);
  }

  #readRef(revision: string): string | null {
    try {
      const commit = readFileSync(join(this.folder, "refs", revision), "utf8").trim();
      return isCommit(commit) ? commit : null;
    } catch {
      return null;
    }
  }
}

/** config.json and all weights; a download links these last. */
function isComplete(directory: string): boolean {
  if (!isFile(join(directory, "config.json"))) return false;
  if (isFile(join(directory, "model.safetensors"))) return true;
  const shards = readShardNames(join(directory, "model.safetensors.index.json"));
  return shards?.every((shard) => isFile(join(directory, shard))) ?? false;
}

/**
 * The files that a shard index names; null when it cannot be read as one. They lie beside it: a
 * name with a folder in it is as bad as no index.
 */
export function readShardNames(indexFile: string): string[] | null {
  try {
    const { weight_map } = JSON.parse(readFileSync(indexFile, "utf8"));
    const names = [...new Set<unknown>(Object.values(weight_map))];
    return names.length > 0 && names.every(isShardName) ? names : null;
  } catch {
    return null;
  }
}

function isShardName(name: unknown): name is string {
  return (
    typeof name === "string" &&
    name === basename(name) &&
    !name.includes("\\") &&
    name.endsWith(".safetensors")
  );
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
