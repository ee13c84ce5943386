/** The text of a chat up to its answer; what its template would leave out without a word is refused. */
import type { ChatTemplate } from "./chat-template.ts";
import { ExactNumbers } from "./exact-numbers.ts";
import { prepareMessages } from "./messages.ts";

/** Each of those that every template knows, or refuses by itself. */
const USUAL_ROLES = new Set(["system", "user", "assistant", "tool"]);
/** For each of the others the chat is rendered once more. */
const MAX_OTHER_ROLES = 4;

export interface AskedChat {
  /** As OpenAI's API has them; content is text, or a list of parts that are text. */
  readonly messages: readonly object[];
  /** As OpenAI's API has them; null: none. */
  readonly tools?: readonly object[] | null;
  /** What the template is told of documents; null: there are none. */
  readonly documents?: readonly object[] | null;
  /** Whether the prompt ends with the beginning of an answer; true by default. */
  readonly addGenerationPrompt?: boolean;
  /** What else the template is told, `enable_thinking` for example. */
  readonly templateKwargs?: Readonly<Record<string, unknown>>;
}

/**
 * @param maxText UTF-16 units that a template may make
 * @throws Error in one line
 */
export function promptOf(template: ChatTemplate, asked: AskedChat, maxText: number): string {
  const { tools = null, documents = null, addGenerationPrompt = true, templateKwargs = {} } = asked;
  if (tools?.length && !template.names("tools")) {
    throw new Error("tools are not supported: the model's chat template does not know of them");
  }
  const numbers = new ExactNumbers();
  const messages = prepareMessages(asked.messages, { template, numbers });
  const render = (some: readonly Message[]) =>
    template.render({
      ...{ messages: some, tools, documents, addGenerationPrompt, kwargs: templateKwargs },
      ...{ numbers, maxText },
    });
  const text = render(messages);
  const others = new Set(messages.map(({ role }) => role).filter((role) => !USUAL_ROLES.has(role)));
  if (others.size > MAX_OTHER_ROLES) {
    throw new Error(
      `messages have ${others.size} unusual roles, expected at most ${MAX_OTHER_ROLES}`,
    );
  }
  for (const role of others) {
    if (messages.every((each) => each.role !== role || each.content.trim() === "")) continue;
    const silent = messages.map((each) => (each.role === role ? { ...each, content: "" } : each));
    if (!rendersAs(text, () => render(silent))) continue;
    const at = messages.findIndex((each) => each.role === role);
    const named = role.slice(0, 100);
    throw new Error(
      `messages[${at}]: the model's chat template leaves out what the role ${named} says`,
    );
  }
  return numbers.restore(text);
}

/** A template that fails of what is changed has looked at it. */
function rendersAs(text: string, render: () => string): boolean {
  try {
    return render() === text;
  } catch {
    return false;
  }
}

type Message = ReturnType<typeof prepareMessages>[number];
