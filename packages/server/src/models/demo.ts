/** The demo model: a small Qwen3 with random weights, made once, for trying the node out. */
import { access, mkdtemp, rename, rm, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { writeRandomModel } from "@proofmill/native/model/random-model";
import { shapeConfig, shapeFile } from "@proofmill/native/model/shapes";
import { cacheFolder, makeFolder } from "../platform/folders.ts";
import { byteLevelTokenizer, TOKENIZER_CONFIG } from "./demo-tokenizer.ts";

export const DEMO_NAME = "proofmill-demo";

const SHAPE = "qwen3-tiny";

/** The demo model's context in tokens. */
export const DEMO_CONTEXT = shapeConfig(SHAPE).max_position_embeddings;

/** Part of the folder's name: another model must get another folder. */
const REVISION = 2;

const CONFIG = {
  ...shapeFile(SHAPE),
  model_type: "qwen3",
  torch_dtype: "bfloat16",
  rope_scaling: null,
  attention_bias: false,
  attention_dropout: 0,
  use_sliding_window: false,
  sliding_window: null,
  initializer_range: 0.02,
  bos_token_id: null,
  eos_token_id: 258,
  use_cache: true,
};

/** Written by this module; the weights' file is there when these are, for a folder appears whole. */
const FILES: Record<string, unknown> = {
  "tokenizer.json": byteLevelTokenizer(),
  "tokenizer_config.json": { ...TOKENIZER_CONFIG, model_max_length: DEMO_CONTEXT },
  "generation_config.json": {
    do_sample: true,
    temperature: 1,
    eos_token_id: [258],
    pad_token_id: 256,
  },
};

/**
 * The demo model's directory, in the user's cache folder; makes it where it is missing. The same
 * files come out on every machine.
 *
 * Two nodes may start at once: each makes its own copy, one of them is renamed into place.
 *
 * @throws Error when the folder cannot be written
 */
export async function demoModel(folder: string | null = cacheFolder()): Promise<string> {
  if (folder === null) {
    throw new Error(
      "there is no home folder to keep the demo model in; set HOME or XDG_CACHE_HOME",
    );
  }
  const directory = join(folder, `demo-model-${REVISION}`);
  if (await isComplete(directory)) return directory;
  try {
    await make(directory);
  } catch (cause) {
    // A full disk is told without a path.
    const { message } = cause as Error;
    throw new Error(
      `the demo model cannot be kept in ${folder}: ${message}; set XDG_CACHE_HOME to another folder`,
      { cause },
    );
  }
  return directory;
}

async function make(directory: string): Promise<void> {
  makeFolder(dirname(directory));
  const made = await mkdtemp(`${directory}.`);
  try {
    await writeRandomModel({ directory: made, config: CONFIG, seed: 1 });
    for (const [name, content] of Object.entries(FILES)) {
      await writeFile(join(made, name), `${JSON.stringify(content, null, 2)}\n`);
    }
    await moveTo(made, directory);
  } finally {
    await rm(made, { recursive: true, force: true });
  }
}

async function moveTo(made: string, directory: string): Promise<void> {
  try {
    await rename(made, directory);
  } catch (error) {
    if (await isComplete(directory)) return; // another node was faster
    if (!["ENOTEMPTY", "EEXIST"].includes((error as NodeJS.ErrnoException).code ?? "")) throw error;
    await rm(directory, { recursive: true, force: true }); // someone removed files from it
    await rename(made, directory);
  }
}

async function isComplete(directory: string): Promise<boolean> {
  const files = ["config.json", "model.safetensors", ...Object.keys(FILES)];
  const found = await Promise.all(
    files.map((name) =>
      access(join(directory, name)).then(
        () => true,
        () => false,
      ),
    ),
  );
  return !found.includes(false);
}
