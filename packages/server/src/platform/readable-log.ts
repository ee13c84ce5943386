/** The log as people read it, on a terminal: one line for each thing. */
import { prettyFactory } from "pino-pretty";

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
    translateTime: "SYS:HH:MM:ss",
  });
  return { write: (line) => sink.write(pretty(line)) };
}
