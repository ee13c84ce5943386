/** Bounds the connections, in all and of each address, and ends those that ask nothing. */
import { readFileSync } from "node:fs";
import type { IncomingMessage, Server, ServerResponse } from "node:http";
import type { Socket } from "node:net";
import { network } from "../../access/addresses.ts";
import { Rates } from "../../access/rates.ts";
import { isTls, standBefore } from "./accepting.ts";
import { hasBody, PACE, type Pace } from "./pace.ts";

/** Connections of one address; a thousand subscribers behind one address must find room. */
const MAX_PER_ADDRESS = 2048;
/** Of these, connections that have not asked anything whole yet. */
const MAX_NEWCOMERS = 512;
/** Newcomers a second that an address may have in the place of older ones; others are closed. */
const EXCHANGES_PER_SECOND = 100;
/** Connections in all, however many descriptors there are: each of them takes memory too. */
const MAX_IN_ALL = 16_384;
/**
 * Descriptors that are kept for the node itself: 256 for callbacks, each of eight kinds of which has 24
 * under way at most and all together 64 connections to spare, the rest for files, store and runners.
 */
const KEPT_DESCRIPTORS = 320;
/** Where the system does not say how many descriptors there are. */
const USUAL_DESCRIPTORS = 1024;
/** WebSockets and event streams take at most this share of the places; the rest is for requests. */
const STREAMS_SHARE = 3 / 4;
/** A connection that has no request under way for so long is ended, milliseconds. */
const IDLE_MS = 60_000;
/** Milliseconds in which a request's headers must have come. */
const HEADERS_MS = 10_000;
/** How often those that are due are ended, milliseconds: often, so that few are due at a time. */
export const SWEEP_MS = 100;

export interface ConnectionLimits {
  inAll: number;
  perAddress: number;
  /** Of one address, that have not asked anything whole yet. */
  newcomers: number;
  /** Newcomers a second that take the place of one of their address. */
  exchanges: number;
  /** Addresses that limits of an address do not hold for. */
  isExempt: (address: string) => boolean;
  /** Milliseconds. */
  idleMs: number;
  /** Milliseconds. */
  headersMs: number;
  /** Of bodies. */
  pace: Pace;
}

/** @param descriptorsEach that a connection needs while it is served */
export function connectionLimits(descriptorsEach: number): ConnectionLimits {
  const free = Math.floor((openFilesLimit() - KEPT_DESCRIPTORS) / descriptorsEach);
  return {
    inAll: Math.max(1, Math.min(free, MAX_IN_ALL)),
    perAddress: MAX_PER_ADDRESS,
    newcomers: MAX_NEWCOMERS,
    exchanges: EXCHANGES_PER_SECOND,
    isExempt: () => false,
    idleMs: IDLE_MS,
    headersMs: HEADERS_MS,
    pace: PACE,
  };
}

interface Connection {
  readonly socket: Socket;
  readonly neighbours: Neighbours;
  /** Answers that are not out yet. */
  readonly unanswered: Set<ServerResponse>;
  /** It is a WebSocket or an event stream, or waits to become one. */
  isUpgraded: boolean;
  /** When it became idle, monotonic milliseconds. */
  idleSince: number;
  /** Called when nothing is unanswered, or it is closed. */
  whenAnswered: (() => void)[];
}

/** The connections of one address. */
interface Neighbours {
  readonly address: string;
  /** How many there may be. */
  readonly most: number;
  /** Those that have not asked anything whole yet, oldest first. */
  readonly newcomers: Set<Connection>;
  readonly mostNewcomers: number;
  size: number;
  streams: number;
  /** Those without a request under way, longest first. */
  readonly idle: Set<Connection>;
}

/**
 * Counts a server's connections. Where one is too many, the longest idle one gives up its place (of
 * the most crowded address, when there are too many in all): so whoever holds connections and asks
 * nothing keeps nobody out. Where none is idle, the new one is closed.
 *
 * Of an address that opens connections faster than it asks, most are closed before anybody else hears
 * of them: so they cost little.
 */
