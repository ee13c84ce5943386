/**
 * A byte-level tokenizer in the format of Hugging Face's tokenizers: a token for each byte, no
 * merges, so that any text has a form in the demo model's vocabulary.
 */

import { byteCharacters } from "../text/byte-alphabet.ts";

/** Ids after the 256 bytes. */
const SPECIAL_TOKENS = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"];

const CHAT_TEMPLATE =
  "{%- if tools %}" +
  "{{- '<|im_start|>system\\n# Tools\\n' }}" +
  "{%- for tool in tools %}{{- (tool | tojson) + '\\n' }}{%- endfor %}" +
  "{{- '<|im_end|>\\n' }}" +
  "{%- endif %}" +
  "{%- for message in messages %}" +
  "{{- '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>\\n' }}" +
  "{%- endfor %}" +
  "{%- if add_generation_prompt %}{{- '<|im_start|>assistant\\n' }}{%- endif %}";

/** The content of tokenizer_config.json, without the model's length. */
export const TOKENIZER_CONFIG = {
  tokenizer_class: "Qwen2Tokenizer",
  add_bos_token: false,
  add_prefix_space: false,
  bos_token: null,
  eos_token: "<|im_end|>",
  pad_token: "<|endoftext|>",
  unk_token: null,
  clean_up_tokenization_spaces: false,
  chat_template: CHAT_TEMPLATE,
};

/** The content of tokenizer.json. */
export function byteLevelTokenizer(): object {
  const vocab = Object.fromEntries(byteCharacters().map((character, byte) => [character, byte]));
  const byteLevel = {
    type: "ByteLevel",
    add_prefix_space: false,
    trim_offsets: false,
    use_regex: false,
  };
  return {
    version: "1.0",
    truncation: null,
    padding: null,
    added_tokens: SPECIAL_TOKENS.map((content, i) => ({
      id: 256 + i,
      content,
      single_word: false,
      lstrip: false,
      rstrip: false,
      normalized: false,
      special: true,
    })),
    normalizer: null,
    pre_tokenizer: byteLevel,
    post_processor: byteLevel,
    decoder: byteLevel,
    model: {
      type: "BPE",
      dropout: null,
      unk_token: null,
      continuing_subword_prefix: "",
      end_of_word_suffix: "",
      fuse_unk: false,
      byte_fallback: false,
      ignore_merges: false,
      vocab,
      merges: [],
    },
  };
}
