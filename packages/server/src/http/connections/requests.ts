/** The HTTP server: each connection's requests one after the other, all connections' in turn. */
import {
  createServer,
  type IncomingMessage,
  type RequestListener,
  type Server,
  type ServerOptions,
  type ServerResponse,
} from "node:http";
import { createServer as createTlsServer, type ServerOptions as TlsOptions } from "node:https";
import type { Socket } from "node:net";
import { connectionEvent } from "./accepting.ts";
import { Intake } from "./intake.ts";
import { hasBody } from "./pace.ts";
import type { Lanes } from "./turns.ts";
import type { Unfinished } from "./unfinished.ts";

/** The parser is given pieces. A piece ends where a request ends, once it has so many bytes … */
const LEAST_PIECE = 256;
/** … and where none ends, as in the middle of a body, it has this many. */
const MOST_PIECE = 16 * 1024;
/** Bytes of an answered request's body that are read and dropped, for the sake of the connection. */
const MOST_DROPPED = 1024 * 1024;

/** What all connections share. */
interface Flow {
  lanes: Lanes;
  unfinished: Unfinished;
}

/**
 * A server that begins a connection's next request when the last answer has been handed to the
 * kernel: a caller who does not read answers cannot ask for more of them. With a certificate it
 * speaks TLS.
 */
export function createRequestServer(
  options: ServerOptions & TlsOptions,
  listener: RequestListener,
  flow: Flow,
): Server {
  const connections = new WeakMap<Socket, Connection>();
  const add = (request: IncomingMessage, response: Response) => {
    connections.get(request.socket)?.add(request, response);
  };
  const server = options.cert ? createTlsServer(options, add) : createServer(options, add);
  server.on(connectionEvent(server), (socket: Socket) => {
    socket.setMaxListeners(32); // many wait for its end
    connections.set(socket, new Connection(socket, listener, flow));
  });
  // The first listener for it: the bytes behind the request must be back in the socket before
  // others hear of the upgrade.
  server.on("upgrade", (_request: IncomingMessage, socket: Socket) => {
    connections.get(socket)?.handOver();
  });
  return server;
}

type Response = ServerResponse & { req: IncomingMessage };

interface Exchange {
  readonly request: IncomingMessage;
  readonly response: Response;
}

class Connection {
  readonly #socket: Socket;
  readonly #listener: RequestListener;
  readonly #lanes: Lanes;
  readonly #intake: Intake;
  /** What is being answered. */
  #current: (Exchange & { hasBegun: boolean }) | null = null;
  /** What came in the same piece. */
  #waiting: Exchange[] = [];
  /** What was answered last, and how many bytes of it have come since. */
  #answered: IncomingMessage | null = null;
  #dropped = 0;
  /** Whether the client will send nothing more. */
  #hasEnded = false;
  /** By which Node ends a connection after its last answer. */
  readonly #destroySoon: () => void;

  constructor(socket: Socket, listener: RequestListener, { lanes, unfinished }: Flow) {
    this.#socket = socket;
    this.#listener = listener;
    this.#lanes = lanes;
    this.#intake = new Intake(socket, {
      turns: lanes.reading,
      unfinished,
      // What belongs to the current request is read as long as it comes, once somebody takes it.
      isFull: () =>
        (this.#current && (!this.#current.hasBegun || this.#current.request.complete)) ||
        this.#waiting.length > 0,
      piece: (chunk) => {
        const end = chunk.indexOf("\r\n\r\n", LEAST_PIECE);
        const size = Math.min(end === -1 ? chunk.length : end + 4, MOST_PIECE);
        this.#countDropped(size);
        return size;
      },
      onEnd: () => {
        this.#hasEnded = true;
        this.#passEnd();
      },
    });
    this.#destroySoon = socket.destroySoon;
    socket.destroySoon = () => {
      if (this.#current?.request.complete === false) this.#intake.letGo();
      else this.#destroySoon.call(socket);
    };
  }

  add(request: IncomingMessage, response: Response): void {
    this.#waiting.push({ request, response });
    this.#next();
  }

  /** Nothing of this stays with the socket: whoever offers an upgrade may do so with every request. */
  handOver(): void {
    this.#socket.destroySoon = this.#destroySoon;
    this.#intake.handOver();
  }

  #next(): void {
    if (this.#current) return;
    const next = this.#waiting.shift();
    if (next) this.#begin(next);
    else this.#intake.goOn();
  }

  #begin({ request, response }: Exchange): void {
    const current = { request, response, hasBegun: false };
    this.#current = current;
    // After the last byte has been handed over, or when the connection is gone.
    response.once("close", () => {
      this.#current = null;
      this.#answered = request;
      this.#dropped = 0;
      if (this.#socket.destroyed) this.#waiting = [];
      else this.#next();
      this.#passEnd();
    });
    const { patient, questions } = this.#lanes;
    (hasBody(request) ? patient : questions).take(() => {
      if (this.#socket.destroyed) return;
      this.#listener(request, response);
      setImmediate(() => {
        current.hasBegun = true;
        this.#intake.goOn();
        this.#passEnd();
      });
    });
  }

  /** Node reads what is left of an answered request for as long as it comes. */
  #countDropped(bytes: number): void {
    if (this.#answered?.complete !== false) return;
    this.#dropped += bytes;
    if (this.#dropped > MOST_DROPPED) this.#intake.letGo();
  }

  /**
   * Tells Node of the end, which makes it end the connection, when what came before is answered; or
   * when something is computed for long, since then the client has most likely hung up.
   */
  #passEnd(): void {
    if (!this.#hasEnded) return;
    const { response, hasBegun } = this.#current ?? {};
    const isComputed = hasBegun && response?.headersSent === false;
    const isDue = response
      ? hasBegun && (response.writableEnded || !response.hasHeader("content-length"))
      : this.#intake.isEmpty && this.#waiting.length === 0;
    if (!isComputed && !(isDue && this.#waiting.length === 0)) return;
    this.#hasEnded = false;
    this.#intake.passEnd();
  }
}
