import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { insteadOfConfig, insteadOfWeights } from "./instead.ts";

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "proofmill-"));
});
afterEach(() => rmSync(directory, { recursive: true }));

function write(...files: string[]) {
  for (const file of files) {
    mkdirSync(dirname(join(directory, file)), { recursive: true });
    writeFileSync(join(directory, file), "");
  }
}

test.each([
  ["nothing", [], ""],
  ["a file of llama.cpp", ["m.Q4_K_M.gguf"], '; "m.Q4_K_M.gguf" is in a form that is not read'],
  ["pickled weights", ["config.json", "pytorch_model.bin"], '; "pytorch_model.bin" is in a form'],
  ["a download", ["model.safetensors.incomplete"], "is a download that has not ended: do it again"],
  ["an adapter", ["adapter_model.safetensors"], '; "adapter_model.safetensors" is no name that'],
])("in the place of weights: %s", (_, files, told) => {
  write(...files);
  expect(insteadOfWeights(directory)).toContain(told);
  if (told === "") expect(insteadOfWeights(directory)).toBe("");
});

const SNAPSHOT = "snapshots/0123456789abcdef";

test.each([
  ["a folder of models", ["b/config.json", "a/config.json"], '"a"'],
  ["a model's folder of the cache", [`${SNAPSHOT}/config.json`, "refs/main"], `"${SNAPSHOT}"`],
  ["the cache", [`models--me--it/${SNAPSHOT}/config.json`], `"models--me--it/${SNAPSHOT}"`],
])("in the place of config.json: %s", (_, files, named) => {
  write(...files);
  expect(insteadOfConfig(directory)).toBe(`, but ${named} in it has: name that`);
});

test("a folder with weights alone lacks config.json, and no more is to be said", () => {
  write("model.safetensors");
  expect(insteadOfConfig(directory)).toBe("");
  write("model.gguf");
  expect(insteadOfConfig(directory)).toContain('"model.gguf" is in a form that is not read');
});

test("what lies deeper, or among very many folders, is not looked for", () => {
  write("1/2/3/4/config.json");
  expect(insteadOfConfig(directory)).toBe("");
  for (let i = 0; i < 300; i++) mkdirSync(join(directory, `many${i}`));
  write("z/config.json");
  expect(insteadOfConfig(directory)).toBe("");
  expect(insteadOfConfig(join(directory, "missing"))).toBe("");
});
