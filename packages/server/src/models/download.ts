/** A whole model from the hub into the cache: config.json, tokenizer and safetensors. */
import { statfs } from "node:fs/promises";
import { MAX_CONFIG_BYTES, MAX_INDEX_BYTES } from "@proofmill/native/model/json-file";
import { INDEX_FILE, SINGLE_FILE } from "@proofmill/native/model/safetensors";
import { hasWeights, weightFiles } from "@proofmill/native/model/weight-files";
import { makeFolder } from "../platform/folders.ts";
import { ModelCache } from "./cache.ts";
import { BlobChecks } from "./checks.ts";
import { downloadBlob } from "./download-blob.ts";
import {
  fileUrl,
  type HubFetch,
  type HubFile,
  type HubListing,
  hubFetch,
  listModel,
  PassingFault,
} from "./hub.ts";
import type { HubModel } from "./locate.ts";
import { formatBytes, Progress, type ProgressOptions } from "./progress.ts";
import { type RetryOptions, retrying } from "./retry.ts";

export interface DownloadOptions {
  signal: AbortSignal;
  log: { info(text: string): void; warn(text: string): void };
  terminal: ProgressOptions["terminal"];
  /** Asked with the snapshot's directory when config.json is in it; what it throws ends the download. */
  onConfig?: (directory: string) => void;
  /** What is known of blobs that are there. */
  checks?: BlobChecks;
  /** Milliseconds before the first new attempt. */
  pauseMs?: number;
}

const CONFIG = "config.json";

/** What a node reads beside config and weights, where a model has it. */
const SMALL_FILES = [
  "generation_config.json",
  "tokenizer.json",
  "tokenizer_config.json",
  "tokenizer.model",
  "special_tokens_map.json",
  "added_tokens.json",
  "vocab.json",
  "merges.txt",
  "chat_template.jinja",
  "chat_template.json",
];

/**
 * Downloads a model into the cache, only what is missing there, and gives its directory.
 *
 * @throws Error in one line that says what to do; the signal's reason when that is aborted
 */
export async function downloadModel(model: HubModel, options: DownloadOptions): Promise<string> {
  try {
    return await new Download(model, options).run();
  } catch (error) {
    options.signal.throwIfAborted();
    throw explained(error, model);
  }
}

class Download {
  readonly #model: HubModel;
  readonly #options: DownloadOptions;
  readonly #cache: ModelCache;
  readonly #fetch: HubFetch;
  readonly #retry: RetryOptions;
  readonly #checks: BlobChecks;

  constructor(model: HubModel, options: DownloadOptions) {
    const { signal, log, pauseMs = 1000 } = options;
    this.#model = model;
    this.#checks = options.checks ?? new BlobChecks(null);
    this.#options = options;
    this.#cache = new ModelCache(model.hub.cacheFolder, model.name);
    this.#fetch = hubFetch(model, signal);
    const onRetry = (fault: PassingFault) => log.warn(`${fault.message}; trying again`);
    this.#retry = { signal, pauseMs, onRetry };
  }

