/** A request has to keep coming: not within a time for all of it, but at a pace. */
import type { IncomingMessage, Server } from "node:http";
import type { Socket } from "node:net";

const CHECK_MS = 1000;

export interface Pace {
  /** Milliseconds without a byte. */
  silenceMs: number;
  /** Bytes a second, on the average. */
  leastRate: number;
  /** Milliseconds before the rate is looked at. */
  rateAfterMs: number;
}

export const PACE: Pace = { silenceMs: 10_000, leastRate: 1000, rateAfterMs: 10_000 };

interface Upload {
  readonly socket: Socket;
  /** Monotonic milliseconds; time in which the node itself did not read is not counted. */
  waited: number;
  silent: number;
  bytesAtBegin: number;
  bytesLast: number;
}

/**
 * Ends requests whose body comes too slowly or not at all. Node's own limit is for the whole of a
 * request and would cut a large upload over a slow line.
 *
 * @param onSlow is given the request, whose connection it has to end
 */
export function keepPace(
  server: Server,
  pace: Pace,
  onSlow: (request: IncomingMessage) => void,
): void {
  const uploads = new Map<IncomingMessage, Upload>();
  server.prependListener("request", (request: IncomingMessage) => {
    if (!hasBody(request)) return;
    const { socket } = request;
    const bytes = socket.bytesRead;
    uploads.set(request, { socket, waited: 0, silent: 0, bytesAtBegin: bytes, bytesLast: bytes });
    request.once("close", () => uploads.delete(request));
    request.once("end", () => uploads.delete(request));
  });
  let last = performance.now();
  const timer = setInterval(
    () => {
      const now = performance.now();
      const passed = now - last;
      last = now;
      for (const [request, upload] of uploads) {
        if (!isLate(request, upload, passed, pace)) continue;
        uploads.delete(request);
        onSlow(request);
      }
    },
    Math.min(CHECK_MS, pace.silenceMs / 4),
  ).unref();
  server.once("close", () => clearInterval(timer));
}

function hasBody({ headers }: IncomingMessage): boolean {
  return headers["transfer-encoding"] !== undefined || Number(headers["content-length"] ?? 0) > 0;
}

/** Takes the `passed` milliseconds into account. */
function isLate(request: IncomingMessage, upload: Upload, passed: number, pace: Pace): boolean {
  const bytes = upload.socket.bytesRead;
  const isSilent = bytes === upload.bytesLast;
  upload.bytesLast = bytes;
  // What came first has not been taken yet: the node itself is slow.
  if (request.readableLength >= request.readableHighWaterMark) {
    upload.silent = 0;
    return false;
  }
  upload.waited += passed;
  upload.silent = isSilent ? upload.silent + passed : 0;
  if (upload.silent >= pace.silenceMs) return true;
  const owed = (pace.leastRate * upload.waited) / 1000;
  return upload.waited >= pace.rateAfterMs && bytes - upload.bytesAtBegin < owed;
}
