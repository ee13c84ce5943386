/** Forwards server-sent events, each when it is complete, so that one of ours can follow them. */
import { pipeline, type Readable, type Transform } from "node:stream";
import { constants, createBrotliDecompress, createGunzip, createInflate } from "node:zlib";

/** Bytes that wait for their event to end; what is longer is no event and goes on as it comes. */
const MAX_HELD = 1024 * 1024;
/** A blank line is two line ends, four bytes at most: so many of them may have come earlier. */
const OVERLAP = 3;
const [LF, CR] = [10, 13];

export interface OpenAiError {
  message: string;
  type: string;
  param: null;
  code: string | number;
}

const zlib = { flush: constants.Z_SYNC_FLUSH, finishFlush: constants.Z_SYNC_FLUSH };
const DECODERS: Record<string, () => Transform> = {
  gzip: () => createGunzip(zlib),
  "x-gzip": () => createGunzip(zlib),
  deflate: () => createInflate(zlib),
  br: () =>
    createBrotliDecompress({
      flush: constants.BROTLI_OPERATION_FLUSH,
      finishFlush: constants.BROTLI_OPERATION_FLUSH,
    }),
};

/**
 * Undoes an answer's content coding, as its bytes come; an upstream may compress though it was asked
 * not to.
 *
 * @returns null for a coding that is not known here
 */
export function decode(source: Readable, coding: string | undefined): Readable | null {
  const name = coding?.trim().toLowerCase() || "identity";
  if (name === "identity") return source;
  const decoder = DECODERS[name]?.();
  return decoder ? pipeline(source, decoder, () => {}) : null; // errors reach whoever reads the decoder
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
  let held: Buffer[] = [];
  let bytes = 0;
  let tail: Buffer = Buffer.alloc(0); // the last of what is held
  try {
    for await (const chunk of source as AsyncIterable<Buffer>) {
      bytes += chunk.length;
      const border = join([tail, chunk.subarray(0, OVERLAP)]);
      const end =
        bytes > MAX_HELD ? chunk.length : endOfEvents(chunk) || endOfEvents(border) - tail.length;
      if (end <= 0) {
        held.push(chunk);
        tail = join([tail, chunk.subarray(-OVERLAP)]).subarray(-OVERLAP);
        continue;
      }
      yield join([...held, chunk.subarray(0, end)]);
      tail = chunk.subarray(end);
      held = [tail];
      bytes = tail.length;
      tail = tail.subarray(-OVERLAP);
    }
    if (bytes > 0) yield join(held);
  } catch (error) {
    const reason = signal.aborted ? signal.reason : error;
    yield Buffer.from(`data: ${JSON.stringify({ error: describe(reason) })}\n\n`);
  } finally {
    signal.removeEventListener("abort", stop);
    source.destroy();
  }
}

/** Copies nothing where there is one part alone, as there is for most events. */
function join(parts: readonly Buffer[]): Buffer {
  const [first, ...others] = parts.filter(({ length }) => length > 0);
  return first && others.length === 0 ? first : Buffer.concat(parts);
}

/**
 * Where the last complete event ends: behind a blank line. A line ends with CR LF, LF or CR, and
 * each may differ from the one before.
 *
 * @returns 0 when there is no blank line
 */
function endOfEvents(bytes: Buffer): number {
  for (let i = bytes.length - 1; i > 0; i--) {
    if (!isLineEnd(bytes[i])) continue;
    const end = i + 1;
    if (bytes[i] === LF && bytes[i - 1] === CR) i--; // one line end
    if (i > 0 && isLineEnd(bytes[i - 1])) return end;
  }
  return 0;
}

function isLineEnd(byte: number | undefined): boolean {
  return byte === LF || byte === CR;
}
