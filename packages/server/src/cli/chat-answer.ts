/** One answer of a chat, asked for as OpenAI's clients do and read as it comes. */
import { printable } from "../platform/printable.ts";
import { Exit } from "./exit.ts";
import { noAnswer } from "./remote.ts";

export interface ChatMessage {
  role: "system" | "user" | "assistant";
  content: string;
}

export interface ChatOptions {
  url: string;
  apiKey?: string;
  /** Absent: the first that the node lists. */
  model?: string;
  temperature?: number;
  maxTokens?: number;
}

interface ChatAnswer {
  text: string;
  /** Of the answer; null where the node did not say. */
  tokens: number | null;
}

/** The names of what answers at this address. */
export async function modelNames(options: ChatOptions): Promise<string[]> {
  const response = await call(options, "/v1/models");
  const { data } = (await response.json()) as { data?: { id: string }[] };
  return (data ?? []).map(({ id }) => id);
}

/**
 * @param options.onText hears the answer piece by piece
 * @throws Exit with a line that says what is wrong, an AbortError where the signal ends it
 */
export async function askChat(
  messages: readonly ChatMessage[],
  options: ChatOptions & { model: string; signal: AbortSignal; onText: (text: string) => void },
): Promise<ChatAnswer> {
  const { model, temperature, maxTokens, signal, onText } = options;
  const response = await call(options, "/v1/chat/completions", {
    signal,
    body: {
      ...{ model, messages, stream: true, stream_options: { include_usage: true } },
      ...(temperature !== undefined && { temperature }),
      ...(maxTokens !== undefined && { max_completion_tokens: maxTokens }),
    },
  });
  const answer: ChatAnswer = { text: "", tokens: null };
  for await (const data of eventsOf(response)) {
    if (data === "[DONE]") return answer;
    const { choices, usage, error } = JSON.parse(data) as Chunk;
    if (error) throw new Exit(1, `the answer broke off: ${printable(error.message ?? "")}`);
    const text = choices?.[0]?.delta?.content ?? "";
    answer.text += text;
    answer.tokens = usage?.completion_tokens ?? answer.tokens;
    if (text !== "") onText(text);
  }
  throw new Exit(1, "the answer broke off: the node closed the connection");
}

interface Chunk {
  choices?: { delta?: { content?: string | null } }[];
  usage?: { completion_tokens: number } | null;
  error?: { message?: string };
}

async function call(
  { url, apiKey }: ChatOptions,
  path: string,
  { body, signal }: { body?: object; signal?: AbortSignal } = {},
): Promise<Response> {
  const response = await fetch(`${url.replace(/\/+$/, "")}${path}`, {
    ...(body && { method: "POST", body: JSON.stringify(body) }),
    headers: {
      ...(body && { "content-type": "application/json" }),
      ...(apiKey !== undefined && { authorization: `Bearer ${apiKey}` }),
    },
    ...(signal && { signal }),
  }).catch((error: Error) => {
    throw error.name === "AbortError" ? error : noAnswer(error, url);
  });
  if (response.ok) return response;
  throw new Exit(1, refusalOf(response.status, await response.text()));
}

function refusalOf(status: number, body: string): string {
  const said = printable(messageIn(body)).slice(0, 500);
  switch (status) {
    case 401:
      return `${said}: --api-key or PROOFMILL_API_KEY names it`;
    case 503:
      return `not now (${said}): inference is answered again when the round ends, or its model is there`;
    default:
      return `the node refuses with ${status}: ${said}`;
  }
}

/** OpenAI's error object, or the node's own. */
function messageIn(body: string): string {
  try {
    const { error, detail } = JSON.parse(body) as {
      error?: { message?: string };
      detail?: unknown;
    };
    if (typeof error?.message === "string") return error.message;
    return typeof detail === "string" ? detail : body;
  } catch {
    return body;
  }
}

/** The data of each event of a stream. */
async function* eventsOf({ body }: Response): AsyncGenerator<string> {
  if (!body) return;
  let rest = "";
  for await (const text of body.pipeThrough(new TextDecoderStream())) {
    const lines = (rest + text).split("\n");
    rest = lines.pop() ?? "";
    for (const line of lines) if (line.startsWith("data: ")) yield line.slice(6).trim();
  }
}
