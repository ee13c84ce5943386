/** Server-sent events on their way through: whole ones only, so that one can be put behind them. */
import type { Readable } from "node:stream";

/** Bytes of an event that has no end yet; a longer one is no event. */
const MAX_HELD = 1024 * 1024;

export interface OpenAiError {
  message: string;
  type: string;
  param: null;
  code: string;
}

/**
 * Hands on events as they are complete, which is when a client can read them. Where the stream
 * breaks off, or `signal` ends it, what is incomplete is dropped and an event with the reason comes
 * last.
 *
 * @param options.describe what the last event says
 */
export async function* forwardEvents(
  source: Readable,
  options: { signal: AbortSignal; describe: (reason: unknown) => OpenAiError },
): AsyncGenerator<Buffer, void> {
  const { signal, describe } = options;
  const stop = () => source.destroy(signal.reason);
  signal.addEventListener("abort", stop);
  if (signal.aborted) stop();
  let held: Buffer = Buffer.alloc(0);
  try {
    for await (const chunk of source as AsyncIterable<Buffer>) {
      const bytes = held.length > 0 ? Buffer.concat([held, chunk]) : chunk;
      const end = bytes.length > MAX_HELD ? bytes.length : endOfEvents(bytes);
      held = bytes.subarray(end);
      if (end > 0) yield bytes.subarray(0, end);
    }
    if (held.length > 0) yield held;
  } catch (error) {
    const reason = signal.aborted ? signal.reason : error;
    yield Buffer.from(`data: ${JSON.stringify({ error: describe(reason) })}\n\n`);
  } finally {
    signal.removeEventListener("abort", stop);
    source.destroy();
  }
}

/** Where the last complete event ends: behind a blank line. */
function endOfEvents(bytes: Buffer): number {
  const [lf, crlf] = [bytes.lastIndexOf("\n\n"), bytes.lastIndexOf("\r\n\r\n")];
  return Math.max(lf < 0 ? 0 : lf + 2, crlf < 0 ? 0 : crlf + 4);
}
