/** What a tokenizer's decoder makes of each token, as a table: then no decoder runs with an answer. */
import { byteCharacters } from "./byte-alphabet.ts";
import type { TokenizerFiles } from "./tokenizer-files.ts";
import type { VocabularyTable } from "./vocabulary.ts";

/** A decoder in parts, the first first. */
type Step =
  | { readonly kind: "bytes" } // GPT-2's alphabet
  | { readonly kind: "byte tokens" } // <0x0A>
  | { readonly kind: "replace"; readonly from: string; readonly to: string };

/** @throws Error in one line, where a text's tokens do not stand for the same bytes wherever they are */
export function tableOf({ tokenizer, vocab, added }: TokenizerFiles): VocabularyTable {
  const { steps, beginsWithSpace } = readDecoder(tokenizer.decoder);
  const alphabet = new Map(byteCharacters().map((character, byte) => [character, byte]));
  const encoder = new TextEncoder();
  const bytesOf = (token: string): Uint8Array => {
    let text = token;
    for (const step of steps) {
      if (step.kind === "replace") text = text.replaceAll(step.from, step.to);
      else if (step.kind === "byte tokens") {
        const byte = /^<0x([0-9A-Fa-f]{2})>$/.exec(text)?.[1];
        if (byte !== undefined) return Uint8Array.of(Number.parseInt(byte, 16));
      } else {
        const bytes = Array.from(text, (character) => alphabet.get(character));
        // A token with any other character stands for itself.
        if (bytes.every((byte) => byte !== undefined)) return Uint8Array.from(bytes);
      }
    }
    return encoder.encode(text);
  };

  let size = 0;
  for (const id of vocab.values()) size = Math.max(size, id + 1);
  for (const { id } of added) size = Math.max(size, id + 1);
  const pieces = new Array<Uint8Array | undefined>(size);
  for (const [token, id] of vocab) pieces[id] = bytesOf(token);
  const special = new Uint8Array(size);
  for (const token of added) {
    pieces[token.id] = encoder.encode(token.content);
    special[token.id] = token.special ? 1 : 0;
  }
  const starts = new Uint32Array(size + 1);
  for (let id = 0; id < size; id++) starts[id + 1] = (starts[id] ?? 0) + (pieces[id]?.length ?? 0);
  const bytes = new Uint8Array(starts[size] ?? 0);
  for (let id = 0; id < size; id++) bytes.set(pieces[id] ?? [], starts[id]);
  return { starts, bytes, special, beginsWithSpace };
}

function readDecoder(decoder: unknown): { steps: Step[]; beginsWithSpace: boolean } {
  const steps: Step[] = [];
  let beginsWithSpace = false;
  let isFused = false;
  for (const part of flatten(decoder)) {
    const { type, content, pattern, replacement = "▁", start = 0, stop = 0 } = part;
    const from = (pattern as { String?: unknown } | null | undefined)?.String;
    if (type === "ByteLevel") steps.push({ kind: "bytes" });
    else if (type === "ByteFallback") steps.push({ kind: "byte tokens" });
    else if (type === "Fuse") isFused = true;
    else if (
      type === "Replace" &&
      typeof from === "string" &&
      from &&
      typeof content === "string"
    ) {
      steps.push({ kind: "replace", from, to: content });
    } else if (type === "Metaspace" && typeof replacement === "string" && replacement) {
      steps.push({ kind: "replace", from: replacement, to: " " });
      beginsWithSpace ||= part.prepend_scheme !== "never" && part.add_prefix_space !== false;
    } else if (type === "Strip" && isFused && content === " " && start === 1 && stop === 0) {
      beginsWithSpace = true;
    } else throw new Error(`tokenizer.json: the decoder ${said(part)} is not known`);
  }
  if (steps.length === 0) throw new Error("tokenizer.json: has no decoder");
  return { steps, beginsWithSpace };
}

function flatten(decoder: unknown): Record<string, unknown>[] {
  if (decoder === null || decoder === undefined) return [];
  if (typeof decoder !== "object" || Array.isArray(decoder)) {
    throw new Error(`tokenizer.json: the decoder ${said(decoder)} is not an object`);
  }
  const { type, decoders } = decoder as Record<string, unknown>;
  if (type === "Sequence" && Array.isArray(decoders)) return decoders.flatMap(flatten);
  return [decoder as Record<string, unknown>];
}

function said(part: unknown): string {
  return JSON.stringify(part).slice(0, 200);
}
