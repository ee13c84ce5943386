/** What the thread of a text model does; it knows no requests. */
import type { Tokenizer } from "@huggingface/tokenizers";
import { promptOf } from "./chat-prompt.ts";
import { ChatTemplate } from "./chat-template.ts";
import { readGeneration, type SamplingDefaults } from "./generation.ts";
import {
  buildTokenizer,
  readTemplates,
  readTokenizer,
  type TokenizerFiles,
} from "./tokenizer-files.ts";
import type { VocabularyTable } from "./vocabulary.ts";
import { tableOf } from "./vocabulary-table.ts";

export type TextTask =
  | { readonly kind: "load" }
  | { readonly kind: "encode"; readonly text: string; readonly addSpecialTokens: boolean }
  /** A `ChatRequest` as JSON. */
  | { readonly kind: "chat"; readonly json: string };

/** What the caller's side keeps of a model's files. */
export interface Loaded {
  /** null: the model has no tokenizer. */
  readonly vocabulary: VocabularyTable | null;
  /** Why there is no text; null: there is. */
  readonly textFault: string | null;
  /** Why there is no chat; null: there is. */
  readonly chatFault: string | null;
  /** What is left out of endTokens and sampling, and why. */
  readonly generationFaults: readonly string[];
  readonly endTokens: readonly number[];
  readonly sampling: SamplingDefaults;
}

export type TextReply =
  | { readonly kind: "loaded"; readonly loaded: Loaded }
  | { readonly kind: "done"; readonly text: string; readonly ids: Uint32Array<ArrayBuffer> }
  | { readonly kind: "refused"; readonly message: string };

interface TextTasksOptions {
  readonly directory: string;
  readonly vocabSize: number;
  /** UTF-16 units of a prompt that a template makes. */
  readonly maxText: number;
}

interface Words {
  readonly files: TokenizerFiles;
  readonly tokenizer: Tokenizer;
}

/** Reads files with the first task. Never throws, but for what a thread cannot survive. */
export class TextTasks {
  readonly #options: TextTasksOptions;
  #words: Words | Error | null = null;
  #template: ChatTemplate | Error | null = null;

  constructor(options: TextTasksOptions) {
    this.#options = options;
  }

  perform(task: TextTask): TextReply {
    try {
      if (task.kind === "load") return { kind: "loaded", loaded: this.#load() };
      if (task.kind === "encode") {
        return { kind: "done", text: "", ids: this.#encode(task.text, task.addSpecialTokens) };
      }
      const { addSpecialTokens = false, ...asked } = JSON.parse(task.json);
      const text = promptOf(this.#readTemplate(), asked, this.#options.maxText);
      return { kind: "done", text, ids: this.#encode(text, addSpecialTokens) };
    } catch (error) {
      return { kind: "refused", message: (error as Error).message };
    }
  }

  /** What of a reply may be given away. */
  static given(reply: TextReply): ArrayBuffer[] {
    if (reply.kind === "done") return [reply.ids.buffer];
    if (reply.kind === "refused" || !reply.loaded.vocabulary) return [];
    const { starts, bytes, special } = reply.loaded.vocabulary;
    return [starts.buffer, bytes.buffer, special.buffer];
  }

  #load(): Loaded {
    const words = orError(() => this.#readWords());
    const table = orError(() => tableOf(this.#readWords().files));
    const template = orError(() => this.#readTemplate());
    const { directory, vocabSize } = this.#options;
    const { endTokens, sampling, faults } = readGeneration({
      directory,
      vocabSize,
      tokenizerEnd: words instanceof Error ? null : words.files.eosId,
    });
    return {
      vocabulary: table instanceof Error ? null : table,
      textFault: table instanceof Error ? table.message : null,
      chatFault: template instanceof Error ? template.message : null,
      generationFaults: faults,
      endTokens,
      sampling,
    };
  }

  #encode(text: string, addSpecialTokens: boolean): Uint32Array<ArrayBuffer> {
    const { tokenizer } = this.#readWords();
    let ids: number[];
    try {
      ids = tokenizer.encode(text, { add_special_tokens: addSpecialTokens }).ids;
    } catch {
      // Of a file that is not as the library takes it to be; what it says then helps nobody.
      throw new Error("tokenizer.json: the tokenizer fails on this text");
    }
    const { vocabSize } = this.#options;
    const bad = ids.find((id) => !(id < vocabSize));
    if (bad === undefined) return Uint32Array.from(ids);
    throw new Error(
      Number.isInteger(bad)
        ? `The text has the token ${bad}, but the model knows those below ${vocabSize} alone`
        : "The tokenizer has no tokens for some characters of the text",
    );
  }

  #readWords(): Words {
    this.#words ??= orError(() => {
      const files = readTokenizer(this.#options.directory);
      return { files, tokenizer: buildTokenizer(files) };
    });
    if (this.#words instanceof Error) throw this.#words;
    return this.#words;
  }

  #readTemplate(): ChatTemplate {
    this.#template ??= orError(() => {
      const { config } = this.#readWords().files;
      return new ChatTemplate(readTemplates(this.#options.directory, config), config);
    });
    if (this.#template instanceof Error) throw this.#template;
    return this.#template;
  }
}

function orError<T>(read: () => T): T | Error {
  try {
    return read();
  } catch (error) {
    return error as Error;
  }
}
