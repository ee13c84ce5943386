/** A model's words: text to token ids and back, by the files that lie beside its weights. */
import { PocError } from "@proofmill/core";
import { TaskThread } from "../platform/task-thread.ts";
import type { AskedChat } from "./chat-prompt.ts";
import type { SamplingDefaults } from "./generation.ts";
import { TextError } from "./text-error.ts";
import { TextStream } from "./text-stream.ts";
import type { Loaded, TextReply, TextTask } from "./text-tasks.ts";
import { Vocabulary } from "./vocabulary.ts";

/** The built module, also for tests of the source: Node starts threads in JavaScript alone. */
const WORKER = new URL("../../dist/text/text-worker.js", import.meta.url);
/** Mebibytes: Qwen3's tokenizer takes 100, the longest text that is hard to tokenize some 500. */
const HEAP_MB = 1024;
/** Long, since a thread that begins reads all files again: a second for a large tokenizer. */
const IDLE_MS = 10 * 60_000;
/** Texts of so many UTF-16 units have a thread of their own, or they would keep all others waiting. */
const LONG = 32 * 1024;
const LONG_IDLE_MS = 5000;
/** Three times what the longest text takes that is hard to tokenize, one word of one letter. */
const LIMIT_MS = 30_000;
/** UTF-16 units of a text, and of a prompt that a template makes: some 250,000 tokens. */
const MAX_TEXT = 2 ** 20;

export interface ChatRequest extends AskedChat {
  /** Whether the tokens that a text begins or ends with are added to the template's; false by default. */
  readonly addSpecialTokens?: boolean;
  /** Aborts when nobody needs the prompt any more. */
  readonly signal?: AbortSignal;
}

interface EncodeOptions {
  /** Whether the tokens that a text begins or ends with are added, as the tokenizer's file says. */
  readonly addSpecialTokens: boolean;
  readonly signal?: AbortSignal;
}

export interface TextModelOptions {
  /** The model's folder. */
  readonly directory: string;
  /** Ids from here on are not the model's: a text that has them is refused. */
  readonly vocabSize: number;
  /** UTF-16 units of the longest text, and of the longest prompt that a template makes; 2²⁰ by default. */
  readonly maxText?: number;
  /** Milliseconds that a text or a template may take, the model's files included; 30,000 by default. */
  readonly limitMs?: number;
  /** Mebibytes that they may take; 1,024 by default. */
  readonly heapMb?: number;
}

/** For each token that a sequence may have, twice what it has in prose. */
const TEXT_PER_TOKEN = 8;
const LEAST_MAX_TEXT = 64 * 1024;

/**
 * UTF-16 units that a text may have where a sequence may have so many tokens: what is hard to tokenize
 * takes time and memory by its length, which a text that cannot fit need not have.
 */
export function longestText(maxLen: number): number {
  return Math.min(Math.max(LEAST_MAX_TEXT, TEXT_PER_TOKEN * maxLen), MAX_TEXT);
}

/**
 * Reads what a model's folder holds about text. Files that are missing or broken are no error: the
 * model then has no text, and says why.
 */
export async function openTextModel({
  directory,
  vocabSize,
  maxText = MAX_TEXT,
  limitMs = LIMIT_MS,
  heapMb = HEAP_MB,
}: TextModelOptions): Promise<TextModel> {
  const common = {
    entry: WORKER,
    workerData: { directory, vocabSize, maxText },
    heapMb,
    maxWaiting: 8 * MAX_TEXT,
    full: () => new TextError(429, "Too many texts are waiting to be tokenized"),
    limit: {
      ms: limitMs,
      late: () =>
        new TextError(400, `The model's tokenizer or template took more than ${limitMs / 1000} s`),
    },
  };
  const threads: Threads = {
    short: new TaskThread({ ...common, idleMs: IDLE_MS, rest: 0 }),
    long: new TaskThread({ ...common, idleMs: LONG_IDLE_MS, rest: 1, endsAbandoned: true }),
  };
  return new TextModel(await load(threads.short), { threads, maxText });
}

type Thread = TaskThread<TextTask, TextReply>;
/** Each begins with its first task. */
type Threads = Readonly<Record<"short" | "long", Thread>>;

async function load(thread: Thread): Promise<Loaded> {
  try {
    const reply = await thread.perform({ kind: "load" }, { size: 0 });
    if (reply.kind === "loaded") return reply.loaded;
    throw new Error(reply.kind === "refused" ? reply.message : `unexpected ${reply.kind}`);
  } catch (error) {
    // Too much for the thread's heap, or for its time.
    const fault = `the tokenizer cannot be loaded: ${(error as Error).message}`;
    const none = { vocabulary: null, generationFaults: [], endTokens: [], sampling: {} };
    return { ...none, textFault: fault, chatFault: fault };
  }
}

