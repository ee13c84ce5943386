/**
 * Tool calls in the form that Hermes and Qwen models write them, told apart from an answer's text:
 * `<tool_call>\n{"name": …, "arguments": …}\n</tool_call>`.
 */
import { randomUUID } from "node:crypto";

const OPEN = "<tool_call>";
const CLOSE = "</tool_call>";
/** A call up to its arguments, in the order in which models are told to write it. */
const HEAD = /^\s*\{\s*"name"\s*:\s*("(?:[^"\\]|\\.)*")\s*,\s*"arguments"\s*:\s*(?=\{)/;
/** No name is so long; beyond, a call is told when it is complete. */
const MAX_HEAD = 1024;

/** A part of an answer; calls are numbered from 0, in their order. */
export type AnswerPart =
  | { readonly kind: "content"; readonly text: string }
  | { readonly kind: "call"; readonly index: number; readonly id: string; readonly name: string }
  /** JSON that goes on where the last part with this index ended. */
  | { readonly kind: "arguments"; readonly index: number; readonly text: string };

interface ToolCall {
  readonly id: string;
  readonly type: "function";
  /** `arguments` is JSON, as the model wrote it. */
  readonly function: { readonly name: string; readonly arguments: string };
}

/**
 * Splits an answer as it grows. What is no call stays text, spaces after a call left out.
 *
 * A call's arguments are told as they come, so that one that turns out malformed, or that ends in
 * the middle, has been told so far; otherwise a malformed one is text.
 */
export class ToolCallParser {
  readonly #isWhole: boolean;
  /** What has come and is not told. */
  #text = "";
  #state: "content" | "call" | "arguments" | "after arguments" = "content";
  #object = new ObjectEnd();
  /** Characters of a call among which its end was looked for, each once. */
  #searched = 0;
  #calls = 0;
  /** Whether a call has ended and nothing but spaces came since: they are no part of the text. */
  #isAfterCall = false;

  /** @param options.isWhole a call is told when it is complete, and is well-formed then */
  constructor({ isWhole = false }: { readonly isWhole?: boolean } = {}) {
    this.#isWhole = isWhole;
  }

  /** How many calls were told. */
  get calls(): number {
    return this.#calls;
  }

