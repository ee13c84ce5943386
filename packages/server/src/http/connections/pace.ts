/** Ends requests whose body does not keep a pace; a long one may take as long as it needs. */
import type { IncomingMessage, Server } from "node:http";
import type { Socket } from "node:net";

/** Often, so that few are late at a time: those who came together are late together. */
const CHECK_MS = 100;

export interface Pace {
  /** Bytes a second. */
  leastRate: number;
  /** Milliseconds that a body may be behind that rate; it may be silent for as long. */
  slackMs: number;
}

export const PACE: Pace = { leastRate: 1000, slackMs: 10_000 };

interface Upload {
  readonly socket: Socket;
  bytes: number;
  /** What is left of the slack, milliseconds: time uses it up, bytes that come restore it. */
  slack: number;
}

/**
 * Ends requests whose body comes too slowly or not at all. Node's own limit is for the whole of a
 * request and would cut a large upload over a slow line.
 *
 * @param onSlow gets the request, and has to end its connection
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
    uploads.set(request, { socket, bytes: socket.bytesRead, slack: pace.slackMs });
    request.once("close", () => uploads.delete(request));
    request.once("end", () => uploads.delete(request));
  });
  const checkMs = Math.min(CHECK_MS, pace.slackMs / 4);
  let last = performance.now();
  const timer = setInterval(() => {
    const now = performance.now();
    // While the event loop stood still nothing was read, which is not the callers' fault.
    const passed = Math.min(now - last, 2 * checkMs);
    last = now;
    for (const [request, upload] of uploads) {
      if (!isLate(request, upload, passed, pace)) continue;
      uploads.delete(request);
      onSlow(request);
    }
  }, checkMs).unref();
  server.once("close", () => clearInterval(timer));
}

export function hasBody({ headers }: IncomingMessage): boolean {
  return headers["transfer-encoding"] !== undefined || Number(headers["content-length"] ?? 0) > 0;
}

/** Takes the `passed` milliseconds into account. */
function isLate(request: IncomingMessage, upload: Upload, passed: number, pace: Pace): boolean {
  const bytes = upload.socket.bytesRead;
  const came = bytes - upload.bytes;
  upload.bytes = bytes;
  // The body is complete, or so much of it waits to be read that it is the node that is slow.
  if (request.complete || request.readableLength >= request.readableHighWaterMark) return false;
  const slack = upload.slack - passed + (came / pace.leastRate) * 1000;
  upload.slack = Math.min(slack, pace.slackMs);
  return slack <= 0;
}
