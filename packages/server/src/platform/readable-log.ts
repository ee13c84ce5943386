/** The log as people read it, on a terminal: one line for each thing. */
import { prettyFactory } from "pino-pretty";

/** What JavaScript and systems call their errors. */
const UNNAMED = /^(Aggregate|Eval|Range|Reference|Syntax|System|Type|URI)?Error$/;

/** Whatever takes the log's text. */
interface Sink {
  write(text: string): void;
}

/**
 * Makes pino's JSON lines readable before they go on: local time, level, message, fields.
 *
 * @param options.colorize whether the reader understands colours
 */
export function readableLog(sink: Sink, options: { colorize: boolean }): Sink {
  const pretty = prettyFactory({
    colorize: options.colorize,
    singleLine: true,
    errorLikeObjectKeys: ["err"],
    translateTime: "SYS:HH:MM:ss",
  });
  return { write: (line) => sink.write(pretty(withoutStack(line))) };
}

/**
 * A line whose error tells all by its message has no more than that. An error without a name of its
 * own may be a fault of the program, and keeps the stack that says where.
 */
function withoutStack(line: string): string {
  try {
    const { err, ...fields } = JSON.parse(line);
    if (typeof err?.message !== "string" || UNNAMED.test(err.name ?? err.type)) return line;
    return JSON.stringify({ ...fields, error: err.message });
  } catch {
    return line;
  }
}
