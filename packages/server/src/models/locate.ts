/** Where a model is, from what the command line calls it. */
import { statSync } from "node:fs";
import { basename, resolve } from "node:path";
import { contextOf } from "@proofmill/native/model/context";
import { ModelCache } from "./cache.ts";
import { DEMO_CONTEXT, DEMO_NAME } from "./demo.ts";
import { readConfigFile } from "./directory.ts";
import { type HubSettings, readHubSettings } from "./environment.ts";

/** A model that is not on this machine yet. */
export interface HubModel {
  /** As `Qwen/Qwen3-0.6B`. */
  name: string;
  /** A branch, a tag or a commit. */
  revision: string;
  hub: HubSettings;
}

interface LocatedModel {
  /** As /v1 calls it by default. */
  name: string;
  /** Absolute path; null when it must be made or downloaded first. */
  directory: string | null;
  /** What its config.json holds; undefined where there is no directory yet. */
  config?: unknown;
  /** Where the hub has it; null for a directory that is no cache's, and for the demo model. */
  download: HubModel | null;
  /** In tokens; null when it is not known yet. */
  context: number | null;
}

interface LocateOptions {
  /** A directory, or the name of a model on the hub; null: the demo model. */
  model: string | null;
  /** Undefined: `main`. */
  revision: string | undefined;
  environment: NodeJS.ProcessEnv;
}

const DEFAULT_REVISION = "main";

/**
 * Finds a model: a directory wins, then the cache, and what is in neither is to be downloaded.
 *
 * @throws Error in one line that says what to do: no such directory and no valid name, an unusable
 *   config.json, offline and not in the cache
 */
export function locateModel({ model, revision, environment }: LocateOptions): LocatedModel {
  if (model === null) {
    if (revision !== undefined) throw new Error("--revision is given, but no model by name");
    return { name: DEMO_NAME, directory: null, download: null, context: DEMO_CONTEXT };
  }
  const path = resolve(model);
  const isThere = statSync(path, { throwIfNoEntry: false }) !== undefined;
  if (isThere || !isHubName(model)) {
    // Throws where there is no such directory.
    const config = readConfigFile(path);
    if (revision !== undefined) {
      throw new Error(`--revision chooses among a named model's versions, but ${path} is a folder`);
    }
    const name = basename(path) || path;
    return { name, directory: path, config, download: null, context: contextOf(config) };
  }
  const chosen = revision ?? DEFAULT_REVISION;
  if (!isRevision(chosen)) {
    throw new Error(`--revision '${chosen}' is no branch, tag or commit of a model`);
  }
  const hub = readHubSettings(environment);
  const directory = new ModelCache(hub.cacheFolder, model).find(chosen);
  if (directory !== null) {
    const download = { name: model, revision: basename(directory), hub };
    const config = readConfigFile(directory);
    return { name: model, directory, config, download, context: contextOf(config) };
  }
  if (hub.offline) {
    throw new Error(
      `there is no directory ${model}, and the model of that name (revision ${chosen}) is not in ` +
        `the cache ${hub.cacheFolder}; unset HF_HUB_OFFLINE to download it`,
    );
  }
  return {
    name: model,
    directory: null,
    download: { name: model, revision: chosen, hub },
    context: null,
  };
}

/**
 * `organisation/name` by the hub's rules: letters, digits, `-`, `_` and `.`, at most 96 each, none
 * of `-` and `.` at an end or doubled.
 */
export function isHubName(text: string): boolean {
  return (
    /^\w([\w.-]{0,94}\w)?\/\w([\w.-]{0,94}\w)?$/.test(text) &&
    !/--|\.\./.test(text) &&
    !text.endsWith(".git")
  );
}

/** What git takes for a name, as far as it matters to paths. */
function isRevision(text: string): boolean {
  return /^[\w.+-]+(\/[\w.+-]+)*$/.test(text) && !/(^|\/)\.|\.\.|\.(\/|$)/.test(text);
}
