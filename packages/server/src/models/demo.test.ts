import { createHash } from "node:crypto";
import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { contextOf } from "@proofmill/native/model/context";
import { expect, onTestFinished, test } from "vitest";
import { DEMO_CONTEXT, demoModel } from "./demo.ts";
import { byteLevelTokenizer } from "./demo-tokenizer.ts";
import { readConfigFile } from "./directory.ts";

function cache(): string {
  const folder = mkdtempSync(join(tmpdir(), "proofmill-"));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  return join(folder, "not", "there", "yet");
}

function digests(directory: string): Record<string, string> {
  const digest = (file: string) =>
    createHash("sha256")
      .update(readFileSync(join(directory, file)))
      .digest("hex");
  return Object.fromEntries(
    readdirSync(directory)
      .sort()
      .map((file) => [file, digest(file)]),
  );
}

test("is made once, the same everywhere, with nothing left beside it", async () => {
  const first = await demoModel(cache());
  expect(Object.keys(digests(first))).toEqual([
    "config.json",
    "generation_config.json",
    "model.safetensors",
    "tokenizer.json",
    "tokenizer_config.json",
  ]);
  expect(contextOf(readConfigFile(first))).toBe(DEMO_CONTEXT);
  const { mtimeMs } = statSync(join(first, "model.safetensors"));
  expect(await demoModel(dirname(first))).toBe(first);
  expect(statSync(join(first, "model.safetensors")).mtimeMs).toBe(mtimeMs);
  expect(readdirSync(dirname(first))).toHaveLength(1);
  expect(digests(await demoModel(cache()))).toEqual(digests(first));
});

test("two nodes that start at once agree", async () => {
  const folder = cache();
  const [first, second] = await Promise.all([demoModel(folder), demoModel(folder)]);
  expect(second).toBe(first);
  expect(readdirSync(folder)).toHaveLength(1);
});

test("is made anew where a file is missing", async () => {
  const folder = cache();
  const directory = await demoModel(folder);
  const before = digests(directory);
  rmSync(join(directory, "model.safetensors"));
  expect(digests(await demoModel(folder))).toEqual(before);
});

test("a token for every byte, and each one different", () => {
  const { model, added_tokens } = byteLevelTokenizer() as {
    model: { vocab: Record<string, number> };
    added_tokens: { id: number }[];
  };
  const ids = Object.values(model.vocab).sort((a, b) => a - b);
  expect(ids).toEqual(Array.from({ length: 256 }, (_, i) => i));
  // In GPT-2's alphabet Ġ is the space and Ċ the line feed.
  expect(model.vocab).toMatchObject({ A: 65, Ġ: 32, Ċ: 10 });
  expect(added_tokens.map(({ id }) => id)).toEqual([256, 257, 258]);
});

test("a folder that cannot be written is named", async () => {
  const folder = cache();
  mkdirSync(dirname(folder), { recursive: true });
  writeFileSync(folder, "");
  await expect(demoModel(folder)).rejects.toThrow(
    `the demo model cannot be kept in ${folder}: EEXIST: `,
  );
});
