/**
 * A tokenizer's parts that split a text, written such that the library splits as the file's authors'
 * own program does. It knows Unicode in what is given to it as a pattern, and not in all of its parts.
 */

interface Part {
  readonly type?: unknown;
  readonly [option: string]: unknown;
}

const GPT2 = "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+";

/** @param part `pre_tokenizer` of tokenizer.json, whatever it is */
export function preTokenizerOf(part: unknown): unknown {
  if (!isPart(part)) return part;
  if (part.type === "Sequence" && Array.isArray(part.pretokenizers)) {
    return { ...part, pretokenizers: part.pretokenizers.map(preTokenizerOf) };
  }
  // Of numbers the library's own takes decimal digits alone: no ½ and no Ⅷ.
  if (part.type === "Digits") return isolated(part.individual_digits ? "\\p{N}" : "\\p{N}+");
  // Its own takes a byte-order mark for white space, and a next-line character for none.
  if (part.type === "ByteLevel" && part.use_regex !== false && !part.add_prefix_space) {
    return sequence(isolated(GPT2), { ...part, use_regex: false });
  }
  // Its own never splits.
  if (part.type === "Metaspace" && part.split !== false) {
    const { replacement = "▁" } = part;
    const space = typeof replacement === "string" ? escaped(replacement) : "";
    if (space !== "") return sequence(part, isolated(`${space}(?:(?!${space})[\\s\\S])*`));
  }
  return part;
}

function isPart(value: unknown): value is Part {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function sequence(...pretokenizers: Part[]): Part {
  return { type: "Sequence", pretokenizers };
}

function isolated(pattern: string): Part {
  return { type: "Split", pattern: { Regex: pattern }, behavior: "Isolated", invert: false };
}

function escaped(text: string): string {
  return text.replace(/[\\^$.*+?()[\]{}|/-]/g, "\\$&");
}
