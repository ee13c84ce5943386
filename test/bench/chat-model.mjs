// A model on disk that answers: a shape's sizes, random weights, and a text for every token.
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { writeRandomModel } from "@proofmill/native/model/random-model";
import { shapeConfig, shapeFile } from "@proofmill/native/model/shapes";
import {
  byteLevelTokenizer,
  TOKENIZER_CONFIG,
} from "../../packages/server/dist/models/demo-tokenizer.js";

/** @param {string} directory @param {string} shape */
export async function writeChatModel(directory, shape) {
  await writeRandomModel({ directory, config: shapeFile(shape), seed: 1 });
  const tokenizer = byteLevelTokenizer();
  const { vocab } = tokenizer.model;
  const first = Object.keys(vocab).length + tokenizer.added_tokens.length;
  for (let id = first; id < shapeConfig(shape).vocab_size; id++) vocab[`word${id}`] = id;
  writeFileSync(join(directory, "tokenizer.json"), JSON.stringify(tokenizer));
  writeFileSync(join(directory, "tokenizer_config.json"), JSON.stringify(TOKENIZER_CONFIG));
}
