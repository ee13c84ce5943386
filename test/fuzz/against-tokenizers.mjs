// Drawn files of tokenizers against what reads them: nothing may throw past it, take long, or take much
// memory, and what is refused says why in our own words.
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import {
  byteLevelTokenizer,
  TOKENIZER_CONFIG,
} from "../../packages/server/dist/models/demo-tokenizer.js";
import { TextTasks } from "../../packages/server/dist/text/text-tasks.js";
import { Vocabulary } from "../../packages/server/dist/text/vocabulary.js";
import { changeBytes, changeJson, changes } from "./files.mjs";

const DRAWN_AT_ONCE = 100;
const MOST_BYTES = 300 * 2 ** 20;
const MOST_MS = 10_000;
/** What a language says of a mistake of ours, not of a file. */
const OURS =
  /cannot read|is not a function|is not iterable|undefined|\[object|NaN|invalid array length|BigInt/i;
/** Jinja's own words have some of these. */
const JINJA = /^the chat template (fails|cannot be read): /;
const TEXT = "Grüße, мир! 🙂\u0000<|im_end|> a b";

/** The files that `changes` speaks of, by what it calls them. */
const FILES = {
  config: "tokenizer.json",
  weights: "tokenizer.json",
  header: "tokenizer_config.json",
  index: "generation_config.json",
};

const replace = (from, content) => ({ type: "Replace", pattern: { String: from }, content });
/** As SentencePiece's are: bytes have tokens of their own, and a space is a character. */
const SPACED = {
  added_tokens: [{ id: 262, content: "<|im_end|>", special: true }],
  normalizer: {
    type: "Sequence",
    normalizers: [{ type: "Prepend", prepend: "▁" }, replace(" ", "▁")],
  },
  pre_tokenizer: { type: "Metaspace", replacement: "▁", prepend_scheme: "first", split: false },
  post_processor: {
    type: "TemplateProcessing",
    single: [{ SpecialToken: { id: "<s>", type_id: 0 } }, { Sequence: { id: "A", type_id: 0 } }],
    pair: [],
    special_tokens: { "<s>": { id: "<s>", ids: [256], tokens: ["<s>"] } },
  },
  decoder: {
    type: "Sequence",
    decoders: [
      replace("▁", " "),
      { type: "ByteFallback" },
      { type: "Fuse" },
      { type: "Strip", content: " ", start: 1, stop: 0 },
    ],
  },
  model: {
    ...{ type: "BPE", unk_token: "<s>", byte_fallback: true, merges: ["▁ a", ["a", "b"]] },
    vocab: Object.fromEntries(
      [
        ...Array.from(
          { length: 256 },
          (_, i) => `<0x${i.toString(16).padStart(2, "0").toUpperCase()}>`,
        ),
        ...["<s>", "▁", "a", "b", "▁a", "ab"],
      ].map((token, id) => [token, id]),
    ),
  },
};
const UNIGRAM = {
  ...SPACED,
  model: {
    ...{ type: "Unigram", unk_id: 0, byte_fallback: false },
    vocab: [
      ["<unk>", 0],
      ["▁", -1],
      ["a", -2],
      ["b", -2.5],
      ["▁a", -1.5],
      ["<s>", 0],
    ],
  },
};
const TOKENIZERS = [byteLevelTokenizer(), SPACED, UNIGRAM];

/**
 * @param {{ seed: number, count: number }} options `count` tokenizers
 * @returns what was seen; `faults` are what must not be, in words
 */
export async function fuzzTokenizers({ seed, count }) {
  const directory = mkdtempSync(join(tmpdir(), "proofmill-fuzz-"));
  const faults = [];
  let loaded = 0;
  let chats = 0;
  let drawn = [];
  const atRest = process.memoryUsage.rss();
  try {
    for (let i = 0; i < count && faults.length < 20; i++) {
      // Drawn by hundreds, always from the same place, so that a number names a tokenizer.
      if (i % DRAWN_AT_ONCE === 0) {
        drawn = fc.sample(changes, { seed: seed + i / DRAWN_AT_ONCE, numRuns: DRAWN_AT_ONCE });
      }
      const change = drawn[i % DRAWN_AT_ONCE];
      write(directory, TOKENIZERS[i % TOKENIZERS.length], change);
      const begin = performance.now();
      let said = [];
      try {
        const seen = use(directory);
        said = seen.said;
        if (seen.isLoaded) loaded++;
        if (seen.isChat) chats++;
      } catch (error) {
        said = [`undefined threw ${error.stack}`];
      }
      const milliseconds = performance.now() - begin;
      if (milliseconds > MOST_MS) said.push(`undefined: took ${Math.round(milliseconds)} ms`);
      const which = () => `tokenizer ${i} (${JSON.stringify(change, bigints)})`;
      const bad = said.filter((each) => OURS.test(each) && !JINJA.test(each));
      faults.push(...bad.map((each) => `${which()}: ${each}`));
    }
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
  const bytes = process.memoryUsage.rss() - atRest;
  if (bytes > MOST_BYTES) faults.push(`${Math.round(bytes / 2 ** 20)} MB were left`);
  return { tokenizers: count, loaded, chats, faults };
}

function write(directory, tokenizer, change) {
  const contents = {
    "tokenizer.json": Buffer.from(JSON.stringify(tokenizer)),
    "tokenizer_config.json": Buffer.from(JSON.stringify(TOKENIZER_CONFIG)),
    "generation_config.json": Buffer.from('{"eos_token_id":[258],"temperature":1,"top_k":20}'),
  };
  for (const { file, how } of change) {
    const name = FILES[file];
    const isJson = ["set", "remove", "add"].includes(how.kind);
    contents[name] = isJson
      ? Buffer.from(changeJson(contents[name].toString(), how))
      : changeBytes(contents[name], how);
  }
  for (const [name, bytes] of Object.entries(contents)) writeFileSync(join(directory, name), bytes);
}

/** @returns what was said of the files, and what worked */
function use(directory) {
  const tasks = new TextTasks({ directory, vocabSize: 1000, maxText: 10_000 });
  const { loaded } = tasks.perform({ kind: "load" });
  const { vocabulary, textFault, chatFault, generationFaults } = loaded;
  const said = [...new Set([textFault, chatFault]), ...generationFaults].filter(Boolean);
  if (vocabulary === null) return { said, isLoaded: false, isChat: false };
  const words = new Vocabulary(vocabulary);
  const encoded = tasks.perform({ kind: "encode", text: TEXT, addSpecialTokens: true });
  if (encoded.kind === "refused") said.push(encoded.message);
  else words.decode(encoded.ids, true);
  for (const id of [0, 257, 5000, -1]) words.token(id);
  const json = JSON.stringify({
    messages: [{ role: "user", content: TEXT }],
    ...{ tools: null, addGenerationPrompt: true, templateKwargs: {} },
  });
  const chat = tasks.perform({ kind: "chat", json });
  if (chat.kind === "refused") said.push(chat.message);
  return { said, isLoaded: true, isChat: chat.kind === "done" };
}

const bigints = (_, each) => (typeof each === "bigint" ? `${each}` : each);
