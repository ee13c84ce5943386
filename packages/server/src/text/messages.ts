/** Messages of OpenAI's API in the form that chat templates take. */
import type { ExactNumbers } from "./exact-numbers.ts";

export interface PreparedMessage {
  readonly role: string;
  readonly content: string;
  readonly [field: string]: unknown;
}

/**
 * @param options.template says whether it has a word in its text
 * @param options.numbers by which those of calls' arguments are parsed
 * @throws Error in one line that names the message
 */
export function prepareMessages(
  messages: unknown,
  { template, numbers }: { template: { names(word: string): boolean }; numbers: ExactNumbers },
): PreparedMessage[] {
  if (!Array.isArray(messages) || messages.length === 0) {
    throw new Error("messages must be a list of at least one message");
  }
  return messages.map((message: unknown, i) => {
    if (!isObject(message) || typeof message.role !== "string") {
      throw new Error(`messages[${i}] has no role`);
    }
    const { role, tool_calls: calls, ...rest } = message;
    const prepared = {
      // OpenAI's newer name: templates that do not know it would leave such a message out.
      role: role === "developer" && !template.names("developer") ? "system" : role,
      // Clients send answers back with every field that they had, and templates ask whether one is there.
      ...Object.fromEntries(Object.entries(rest).filter(([, value]) => value !== null)),
      content: textOf(message.content, `messages[${i}].content`),
    };
    if (calls === undefined || calls === null) return prepared;
    if (!Array.isArray(calls)) throw new Error(`messages[${i}].tool_calls is not a list`);
    return calls.length === 0
      ? prepared
      : { ...prepared, tool_calls: calls.map((call) => withArguments(call, numbers)) };
  });
}

/** Templates want text: parts are joined by line breaks. */
function textOf(content: unknown, where: string): string {
  if (content === undefined || content === null) return "";
  if (typeof content === "string") return content;
  if (!Array.isArray(content)) throw new Error(`${where} is neither text nor a list of parts`);
  const texts = content.map((part: unknown, i) => {
    if (isObject(part) && part.type === "text" && typeof part.text === "string") return part.text;
    throw new Error(`${where}[${i}] is no text, and the model takes text alone`);
  });
  return texts.join("\n");
}

/** The arguments of a call are JSON in OpenAI's API and an object in templates. */
function withArguments(call: unknown, numbers: ExactNumbers): unknown {
  if (!isObject(call) || !isObject(call.function)) return call;
  const { arguments: json } = call.function;
  if (typeof json !== "string") return call;
  try {
    return { ...call, function: { ...call.function, arguments: numbers.parse(json || "{}") } };
  } catch {
    return call; // a model wrote it, and may read it as it is
  }
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
