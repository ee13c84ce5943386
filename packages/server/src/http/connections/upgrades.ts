/** What a request may turn its connection into: a WebSocket, and nothing else. */
import { EventEmitter } from "node:events";
import type { IncomingMessage, Server } from "node:http";
import type { Socket } from "node:net";
import { connectionEvent } from "./accepting.ts";
import { cutOff } from "./bad-http.ts";
import type { Connections } from "./connections.ts";
import { letGo } from "./let-go.ts";
import type { Turns } from "./turns.ts";
import type { Unfinished } from "./unfinished.ts";

/** Bytes that may come while an upgrade waits; who asks for a WebSocket has nothing to send yet. */
const MAX_EARLY = 16 * 1024;
const OFFERED = /\b(upgrade|http2-settings)\b/gi;

/**
 * What the WebSocket plugin listens to instead of the server. Some HTTP clients offer an upgrade to
 * HTTP/2 with every request; Node hands those over as soon as anybody listens for upgrades. They
 * are read once more without the offer, which is how a server declines it (RFC 9110 §7.8).
 *
 * Either waits until the connection's earlier requests are answered: what is written sooner would
 * come between their answers, or be swallowed with them.
 */
export function webSocketUpgrades(
  server: Server,
  {
    connections,
    turns,
    unfinished,
  }: { connections: Connections; turns: Turns; unfinished: Unfinished },
): never {
  const upgrades = new EventEmitter();
  server.on("upgrade", async (request: IncomingMessage, socket: Socket, head: Buffer) => {
    connections.upgrading(socket);
    const early = keepEarly(socket, unfinished);
    await connections.answered(socket);
    await turns.next();
    const rest = Buffer.concat([head, ...early.end()]);
    if (early.isTooMuch()) return;
    if (!socket.writable) {
      socket.destroy();
    } else if (/^websocket$/i.test(request.headers.upgrade ?? "")) {
      const release = connections.takeStream(socket);
      if (release) {
        socket.once("close", release);
        upgrades.emit("upgrade", request, socket, rest);
      } else {
        connections.notUpgraded(socket);
        cutOff(socket, 503, "Too Many Connections");
      }
    } else {
      socket.unshift(Buffer.concat([withoutOffer(request), rest]));
      server.emit(connectionEvent(server), socket);
    }
  });
  // The plugin's types want a server; it only ever listens for upgrades on it.
  return upgrades as never;
}

/**
 * Keeps what comes on a connection that Node has let go of, and ends it with its client: whoever is
 * computing an answer must learn that nobody waits.
 */
function keepEarly(
  socket: Socket,
  unfinished: Unfinished,
): { isTooMuch: () => boolean; end: () => Buffer[] } {
  const chunks: Buffer[] = [];
  let bytes = 0;
  const destroy = () => socket.destroy();
  const part = unfinished.begin(destroy);
  const keep = (chunk: Buffer) => {
    chunks.push(chunk);
    bytes += chunk.length;
    part.add(chunk.length);
    if (bytes > MAX_EARLY) letGo(socket);
  };
  socket.on("data", keep).on("end", destroy).on("error", destroy);
  return {
    isTooMuch: () => bytes > MAX_EARLY,
    end: () => {
      part.done();
      socket.off("data", keep).off("end", destroy).off("error", destroy);
      // As Node hands it over: it flows again when the next reader comes.
      Object.assign(socket, { readableFlowing: null });
      return chunks;
    },
  };
}

/** A request's head as it came, but for its offer to upgrade. */
function withoutOffer(request: IncomingMessage): Buffer {
  const lines = [`${request.method} ${request.url} HTTP/${request.httpVersion}`];
  for (let i = 0; i < request.rawHeaders.length; i += 2) {
    const [name = "", value = ""] = request.rawHeaders.slice(i, i + 2);
    if (/^(upgrade|http2-settings)$/i.test(name)) continue;
    const isOffer = /^connection$/i.test(name);
    lines.push(`${name}: ${isOffer ? value.replace(OFFERED, "") : value}`);
  }
  return Buffer.from(`${lines.join("\r\n")}\r\n\r\n`, "latin1");
}
