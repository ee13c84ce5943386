/** A model's chat template, rendered as transformers does. */
import { Environment, Interpreter, parse, tokenize } from "@huggingface/jinja";
import type { ExactNumbers } from "./exact-numbers.ts";
import { strftime } from "./strftime.ts";
import { pythonFunctions, withPythonSemantics } from "./template-semantics.ts";
import type { JsonObject } from "./tokenizer-files.ts";

/** More would fill the thread's memory before its time is out. */
const MAX_RANGE = 100_000;
/** Of the tokenizer's tokens these are told to the template, those that there are. */
const TOKEN_NAMES = ["bos", "eos", "unk", "sep", "pad", "cls", "mask"].map((n) => `${n}_token`);

interface Rendering {
  readonly messages: readonly object[];
  readonly tools: readonly object[] | null;
  readonly documents: readonly object[] | null;
  readonly addGenerationPrompt: boolean;
  /** Whatever else the template is told; none of what it is told anyway. */
  readonly kwargs: JsonObject;
  /** By which numbers are told from texts, where they are given as such. */
  readonly numbers: Pick<ExactNumbers, "isNumber">;
  /** UTF-16 units that may come out. */
  readonly maxText: number;
}

export class ChatTemplate {
  readonly #parsed = new Map<string, ReturnType<typeof parse>>();
  readonly #texts: readonly string[];
  readonly #tokens: JsonObject;

  /** @throws Error in one line, where a template is no Jinja */
  constructor(templates: ReadonlyMap<string, string>, config: JsonObject) {
    this.#texts = [...templates.values()];
    for (const [name, text] of templates) {
      try {
        const tokens = tokenize(text, { lstrip_blocks: true, trim_blocks: true });
        this.#parsed.set(name, withPythonSemantics(parse(tokens)));
      } catch (error) {
        throw new Error(`the chat template cannot be read: ${oneLine(error)}`);
      }
    }
    this.#tokens = Object.fromEntries(
      TOKEN_NAMES.filter((name) => typeof config[name] === "string").map((name) => [
        name,
        config[name],
      ]),
    );
  }

  /** Whether this word stands in it. */
  names(word: string): boolean {
    return this.#texts.some((text) => text.includes(word));
  }

  /** @throws Error in one line: what the template says by raise_exception, or fails of */
  render({ messages, tools, documents, ...asked }: Rendering): string {
    const { addGenerationPrompt, kwargs, numbers, maxText } = asked;
    const template =
      (tools && this.#parsed.get("tool_use")) ??
      this.#parsed.get("default") ??
      [...this.#parsed.values()][0];
    if (!template) throw new Error("the model has no chat template");
    const environment = new Environment();
    const variables = {
      ...kwargs,
      ...globals(numbers),
      ...this.#tokens,
      messages,
      tools: tools?.length ? tools : null,
      documents: documents?.length ? documents : null,
      add_generation_prompt: addGenerationPrompt,
    };
    let text: unknown;
    try {
      for (const [name, value] of Object.entries(variables)) environment.set(name, value);
      text = new Interpreter(environment).run(template).value;
    } catch (error) {
      if (error instanceof Raised) throw error;
      throw new Error(`the chat template fails: ${oneLine(error)}`);
    }
    if (typeof text !== "string" || text.length > maxText) {
      throw new Error(`the chat template makes more than ${maxText} characters`);
    }
    return text;
  }
}

/** What a template says of messages that it does not take. */
class Raised extends Error {}

function globals(numbers: Rendering["numbers"]): Record<string, unknown> {
  return {
    ...{ true: true, false: false, none: null, True: true, False: false, None: null },
    ...pythonFunctions((text) => numbers.isNumber(text)),
    raise_exception: (message: unknown) => {
      throw new Raised(`the chat template refuses: ${message}`);
    },
    range,
    strftime_now: (format: unknown) => strftime(new Date(), `${format}`),
  };
}

function range(first: number, second?: number, step = 1): number[] {
  const [start, stop] = second === undefined ? [0, first] : [first, second];
  const length = Math.max(0, Math.ceil((stop - start) / step));
  if (!(length <= MAX_RANGE)) throw new Error(`range() has more than ${MAX_RANGE} numbers`);
  return Array.from({ length }, (_, i) => start + i * step);
}

function oneLine(error: unknown): string {
  const { name, message } = error as Error;
  if (name === "TypeError") return "a value is not of the kind that it takes";
  return message.replace(/\s+/g, " ").slice(0, 300);
}
