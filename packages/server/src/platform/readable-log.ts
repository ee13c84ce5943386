/** The log as people read it, on a terminal: one line for each thing. */
import { prettyFactory } from "pino-pretty";
import { escaped } from "./printable.ts";

/** What JavaScript and systems call their errors. */
const UNNAMED = /^(Aggregate|Eval|Range|Reference|Syntax|System|Type|URI)?Error$/;

/** Whatever takes the log's text. */
interface Sink {
  write(text: string): void;
}

/** What needs no quotes. */
const PLAIN = /^[\w.,:;/@+()%-]+$/;

/**
 * Makes pino's JSON lines readable before they go on: local time, level, message, and each field as
 * `name=value`.
 *
 * @param options.colorize whether the reader understands colours
 */
export function readableLog(sink: Sink, options: { colorize: boolean }): Sink {
  const pretty = prettyFactory({
    colorize: options.colorize,
    errorLikeObjectKeys: ["err"],
    translateTime: "SYS:HH:MM:ss",
  });
  return { write: (line) => sink.write(pretty(inWords(line))) };
}

/** JSON lines that a terminal may show, whatever strangers have put into them. */
export function harmlessLog(sink: Sink): Sink {
  return { write: (line) => sink.write(escaped(line)) };
}

/**
 * The line with its fields in its message. An error that tells all by its message is a field too; one
 * without a name of its own may be a fault of the program, and keeps the stack that says where.
 */
function inWords(line: string): string {
  try {
    const { level, time, msg, err, ...fields } = JSON.parse(line);
    const isTold = typeof err?.message === "string" && !UNNAMED.test(err.name ?? err.type);
    const all = Object.entries(isTold ? { ...fields, error: err.message } : fields);
    const words = [msg, ...all.map(([name, value]) => `${name}=${inText(value)}`)].join(" ");
    const fault = isTold || !err ? {} : { err: harmless(err) };
    return JSON.stringify({ level, time, msg: escaped(words).replaceAll("\n", "\\n"), ...fault });
  } catch {
    return escaped(line);
  }
}

/** What is printed line by line as it is, such as an error. */
function harmless(value: unknown): unknown {
  if (typeof value === "string") return escaped(value);
  if (typeof value !== "object" || value === null) return value;
  if (Array.isArray(value)) return value.map(harmless);
  const fields = Object.entries(value).map(([name, each]) => [escaped(name), harmless(each)]);
  return Object.fromEntries(fields);
}

function inText(value: unknown): string {
  return typeof value === "string" && PLAIN.test(value) ? value : JSON.stringify(value);
}