  async run(): Promise<string> {
    const { name, revision } = this.#model;
    const listing = await retrying(() => listModel(this.#model, this.#fetch), this.#retry);
    const { commit, files } = listing;
    const directory = this.#cache.snapshot(commit);
    const config = files.get(CONFIG);
    if (!config || !hasWeights([...files.keys()])) {
      const missing = config ? `neither ${SINGLE_FILE} nor ${INDEX_FILE}` : `no ${CONFIG}`;
      throw new Error(`${name} has ${missing}: it is no model that this node can load`);
    }
    refuseLarge(config, MAX_CONFIG_BYTES);
    await this.#get(config, commit);
    this.#options.onConfig?.(directory);
    const wanted = await this.#choose(listing, config);
    await this.#refuseFullDisk(wanted);
    // Weights last: a snapshot with all of them counts as complete.
    const total = sumOf(wanted);
    this.#options.log.info(`downloading ${name} (${revision}), ${formatBytes(total)}`);
    const progress = new Progress({
      label: name,
      total,
      terminal: this.#options.terminal,
      log: (text) => this.#options.log.info(text),
    });
    let done = 0;
    try {
      for (const file of wanted) {
        await this.#get(file, commit, (bytes) => progress.update(done + bytes));
        done += file.size;
      }
    } finally {
      progress.finish();
    }
    await this.#cache.writeRef(revision, commit);
    return directory;
  }

  /** Small files, then the weights: the one file, else the shards that hold what is needed. */
  async #choose({ commit, files }: HubListing, config: HubFile): Promise<HubFile[]> {
    const small = SMALL_FILES.flatMap((name) => files.get(name) ?? []);
    const index = files.get(INDEX_FILE);
    if (index && !files.has(SINGLE_FILE)) {
      refuseLarge(index, MAX_INDEX_BYTES);
      await this.#get(index, commit);
    }
    let weights: string[] = [];
    try {
      weights = weightFiles({
        names: [...files.keys()],
        config: this.#cache.blob(config.hash),
        index: index ? this.#cache.blob(index.hash) : "",
      });
    } catch (cause) {
      throw new Error(`${this.#model.name}: ${INDEX_FILE} does not name files of this model`, {
        cause,
      });
    }
    const missing = weights.find((name) => !files.has(name));
    if (missing !== undefined) {
      const fault = index
        ? `${INDEX_FILE} does not name files of this model`
        : "its numbered files are not complete";
      throw new Error(`${this.#model.name}: ${fault}: there is no ${missing}`);
    }
    return [...small, ...weights.flatMap((name) => files.get(name) ?? [])];
  }

  async #get(file: HubFile, commit: string, onPosition = (_bytes: number) => {}): Promise<void> {
    const { name, hash } = file;
    const { signal } = this.#options;
    signal.throwIfAborted();
    await downloadBlob({
      url: fileUrl(this.#model, { commit, name }),
      file,
      blob: this.#cache.blob(hash),
      fetch: this.#fetch,
      onPosition,
      retry: this.#retry,
      checks: this.#checks,
    });
    await this.#cache.link({ commit, name, hash });
  }

  /** Refuses before hours of download, not after them. */
  async #refuseFullDisk(files: readonly HubFile[]): Promise<void> {
    const { folder } = this.#cache;
    makeFolder(folder);
    const sizes = await Promise.all(files.map((file) => this.#cache.missingBytes(file)));
    const needed = sizes.reduce((sum, bytes) => sum + bytes, 0);
    const { bavail, bsize } = await statfs(folder);
    const free = bavail * bsize;
    if (needed <= free) return;
    throw new Error(
      `the disk of ${folder} is too full: ${formatBytes(needed)} needed, ${formatBytes(free)} free; ` +
        "free some or set HF_HUB_CACHE to a folder on another disk",
    );
  }
}

/** Files that are too large to be read are not downloaded. */
function refuseLarge({ name, size }: HubFile, most: number): void {
  if (size <= most) return;
  throw new Error(`${name} has ${size} bytes on the hub, expected at most ${most}`);
}

function sumOf(files: readonly HubFile[]): number {
  return files.reduce((sum, { size }) => sum + size, 0);
}

/** Faults that passed every attempt, and the file system's, as one line that says what to do. */
function explained(error: unknown, { name, hub }: HubModel): unknown {
  if (error instanceof PassingFault) {
    return new Error(
      `${name} could not be downloaded: ${error.message}; check the network and HF_ENDPOINT and ` +
        "try again: what is there already is kept",
    );
  }
  const { code } = error as NodeJS.ErrnoException;
  if (code === "ENOSPC" || code === "EDQUOT") {
    return new Error(
      `the disk of ${hub.cacheFolder} is full; free some and try again: what is there already is ` +
        "kept; or set HF_HUB_CACHE to a folder on another disk",
    );
  }
  if (code === "EACCES" || code === "EROFS" || code === "EPERM" || code === "ENOTDIR") {
    return new Error(
      `the cache ${hub.cacheFolder} cannot be written (${code}); set HF_HUB_CACHE to another folder`,
    );
  }
  return error;
}