/** What is wrong, behind what comes of it; both are one fault where there is no tokenizer. */
function effects(textFault: string | null, chatFault: string | null): string[] {
  if (textFault !== null) {
    return [`chats and texts are refused, tokens alone are answered: ${textFault}`];
  }
  return chatFault === null ? [] : [`chats are refused, texts are answered: ${chatFault}`];
}

/**
 * All but what is asynchronous is cheap and done at once, on the caller's thread.
 *
 * What is asynchronous throws TextError, and PocError CALLER_GONE or SHUTTING_DOWN.
 */
export class TextModel {
  /** Tokens that end an answer: those of generation_config.json or config.json, and the tokenizer's. */
  readonly endTokens: readonly number[];
  /** By generation_config.json; empty where it says `do_sample: false`. */
  readonly samplingDefaults: SamplingDefaults;
  /** What is wrong with the model's files, or missing, each in one line that names the file. */
  readonly faults: readonly string[];
  readonly hasTokenizer: boolean;
  readonly #vocabulary: Vocabulary | null;
  readonly #textFault: string;
  readonly #chatFault: string | null;
  readonly #threads: Threads;
  readonly #maxText: number;

  /** Made by `openTextModel`. */
  constructor(loaded: Loaded, { threads, maxText }: { threads: Threads; maxText: number }) {
    const { vocabulary, textFault, chatFault, generationFaults } = loaded;
    this.endTokens = loaded.endTokens;
    this.samplingDefaults = loaded.sampling;
    this.faults = [...effects(textFault, chatFault), ...generationFaults];
    this.hasTokenizer = vocabulary !== null;
    this.#vocabulary = vocabulary && new Vocabulary(vocabulary);
    this.#textFault = textFault ?? "";
    this.#chatFault = chatFault;
    this.#threads = threads;
    this.#maxText = maxText;
  }

  async encode(text: string, { addSpecialTokens, signal }: EncodeOptions): Promise<Uint32Array> {
    this.#known();
    if (text.length > this.#maxText) throw this.#tooLong(text.length);
    const task = { kind: "encode", text, addSpecialTokens } as const;
    return (await this.#perform(task, { size: 2 * text.length, signal })).ids;
  }

  /**
   * The text of tokens, bytes that are no UTF-8 replaced by U+FFFD. Ids that no token has are no text.
   *
   * @throws TextError where the model has no tokenizer
   */
  decode(
    ids: Iterable<number>,
    { skipSpecialTokens }: { readonly skipSpecialTokens: boolean },
  ): string {
    return this.#known().decode(ids, skipSpecialTokens);
  }

  /** A chat's prompt: its template's text, and that text's tokens, to which none are added. */
  async chat(request: ChatRequest): Promise<{ text: string; ids: Uint32Array }> {
    this.#known();
    if (this.#chatFault !== null)
      throw new TextError(400, `The model has no chat: ${this.#chatFault}`);
    const { signal, ...asked } = request;
    // As text, which is counted in one go and takes the thread no time to be sent.
    const json = JSON.stringify(asked);
    if (json.length > 2 * this.#maxText) throw this.#tooLong(json.length);
    const options = { size: 2 * json.length, signal };
    return await this.#perform({ kind: "chat", json }, options);
  }

  /**
   * The text of an answer as it grows.
   *
   * @throws TextError where the model has no tokenizer
   */
  stream(options = { skipSpecialTokens: true }): TextStream {
    return new TextStream(this.#known(), options.skipSpecialTokens);
  }

  /**
   * A token alone: its bytes, and what of them is text.
   *
   * @throws TextError where the model has no tokenizer
   */
  token(id: number): { text: string; bytes: number[] } {
    return this.#known().token(id);
  }

  /** Refuses what waits. */
  async close(): Promise<void> {
    await Promise.all([this.#threads.short.close(), this.#threads.long.close()]);
  }

  #known(): Vocabulary {
    if (this.#vocabulary) return this.#vocabulary;
    throw new TextError(400, `The model takes token ids alone: ${this.#textFault}`);
  }

  async #perform(
    task: TextTask,
    options: { size: number; signal?: AbortSignal | undefined },
  ): Promise<{ text: string; ids: Uint32Array }> {
    let reply: TextReply;
    try {
      const { short, long } = this.#threads;
      reply = await (options.size < 2 * LONG ? short : long).perform(task, options);
    } catch (error) {
      if (error instanceof TextError || error instanceof PocError) throw error;
      // The thread has ended, of too little memory for example.
      throw new TextError(400, `The text could not be tokenized: ${(error as Error).message}`);
    }
    if (reply.kind === "done") return reply;
    throw new TextError(400, reply.kind === "refused" ? reply.message : `unexpected ${reply.kind}`);
  }

  #tooLong(length: number): TextError {
    const most = this.#maxText;
    const message = `The text has ${length} characters, expected at most ${most}`;
    return new TextError(400, message, "context_length_exceeded");
  }
}
