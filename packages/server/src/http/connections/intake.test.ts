/** A connection is read no faster than its turns come. */
import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Socket } from "node:net";
import { expect, onTestFinished, test } from "vitest";
import { Intake } from "./intake.ts";
import { createRequestServer } from "./requests.ts";
import { listening } from "../test-support.ts";
import { Arrivals, Lanes, Turns } from "./turns.ts";
import { Unfinished } from "./unfinished.ts";

const MiB = 2 ** 20;
/** What kernels keep of a connection that is not read. */
const IN_KERNELS = 8 * MiB;

/** Whose turn never comes. */
class Withheld extends Turns {
  override get hasTime(): boolean {
    return false;
  }
  override take(): void {}
}

test("what waits for its turn is not read on, though its body is asked for", async () => {
  const reading = new Withheld({ arrivals: new Arrivals() });
  const server = createRequestServer(
    {},
    (request, response) => {
      request.resume();
      if (request.method === "GET") response.end("x");
    },
    { lanes: Object.assign(new Lanes(), { reading }), unfinished: new Unfinished(1) },
  );
  const accepted: Socket[] = [];
  server.on("connection", (socket: Socket) => accepted.push(socket));
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  onTestFinished(() => void server.close());
  const open = async () => {
    const socket = connect((server.address() as AddressInfo).port, "127.0.0.1");
    onTestFinished(() => void socket.destroy());
    await once(socket, "connect");
    return socket;
  };
  const upload = await open();
  upload.write(`POST / HTTP/1.1\r\nHost: x\r\nContent-Length: ${4 * MiB}\r\n\r\n`);
  upload.write(Buffer.alloc(4 * MiB, " "));
  const others = await open();
  for (let question = 0; question < 200; question++) {
    others.write("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    await once(others, "data");
  }
  // What one read gives, and what Node reads ahead.
  expect(accepted[0]?.bytesRead).toBeLessThanOrEqual(2 * 65_536);
});

/** Whose turns come when they are called. */
class Delayed extends Turns {
  readonly waiting: (() => void)[] = [];
  override get hasTime(): boolean {
    return false;
  }
  override take(begin: () => void): void {
    this.waiting.push(begin);
  }
}

test("an end whose turn comes after the connection's close reaches no parser", async () => {
  const turns = new Delayed({ arrivals: new Arrivals() });
  const server = createServer({ allowHalfOpen: true });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  onTestFinished(() => void server.close());
  const client = connect((server.address() as AddressInfo).port, "127.0.0.1");
  const [socket] = (await once(server, "connection")) as [Socket];
  const heard: string[] = [];
  socket.on("data", () => heard.push("data")).on("end", () => heard.push("end"));
  const intake = new Intake(socket, {
    ...{ turns, unfinished: new Unfinished(MiB), isFull: () => false, piece: () => 1 },
    onEnd: () => intake.passEnd(),
  });
  const ended = once(socket, "end");
  client.end("ab");
  await ended;
  expect(turns.waiting.length).toBeGreaterThan(0);
  socket.destroy();
  await once(socket, "close");
  for (const begin of turns.waiting) begin();
  expect(heard).toEqual(["data"]); // the first piece of what came
});

test("a parser that has stopped listening hears no more, of what is held neither", async () => {
  const server = createServer();
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  onTestFinished(() => void server.close());
  const client = connect((server.address() as AddressInfo).port, "127.0.0.1");
  onTestFinished(() => void client.destroy());
  const [socket] = (await once(server, "connection")) as [Socket];
  const heard: string[] = [];
  const parse = (chunk: Buffer) => {
    heard.push(String(chunk));
    socket.removeListener("data", parse);
  };
  socket.on("data", parse);
  const intake = new Intake(socket, {
    ...{ turns: new Lanes().reading, unfinished: new Unfinished(MiB), isFull: () => false },
    ...{ piece: () => 1, onEnd: () => {} },
  });
  const comes = () => once(socket, "data");
  const [first] = await Promise.all([comes(), client.write("ab")]);
  await Promise.all([comes(), client.write("c")]);
  expect(String(first)).toBe("ab");
  expect(heard).toEqual(["a"]);
  expect(intake.isEmpty).toBe(true);
});

const HEAD = "Host: x\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n";

test.each([
  ["no HTTP", "GARBAGE\r\n\r\n", /^HTTP\/1.1 400 /],
  ["a body that no path takes", `POST /nothing HTTP/1.1\r\n${HEAD}`, /^HTTP\/1.1 404 /],
  ["a body that is too long", `POST /api/v1/pow/validate HTTP/1.1\r\n${HEAD}`, /^HTTP\/1.1 413 /],
])("whoever sends %s without end is cut off", async (_what, head, answer) => {
  const server = await listening();
  const { socket, text } = await server.open();
  const happens = (event: string) => new Promise((resolve) => socket.once(event, resolve));
  const closed = happens("close");
  const chunk = Buffer.from(`10000\r\n${" ".repeat(65_536)}\r\n`);
  socket.write(head);
  let sent = 0;
  while (!socket.destroyed && sent < 64 * MiB) {
    sent += chunk.length;
    if (!socket.write(chunk)) await Promise.race([happens("drain"), closed]);
  }
  await closed;
  expect(sent).toBeLessThan(2 * MiB + IN_KERNELS);
  if (text() !== "") expect(text()).toMatch(answer); // a reset may swallow it
});