export class Connections {
  readonly #limits: ConnectionLimits;
  readonly #bySocket = new Map<Socket, Connection>();
  readonly #byAddress = new Map<string, Neighbours>();
  /** Under TLS, what carries a connection until its handshake is done, by its other end. */
  readonly #shaking = new Map<string, Socket>();
  readonly #exchanges: Rates;
  #streams = 0;

  /** @param server all others who listen for its connections do so already */
  constructor(server: Server, limits: ConnectionLimits) {
    this.#limits = limits;
    this.#exchanges = new Rates(limits.exchanges);
    if (isTls(server)) {
      server.on("connection", (socket: Socket) => this.#shakesHands(socket));
      server.prependListener("secureConnection", (socket: Socket) => this.#secured(socket));
      // Whoever does not speak TLS has no answer to wait for.
      server.prependListener("tlsClientError", (_error: Error, socket: Socket) => socket.destroy());
    }
    standBefore(server, (socket) => this.#admits(socket));
    server.prependListener("request", (request: IncomingMessage, response: ServerResponse) =>
      this.#asked(request, response),
    );
    const sweep = setInterval(() => this.#endIdle(), SWEEP_MS).unref();
    server.once("close", () => clearInterval(sweep));
  }

  get size(): number {
    return this.#bySocket.size;
  }

  /** Answers that are not out yet, oldest first. */
  unanswered(socket: Socket): ServerResponse[] {
    return [...(this.#bySocket.get(socket)?.unanswered ?? [])];
  }

  /** Resolves when the connection's requests so far are answered, or it is closed. */
  answered(socket: Socket): Promise<void> {
    const connection = this.#bySocket.get(socket);
    if (!connection || connection.unanswered.size === 0) return Promise.resolve();
    return new Promise((resolve) => connection.whenAnswered.push(resolve));
  }

  /** The connection becomes a WebSocket: from now on it is not idle when it has no requests. */
  upgrading(socket: Socket): void {
    const connection = this.#bySocket.get(socket);
    if (!connection) return;
    connection.isUpgraded = true;
    connection.neighbours.idle.delete(connection);
    connection.neighbours.newcomers.delete(connection);
  }

  /** It did not become one, and is HTTP's as before. */
  notUpgraded(socket: Socket): void {
    const connection = this.#bySocket.get(socket);
    if (!connection) return;
    connection.isUpgraded = false;
    this.#becomesIdle(connection);
  }

  /**
   * Counts in a connection that carries a stream from now on, WebSocket or events.
   *
   * @returns what counts it out; null where there are enough of those
   */
  takeStream(socket: Socket): (() => void) | null {
    const connection = this.#bySocket.get(socket);
    if (!connection) return null;
    const { neighbours } = connection;
    const { inAll } = this.#limits;
    if (
      this.#streams >= inAll * STREAMS_SHARE ||
      neighbours.streams >= neighbours.most * STREAMS_SHARE
    ) {
      return null;
    }
    this.#streams++;
    neighbours.streams++;
    return () => {
      this.#streams--;
      neighbours.streams--;
    };
  }

  /** Counts a connection in, unless its address may not have it. */
  #admits(socket: Socket): boolean {
    const { newcomers, mostNewcomers, address } = this.#neighboursOf(socket);
    if (newcomers.size >= mostNewcomers && !this.#bySocket.has(socket)) {
      if (this.#exchanges.take(address, 1) > 0) return false;
      const [oldest] = newcomers;
      if (oldest) this.#end(oldest);
    }
    this.#connected(socket);
    return !socket.destroyed;
  }

  #connected(socket: Socket): void {
    const known = this.#bySocket.get(socket);
    if (known) {
      this.notUpgraded(socket); // it is read as HTTP once more
      return;
    }
    const neighbours = this.#neighboursOf(socket);
    const connection: Connection = {
      socket,
      neighbours,
      unanswered: new Set(),
      isUpgraded: false,
      idleSince: 0,
      whenAnswered: [],
    };
    this.#bySocket.set(socket, connection);
    neighbours.size++;
    neighbours.newcomers.add(connection);
    this.#becomesIdle(connection);
    socket.once("close", () => this.#remove(connection));
    if (neighbours.size > neighbours.most) this.#makeRoom(neighbours);
    if (this.#bySocket.size > this.#limits.inAll) this.#makeRoom(this.#mostCrowded());
  }

  /** A connection's handshake is done: what carries it from now on takes its place. */
  #secured(socket: Socket): void {
    const below = this.#shaking.get(peerOf(socket));
    const connection = below && this.#bySocket.get(below);
    if (connection) this.#remove(connection);
    this.#connected(socket);
  }

  #shakesHands(socket: Socket): void {
    const peer = peerOf(socket);
    this.#shaking.set(peer, socket);
    socket.once("close", () => {
      if (this.#shaking.get(peer) === socket) this.#shaking.delete(peer);
    });
  }

  #asked(request: IncomingMessage, response: ServerResponse): void {
    const connection = this.#bySocket.get(request.socket);
    if (!connection) return;
    const { idle, newcomers } = connection.neighbours;
    connection.unanswered.add(response);
    idle.delete(connection);
    if (!hasBody(request)) newcomers.delete(connection);
    else if (newcomers.has(connection)) request.once("end", () => newcomers.delete(connection));
    response.once("close", () => {
      newcomers.delete(connection);
      connection.unanswered.delete(response);
      if (connection.unanswered.size > 0) return;
      for (const resolve of connection.whenAnswered.splice(0)) resolve();
      this.#becomesIdle(connection);
    });
  }

  #becomesIdle(connection: Connection): void {
    if (connection.isUpgraded || !this.#bySocket.has(connection.socket)) return;
    connection.idleSince = performance.now();
    connection.neighbours.idle.delete(connection);
    connection.neighbours.idle.add(connection);
  }

  #makeRoom(neighbours: Neighbours): void {
    // There is one: the newest connection is idle too, and stands last in this order.
    const [longest] = neighbours.idle;
    if (longest) this.#end(longest);
  }

  /** Among the addresses with an idle connection; the newest connection's is one. */
  #mostCrowded(): Neighbours {
    let found: Neighbours | undefined;
    for (const each of this.#byAddress.values()) {
      if (each.idle.size > 0 && each.size > (found?.size ?? 0)) found = each;
    }
    return found as Neighbours;
  }

  #endIdle(): void {
    const before = performance.now() - this.#limits.idleMs;
    for (const { idle } of this.#byAddress.values()) {
      for (const connection of idle) {
        if (connection.idleSince > before) break;
        this.#end(connection);
      }
    }
  }

  #end(connection: Connection): void {
    connection.socket.destroy();
    this.#remove(connection); // at once: its "close" comes later, and others may connect before
  }

  #remove(connection: Connection): void {
    if (!this.#bySocket.delete(connection.socket)) return;
    const { neighbours } = connection;
    neighbours.idle.delete(connection);
    neighbours.newcomers.delete(connection);
    neighbours.size--;
    if (neighbours.size === 0) this.#byAddress.delete(neighbours.address);
    for (const resolve of connection.whenAnswered.splice(0)) resolve();
  }

  #neighboursOf(socket: Socket): Neighbours {
    const { remoteAddress = "" } = socket;
    const address = network(remoteAddress);
    const known = this.#byAddress.get(address);
    if (known) return known;
    const isExempt = this.#limits.isExempt(remoteAddress);
    const neighbours: Neighbours = {
      address,
      most: isExempt ? Number.POSITIVE_INFINITY : this.#limits.perAddress,
      newcomers: new Set(),
      mostNewcomers: isExempt ? Number.POSITIVE_INFINITY : this.#limits.newcomers,
      size: 0,
      streams: 0,
      idle: new Set(),
    };
    this.#byAddress.set(address, neighbours);
    return neighbours;
  }
}

function peerOf({ remoteAddress, remotePort }: Socket): string {
  return `${remoteAddress} ${remotePort}`;
}

/** How many descriptors this process may have open. */
export function openFilesLimit(): number {
  try {
    const [, soft] = /^Max open files\s+(\d+|unlimited)/m.exec(
      readFileSync("/proc/self/limits", "utf8"),
    ) as RegExpExecArray;
    return soft === "unlimited" ? Number.POSITIVE_INFINITY : Number(soft);
  } catch {
    return USUAL_DESCRIPTORS; // not Linux
  }
}
