import { PassThrough, Readable } from "node:stream";
import { createBrotliCompress, createDeflate, createGzip } from "node:zlib";
import { expect, test, vi } from "vitest";
import { decode, forwardEvents } from "./events.ts";
import { chunk, listening, upstream } from "./test-support.ts";

const describe = () => ({ message: "cut", type: "t", param: null, code: "c" });
const END = `data: ${JSON.stringify({ error: describe() })}\n\n`;

/** What comes out after each piece that goes in, until the stream breaks off. */
async function through(pieces: readonly string[]): Promise<string[]> {
  const cut = new AbortController();
  const source = new PassThrough();
  const out: string[] = [];
  const done = (async () => {
    for await (const part of forwardEvents(source, { signal: cut.signal, describe })) {
      out[out.length - 1] += part.toString();
    }
  })();
  for (const piece of pieces) {
    out.push("");
    source.write(piece);
    await new Promise((resolve) => setImmediate(() => setImmediate(resolve)));
  }
  out.push("");
  cut.abort();
  await done;
  return out;
}

const LINE_ENDS = ["\n", "\r\n", "\r"];

test("an event goes on as soon as its blank line is there, whatever its lines end with", async () => {
  for (const first of LINE_ENDS) {
    for (const second of LINE_ENDS) {
      // CR LF is one line end, however it came about.
      if (first === "\r" && second === "\n") continue;
      const event = `event: x${first}data: 1${first}${second}`;
      for (let at = 1; at < event.length; at++) {
        const out = await through([event.slice(0, at), event.slice(at), "data: ha"]);
        const name = JSON.stringify([event, at]);
        // With CR LF last, its CR alone is the line's end already.
        const early = at === event.length - 1 && second === "\r\n";
        const expected = early ? [event.slice(0, at), "", "", END] : ["", event, "", END];
        expect([name, out]).toEqual([name, expected]);
      }
    }
  }
});

test("events of several kinds, byte by byte, come out whole and in order", async () => {
  const text = "data: a\n\n: note\r\rdata: b\r\ndata: c\r\n\r\nid: 1\n\r\ndata: d\r\n\ndata: e\r\n";
  const out = await through([...text]);
  const parts = out.filter((part) => part !== "" && part !== END);
  expect(text.startsWith(parts.join(""))).toBe(true);
  expect(
    parts
      .join("")
      .replace(/\r\n|\r/g, "\n")
      .split("\n\n")
      .slice(0, 5),
  ).toEqual(["data: a", ": note", "data: b\ndata: c", "id: 1", "data: d"]);
  expect(out.at(-1)).toBe(END);
});

test("a stream that ends by itself is passed on to its last byte", async () => {
  const { signal } = new AbortController();
  const read = async (text: string) => {
    let out = "";
    for await (const part of forwardEvents(Readable.from([Buffer.from(text)]), {
      signal,
      describe,
    })) {
      out += part;
    }
    return out;
  };
  for (const text of ["", "data: a", "data: a\r", "data: a\n\ndata: b"]) {
    expect(await read(text)).toBe(text);
  }
  const endless = "x".repeat(3 * 1024 * 1024);
  expect(await read(endless)).toBe(endless);
});

test.each([
  ["gzip", createGzip],
  ["x-gzip", createGzip],
  ["GZIP", createGzip],
  ["deflate", createDeflate],
  ["br", createBrotliCompress],
])("events in %s come one by one, and readable", async (coding, compress) => {
  const packed = compress();
  const written: (() => Promise<void>)[] = [];
  const other = await upstream((_, response) => {
    response.writeHead(200, { "content-type": "text/event-stream", "content-encoding": coding });
    packed.pipe(response);
    for (let n = 0; n < 3; n++) {
      written.push(async () => {
        packed.write(chunk(n));
        await new Promise<void>((resolve) => packed.flush(resolve));
      });
    }
  });
  const { url } = await listening({ upstream: { url: other.url } });
  const asked = fetch(`${url}/v1/chat/completions`, { method: "POST" });
  await vi.waitUntil(() => written.length === 3);
  await written[0]?.();
  const answer = await asked;
  expect(answer.headers.get("content-encoding")).toBeNull();
  const reader = answer.body?.getReader();
  const next = async () => Buffer.from((await reader?.read())?.value ?? []).toString();
  expect(await next()).toBe(chunk(0));
  await written[1]?.();
  expect(await next()).toBe(chunk(1));
  await written[2]?.();
  expect(await next()).toBe(chunk(2));
  packed.end();
  expect((await reader?.read())?.done).toBe(true);
});

test("events in a coding that is not known go through as they come", async () => {
  const other = await upstream(async (_, response) => {
    response.writeHead(200, { "content-type": "text/event-stream", "content-encoding": "mine" });
    response.write("first");
  });
  const { url } = await listening({ upstream: { url: other.url } });
  const answer = await fetch(`${url}/v1/x`);
  expect(answer.headers.get("content-encoding")).toBe("mine");
  const reader = answer.body?.getReader();
  expect(String(Buffer.from((await reader?.read())?.value ?? []))).toBe("first");
  await reader?.cancel();
});

test("a compressed stream that is cut still ends with the reason, and its source with it", async () => {
  const source = new PassThrough();
  const packed = createGzip();
  packed.pipe(source);
  packed.write("data: 1\n\ndata: 2");
  await new Promise<void>((resolve) => packed.flush(resolve));
  const cut = new AbortController();
  const decoded = decode(source, "gzip");
  if (!decoded) throw new Error("gzip is known");
  const events = forwardEvents(decoded, { signal: cut.signal, describe });
  expect(String((await events.next()).value)).toBe("data: 1\n\n");
  cut.abort();
  expect(String((await events.next()).value)).toBe(END);
  await vi.waitUntil(() => source.destroyed);
});
