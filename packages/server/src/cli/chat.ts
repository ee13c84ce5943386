/** `proofmill chat`: talks with the model of a running node. */
import { createInterface } from "node:readline";
import { Writable } from "node:stream";
import { text as textOf } from "node:stream/consumers";
import { Command, InvalidArgumentError, Option } from "commander";
import { DEMO_NAME } from "../models/demo.ts";
import { say, stdout } from "../platform/output.ts";
import { printable } from "../platform/printable.ts";
import { askChat, type ChatMessage, type ChatOptions, modelNames } from "./chat-answer.ts";
import { Exit } from "./exit.ts";
import { paragraph } from "./help.ts";
import { addressOptions } from "./remote.ts";

const HELP =
  "Ctrl-C stops an answer; a second one, Ctrl-D or /quit ends the chat, /reset begins another. What is " +
  "piped in is one message, whose answer alone is printed.";

const COMMANDS = "/reset begins again, /quit ends";

type Options = ChatOptions & { system?: string };
type Chat = Options & { model: string };

export function chatCommand(): Command {
  const command = new Command("chat")
    .description("talk with the model of a running node")
    .option("--model <name>", "the model's name; the first that the node lists by default")
    .option("--system <text>", "what the model is told before the first message")
    .addOption(
      new Option("--temperature <number>", "0 to 2; the model's own by default").argParser(number),
    )
    .addOption(
      new Option("--max-tokens <number>", "the most tokens of an answer").argParser(number),
    )
    .addHelpText("after", paragraph(HELP));
  return addressOptions(command).action(async (options: Options) => {
    const names = await modelNames(options);
    const model = options.model ?? names[0];
    if (model === undefined || !names.includes(model)) throw unknownModel(model, names);
    const chat = { ...options, model };
    await (process.stdin.isTTY && stdout.isTTY ? talk(chat) : answerOnce(chat));
  });
}

function unknownModel(model: string | undefined, names: string[]): Exit {
  const [first, ...others] = names.map(printable);
  if (model === undefined || first === undefined) return new Exit(1, "the node lists no model");
  const rest = others.length > 0 ? ` and ${others.length} more` : "";
  return new Exit(1, `the node has no model ${printable(model)}, but ${first}${rest}`);
}

function beginning({ system }: Options): ChatMessage[] {
  return system === undefined ? [] : [{ role: "system", content: system }];
}

/** Answers what is piped in. */
async function answerOnce(chat: Chat): Promise<void> {
  const content = (await textOf(process.stdin)).trim();
  if (content === "") throw new Exit(1, "there is no message: expected one on stdin");
  await askChat([...beginning(chat), { role: "user", content }], {
    ...chat,
    signal: new AbortController().signal,
    onText: (text) => stdout.write(printable(text)),
  });
  stdout.write("\n");
}

/** Asks and answers until whoever sits there has enough. */
async function talk(chat: Chat): Promise<void> {
  say(`talking with ${printable(chat.model)}: ${COMMANDS}`);
  if (chat.model === DEMO_NAME) say("its weights are random, and so are its words");
  const lines = createInterface({
    input: process.stdin,
    output: new Writable({
      write(chunk, _encoding, done) {
        stdout.write(String(chunk));
        done();
      },
    }),
    terminal: true,
    prompt: "> ",
  });
  let answering: AbortController | null = null;
  lines.on("SIGINT", () => (answering ? answering.abort() : lines.close()));
  let messages = beginning(chat);
  lines.prompt();
  for await (const line of lines) {
    const content = line.trim();
    if (content === "/quit") break;
    if (content === "/reset") {
      messages = beginning(chat);
      stdout.write("[a new chat]\n");
    } else if (/^\/\w*$/.test(content)) {
      stdout.write(`[no such command: ${COMMANDS}]\n`);
    } else if (content !== "") {
      answering = new AbortController();
      messages = await exchange(chat, [...messages, { role: "user", content }], answering.signal);
      answering = null;
    }
    lines.prompt();
  }
  lines.close();
  stdout.write("\n");
}

/** @returns the messages with the answer, as far as it came; without the question if none came */
async function exchange(
  chat: Chat,
  messages: ChatMessage[],
  signal: AbortSignal,
): Promise<ChatMessage[]> {
  let begin = 0;
  let content = "";
  const onText = (text: string) => {
    begin ||= performance.now();
    content += text;
    stdout.write(printable(text));
  };
  try {
    const { tokens } = await askChat(messages, { ...chat, signal, onText });
    const seconds = (performance.now() - begin) / 1000;
    const isRate = tokens !== null && tokens > 1 && begin > 0;
    // The first token begins the clock, and is not counted.
    const rate = isRate ? `, ${((tokens - 1) / seconds).toFixed(1)} tokens/s` : "";
    stdout.write(`\n[${tokens ?? "?"} tokens${rate}]\n`);
  } catch (error) {
    if (!signal.aborted && !(error instanceof Exit)) throw error;
    stdout.write(signal.aborted ? "\n[stopped]\n" : `\n[${(error as Exit).message}]\n`);
  }
  return content === "" ? messages.slice(0, -1) : [...messages, { role: "assistant", content }];
}

function number(value: string): number {
  const parsed = Number(value);
  if (value.trim() !== "" && Number.isFinite(parsed) && parsed >= 0) return parsed;
  throw new InvalidArgumentError("Expected a number of 0 or more.");
}