  push(text: string): AnswerPart[] {
    this.#text += text;
    const parts: AnswerPart[] = [];
    while (this.#step(parts));
    return parts;
  }

  /** The answer has ended. */
  end(): AnswerPart[] {
    const parts: AnswerPart[] = [];
    const isCall = this.#state === "call" && this.#tellCall(this.#text.slice(OPEN.length), parts);
    if (!isCall && (this.#state === "call" || this.#state === "content")) {
      if (this.#calls === 0 || this.#text.trim() !== "") tellContent(this.#text, parts);
    }
    this.#text = "";
    return parts;
  }

  /** @returns whether there may be more to do */
  #step(parts: AnswerPart[]): boolean {
    switch (this.#state) {
      case "content":
        return this.#stepContent(parts);
      case "call":
        return this.#stepCall(parts);
      case "arguments": {
        const end = this.#object.find(this.#text);
        const text = this.#take(end ?? this.#text.length);
        if (text !== "") parts.push({ kind: "arguments", index: this.#calls - 1, text });
        if (end === null) return false;
        this.#state = "after arguments";
        return true;
      }
      case "after arguments": {
        const close = this.#text.indexOf(CLOSE);
        if (close < 0) return false;
        this.#take(close + CLOSE.length);
        this.#state = "content";
        this.#isAfterCall = true;
        return true;
      }
    }
  }

  #stepContent(parts: AnswerPart[]): boolean {
    if (this.#isAfterCall) {
      this.#text = this.#text.trimStart();
      this.#isAfterCall = this.#text === "";
    }
    const open = this.#text.indexOf(OPEN);
    const end = open < 0 ? this.#text.length - beginning(this.#text, OPEN) : open;
    tellContent(this.#take(end), parts);
    if (open < 0) return false;
    this.#state = "call";
    this.#searched = 0;
    return true;
  }

  #stepCall(parts: AnswerPart[]): boolean {
    const body = this.#text.slice(OPEN.length);
    const head = this.#isWhole ? null : HEAD.exec(body.slice(0, MAX_HEAD));
    const name = head && readName(head[1]);
    if (head && name !== null) {
      this.#tellName(name, parts);
      this.#take(OPEN.length + head[0].length);
      this.#object = new ObjectEnd();
      this.#state = "arguments";
      return true;
    }
    const isThere = this.#text.includes(CLOSE, this.#searched);
    this.#searched = Math.max(0, this.#text.length - CLOSE.length + 1);
    const close = isThere ? closeOf(body) : null;
    if (close === null) return false;
    this.#isAfterCall = this.#tellCall(body.slice(0, close), parts);
    if (!this.#isAfterCall) {
      tellContent(this.#text.slice(0, OPEN.length + close + CLOSE.length), parts);
    }
    this.#take(OPEN.length + close + CLOSE.length);
    this.#state = "content";
    return true;
  }

  /** @returns whether the text between the tags is a call */
  #tellCall(body: string, parts: AnswerPart[]): boolean {
    let call: unknown;
    try {
      call = JSON.parse(body);
    } catch {
      return false;
    }
    if (typeof call !== "object" || call === null || !("name" in call)) return false;
    const { name, arguments: given = {} } = call as { name: unknown; arguments?: unknown };
    if (typeof name !== "string" || name === "" || given === null) return false;
    this.#tellName(name, parts);
    const text = typeof given === "string" ? given : (written(body) ?? JSON.stringify(given));
    parts.push({ kind: "arguments", index: this.#calls - 1, text });
    return true;
  }

  #tellName(name: string, parts: AnswerPart[]): void {
    const id = `call_${randomUUID().replaceAll("-", "").slice(0, 24)}`;
    parts.push({ kind: "call", index: this.#calls++, id, name });
  }

  #take(length: number): string {
    const taken = this.#text.slice(0, length);
    this.#text = this.#text.slice(length);
    return taken;
  }
}

/**
 * A complete answer; a malformed call stays in its content.
 *
 * @returns content null where there is none beside calls
 */
export function parseToolCalls(answer: string): {
  content: string | null;
  toolCalls: ToolCall[];
} {
  const parser = new ToolCallParser({ isWhole: true });
  let content = "";
  const toolCalls: ToolCall[] = [];
  let begun = { id: "", name: "" };
  for (const part of [...parser.push(answer), ...parser.end()]) {
    if (part.kind === "content") content += part.text;
    else if (part.kind === "call") begun = part;
    else {
      const { id, name } = begun;
      toolCalls.push({ id, type: "function", function: { name, arguments: part.text } });
    }
  }
  return { content: content === "" && toolCalls.length > 0 ? null : content, toolCalls };
}

/** Finds where a JSON object ends that comes in pieces. */
class ObjectEnd {
  #depth = 0;
  #isInString = false;
  #isEscaped = false;

  /** @returns the index after its last character; null: it goes on */
  find(text: string): number | null {
    for (let i = 0; i < text.length; i++) {
      const character = text[i];
      if (this.#isEscaped) this.#isEscaped = false;
      else if (this.#isInString && character === "\\") this.#isEscaped = true;
      else if (character === '"') this.#isInString = !this.#isInString;
      else if (this.#isInString) continue;
      else if (character === "{" || character === "[") this.#depth++;
      else if ((character === "}" || character === "]") && --this.#depth === 0) return i + 1;
    }
    return null;
  }
}

/** Where a call ends: strings inside may hold the same characters. */
function closeOf(body: string): number | null {
  const object = body.trimStart().startsWith("{") ? new ObjectEnd().find(body) : 0;
  const close = object === null ? -1 : body.indexOf(CLOSE, object);
  return close < 0 ? null : close;
}

/** The arguments as they stand in a call that was read, where they are an object in the usual place. */
function written(body: string): string | null {
  const head = HEAD.exec(body);
  if (!head) return null;
  const rest = body.slice(head[0].length);
  return rest.slice(0, new ObjectEnd().find(rest) ?? 0);
}

/** A name as JSON has it; null: it is none. */
function readName(json: string | undefined): string | null {
  try {
    return JSON.parse(json ?? "") || null;
  } catch {
    return null;
  }
}

/** How many of the text's last characters `tag` may begin with. */
function beginning(text: string, tag: string): number {
  let length = Math.min(tag.length - 1, text.length);
  while (!tag.startsWith(text.slice(text.length - length))) length--;
  return length;
}

function tellContent(text: string, parts: AnswerPart[]): void {
  if (text !== "") parts.push({ kind: "content", text });
}
