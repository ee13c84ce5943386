/** The files of a model's tokenizer, as transformers writes them; anybody may have written these. */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { Tokenizer } from "@huggingface/tokenizers";
import { readBounded, readJsonFile } from "@proofmill/native/model/json-file";
import { preTokenizerOf } from "./pre-tokenizer.ts";

/** Twice the largest that is known, with 262,144 tokens. */
const MAX_TOKENIZER_BYTES = 64 * 2 ** 20;
/** A merge is three of them. */
const MAX_TOKENIZER_VALUES = 4_000_000;
/** Special tokens stand in it once more; and templates of 100 kB are known. */
const MAX_CONFIG_BYTES = 16 * 2 ** 20;
const MAX_TEMPLATE_BYTES = 2 ** 20;
/** No model has as many tokens: tables are made for all ids below the highest. */
const MAX_ID = 2 ** 22;

/** The kinds of models that the tokenizers library knows. */
const MODELS: readonly unknown[] = ["BPE", "Unigram", "WordPiece"];

export type JsonObject = Readonly<Record<string, unknown>>;

interface AddedToken {
  readonly id: number;
  readonly content: string;
  readonly special: boolean;
}

export interface TokenizerFiles {
  /** tokenizer.json. */
  readonly tokenizer: JsonObject;
  /** tokenizer_config.json; empty where there is none. */
  readonly config: JsonObject;
  /** Tokens by their ids; added ones are among `added` alone. */
  readonly vocab: ReadonlyMap<string, number>;
  readonly added: readonly AddedToken[];
  /** The token that ends a text; null: none is named. */
  readonly eosId: number | null;
}

/** @throws Error in one line that begins with the file's path */
export function readTokenizer(directory: string): TokenizerFiles {
  const path = join(directory, "tokenizer.json");
  const tokenizer = readJsonFile(path, MAX_TOKENIZER_BYTES, MAX_TOKENIZER_VALUES);
  const expect = (isSo: boolean, what: string) => {
    if (!isSo) throw new Error(`${path}: ${what}`);
  };
  if (!isObject(tokenizer)) throw new Error(`${path}: is not an object`);
  const { model, added_tokens: addedTokens = [] } = tokenizer;
  if (!isObject(model)) throw new Error(`${path}: model is not an object`);
  const entries = Array.isArray(model.vocab)
    ? model.vocab.map((each: unknown, id) => [Array.isArray(each) ? each[0] : null, id])
    : isObject(model.vocab)
      ? Object.entries(model.vocab)
      : [];
  expect(entries.length > 0, "model.vocab has no tokens");
  // Older files leave it out.
  const type = model.type ?? (Array.isArray(model.merges) ? "BPE" : undefined);
  expect(
    MODELS.includes(type),
    `model.type is ${said(type)}, expected one of ${MODELS.join(", ")}`,
  );
  for (const [token, id] of entries) {
    expect(typeof token === "string" && isId(id), `model.vocab: ${said(token)} has no valid id`);
  }
  if (!Array.isArray(addedTokens)) throw new Error(`${path}: added_tokens is not a list`);
  const added = addedTokens.map((each: unknown, i) => {
    if (isObject(each) && typeof each.content === "string" && each.content && isId(each.id)) {
      // The library would find it within words, too.
      expect(!each.single_word, `added_tokens[${i}] has single_word, which is not supported`);
      return { id: each.id, content: each.content, special: each.special === true };
    }
    throw new Error(`${path}: added_tokens[${i}] has no content or no valid id`);
  });
  const vocab = new Map(entries as [string, number][]);
  const config = readConfig(directory);
  const eos = config.eos_token;
  const eosId = added.find(({ content }) => content === eos)?.id ?? vocab.get(`${eos}`) ?? null;
  const complete = { ...tokenizer, model: { ...model, type }, added_tokens: addedTokens };
  return { tokenizer: complete, config, vocab, added, eosId };
}

/** @throws Error in one line, where the tokenizers library does not know what the file names */
export function buildTokenizer({ tokenizer, config }: TokenizerFiles): Tokenizer {
  const { warn } = console;
  try {
    // The library says so of what it does not know, and goes on without it: ids would be wrong.
    console.warn = (...words: unknown[]) => {
      throw new Error(words.map((each) => String(each)).join(" "));
    };
    const pre_tokenizer = preTokenizerOf(tokenizer.pre_tokenizer);
    return new Tokenizer({ ...tokenizer, pre_tokenizer }, config);
  } catch (error) {
    const { name, message } = error as Error;
    // What a language says of it is no help to anybody.
    const isSaid = name === "Error" && !/undefined|\[object/.test(message);
    const why = isSaid ? message : "a part is not of the form that it has in such files";
    throw new Error(`tokenizer.json: cannot be used: ${why.replace(/\s+/g, " ").slice(0, 300)}`);
  } finally {
    console.warn = warn;
  }
}

/** tokenizer_config.json, each of its tokens as text. */
function readConfig(directory: string): JsonObject {
  const read = (name: string) => {
    const path = join(directory, name);
    const content = existsSync(path) ? readJsonFile(path, MAX_CONFIG_BYTES) : {};
    if (isObject(content)) return content;
    throw new Error(`${path}: is not an object`);
  };
  const config = { ...read("special_tokens_map.json"), ...read("tokenizer_config.json") };
  const named = Object.entries(config).map(([name, value]) => {
    const content = isObject(value) && /_token$/.test(name) ? value.content : value;
    return [name, content];
  });
  return Object.fromEntries(named);
}

/**
 * A model's chat templates by their names; most have the one, `default`.
 *
 * @throws Error in one line: there is none, or a file is broken
 */
export function readTemplates(directory: string, config: JsonObject): ReadonlyMap<string, string> {
  const jinja = join(directory, "chat_template.jinja");
  if (existsSync(jinja)) {
    const text = new TextDecoder().decode(readBounded(jinja, MAX_TEMPLATE_BYTES));
    return new Map([["default", text]]);
  }
  const json = join(directory, "chat_template.json");
  const content = existsSync(json) ? readJsonFile(json, 2 * MAX_TEMPLATE_BYTES) : config;
  const template = isObject(content) ? content.chat_template : undefined;
  if (typeof template === "string") return new Map([["default", template]]);
  if (Array.isArray(template)) {
    const named = template.filter(
      (each): each is { name: string; template: string } =>
        isObject(each) && typeof each.name === "string" && typeof each.template === "string",
    );
    if (named.length > 0) return new Map(named.map((each) => [each.name, each.template]));
  }
  if (template === undefined || template === null) {
    throw new Error(`${directory} has no chat_template in its tokenizer's files`);
  }
  throw new Error(`${directory}: chat_template is neither text nor a list of named templates`);
}

function isId(value: unknown): value is number {
  return Number.isInteger(value) && (value as number) >= 0 && (value as number) < MAX_ID;
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function said(token: unknown): string {
  return (JSON.stringify(token) ?? "nothing").slice(0, 80);
}
