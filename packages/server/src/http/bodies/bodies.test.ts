/** Large bodies: the same answers as small ones, and never parsed on the event loop. */
import { once } from "node:events";
import { CheckedBody, PocError } from "@proofmill/core";
import { describe, expect, onTestFinished, test, vi } from "vitest";
import { WebSocket } from "ws";
import { INIT, INIT_GENERATE, PROOF } from "../../test-support.ts";
import { Bodies } from "./bodies.ts";
import { JsonThread } from "./json-thread.ts";
import { type Listening, listening } from "../test-support.ts";

const KiB = 1024;
const MiB = 1024 * KiB;
/** The longest text that the event loop may parse. */
const LARGE = 64 * KiB;

/** Names texts that were parsed here although they are too long for that. */
function parsedHere(): () => number[] {
  const parse = vi.spyOn(JSON, "parse");
  onTestFinished(() => void parse.mockRestore());
  return () => parse.mock.calls.map(([text]) => String(text).length).filter((n) => n > LARGE);
}

interface Said {
  status: number;
  answer?: unknown;
  detail?: unknown;
}

const REST_PATHS: Record<string, string> = {
  "pow.init": "/init",
  "pow.initValidate": "/init/validate",
  "pow.validate": "/validate",
};

async function overRest(server: Listening, path: string, input: string): Promise<Said> {
  const response = await server.post(REST_PATHS[path] as string, input);
  const { detail, ...answer } = response.json();
  return response.statusCode === 200
    ? { status: 200, answer }
    : { status: response.statusCode, detail };
}

function said(message: {
  result?: { data: unknown };
  error?: { data: { httpStatus: number; refusal: { detail: unknown } } };
}): Said {
  const { result, error } = message;
  return error
    ? { status: error.data.httpStatus, detail: error.data.refusal?.detail }
    : { status: 200, answer: result?.data };
}

async function overHttp({ app }: Listening, path: string, input: string): Promise<Said> {
  const headers = { "content-type": "application/json" };
  const response = await app.inject({ method: "POST", url: `/trpc/${path}`, headers, body: input });
  return said(response.json());
}

async function webSocket({ port }: Listening): Promise<(text: string) => Promise<unknown[]>> {
  const client = new WebSocket(`ws://127.0.0.1:${port}/trpc`);
  onTestFinished(() => client.terminate());
  await once(client, "open");
  return async (text) => {
    const answers: unknown[] = [];
    const take = (data: unknown) => answers.push(JSON.parse(String(data)));
    client.on("message", take);
    client.send(text);
    // What is asked behind it is answered behind it.
    client.send('{"id":"last","method":"query","params":{"path":"node.info"}}');
    const isWhole = () => answers.length > 1 && JSON.stringify(answers).includes('"last"');
    await vi.waitUntil(isWhole, { timeout: 20_000 });
    client.off("message", take);
    return answers.filter((answer) => (answer as { id: unknown }).id !== "last");
  };
}

/** Answers without what is no two rounds'. */
function comparable(value: unknown): unknown {
  const text = JSON.stringify(value, (key, each) =>
    /^(round_id|elapsed_seconds|rate_per_second)$/.test(key) ? typeof each : each,
  );
  return JSON.parse(text);
}

const deep = "[".repeat(300) + "]".repeat(300);
const BODIES: [name: string, path: string, body: string][] = [
  ["a round", "pow.init", JSON.stringify({ ...INIT, url: "http://10.0.0.7/x" })],
  ["a proof", "pow.validate", JSON.stringify(PROOF)],
  ["a proof for another block", "pow.validate", JSON.stringify({ ...PROOF, block_hash: "h" })],
  ["lists of two lengths", "pow.validate", JSON.stringify({ ...PROOF, dist: [1] })],
  ["wrong types", "pow.init", '{"block_hash":7,"params":[[1,{"a":"b"}]],"r_target":"x"}'],
  ["nested values", "pow.validate", `{"nonces":[0,${deep},{"a":${deep}}],"public_key":${deep}}`],
  ["a long sequence", "pow.init", JSON.stringify({ ...INIT, params: { seq_len: 4096 } })],
  ["other names", "pow.init", `{"__proto__":{"block_hash":"a"},"constructor":1}`],
  [
    "a lone surrogate",
    "pow.init",
    JSON.stringify({ ...INIT, block_hash: "a" }).replace('"a"', '"\\ud800"'),
  ],
];

describe.each(BODIES)("%s", (_name, path, body) => {
  test("is answered alike, small or large", async () => {
    const server = await listening();
    await server.post("/init", INIT_GENERATE);
    const ask = await webSocket(server);
    const large = `{"ignored":[${"[],".repeat(40_000)}1],${body.slice(1)}`;
    const over = async (input: string) => ({
      rest: await overRest(server, path, input),
      http: await overHttp(server, path, input),
      socket: said(
        (
          await ask(`{"id":1,"method":"mutation","params":{"path":"${path}","input":${input}}}`)
        )[0] as object,
      ),
    });
    const small = comparable(await over(body));
    const parsed = parsedHere();
    expect(comparable(await over(large))).toEqual(small);
    expect(parsed()).toEqual([]);
  });
});

test("a large batch over HTTP: each call has its own answer", async () => {
  const server = await listening();
  await server.post("/init", INIT_GENERATE);
  const parsed = parsedHere();
  const junk = "[],".repeat(40_000);
  const response = await server.app.inject({
    method: "POST",
    url: "/trpc/pow.validate,pow.stop,pow.init,pow.nothing?batch=1",
    headers: { "content-type": "application/json" },
    body: `{"0":${JSON.stringify(PROOF)},"2":{"block_hash":[${junk}1]},"junk":[${junk}1]}`,
  });
  expect(response.json().map((each: object) => said(each as never).status)).toEqual([
    ...[200, 200, 422, 404],
  ]);
  expect(response.json()[2].error.data.refusal.detail[0].input).toBe(
    `[${"[],".repeat(100)}`.slice(0, 200),
  );
  expect(parsed()).toEqual([]);
});

test("what is no JSON is refused as before", async () => {
  const server = await listening();
  const text = "[".repeat(MiB - 1);
  expect(await overRest(server, "pow.init", text)).toMatchObject({
    status: 422,
    detail: [{ type: "json_invalid", loc: ["body"], input: "[".repeat(200) }],
  });
  expect((await overHttp(server, "pow.init", text)).status).toBe(400);
  const ask = await webSocket(server);
  expect(await ask(text)).toMatchObject([{ id: null, error: { data: { code: "PARSE_ERROR" } } }]);
  const plain = await server.post("/init", `"${"x".repeat(LARGE)}"`, {
    "content-type": "text/plain",
  });
  expect(plain.json()).toMatchObject({
    detail: [{ type: "model_attributes_type" }],
    hint: "send JSON, with the header Content-Type: application/json",
  });
});

test("a message with too many calls does nothing, and a bounded number of them is answered", async () => {
  const server = await listening();
  const init = vi.spyOn(server.service, "init");
  const ask = await webSocket(server);
  const call = (id: number) =>
    `{"id":${id},"method":"mutation","params":{"path":"pow.init","input":{}}}`;
  for (const [calls, answers] of [
    [33, 33],
    [40_000 / 80, 500], // not large
    [9_000, 1024],
  ] as const) {
    const refused = await ask(`[${Array.from({ length: calls }, (_, i) => call(i))}]`);
    expect(refused).toHaveLength(answers);
    expect(new Set(refused.map((each) => said(each as never).status))).toEqual(new Set([400]));
  }
  const response = await server.app.inject({
    method: "POST",
    url: `/trpc/${Array(33).fill("pow.init")}?batch=1`,
    headers: { "content-type": "application/json" },
    body: `{"0":[${"[],".repeat(300_000)}1]}`,
  });
  expect(response.statusCode).toBe(400);
  expect(init).not.toHaveBeenCalled();
});

describe("the thread", () => {
  const task = (paths = ["pow.init"]) =>
    ({
      door: "calls",
      paths,
      isBatch: false,
      limits: { defaults: { batch_size: 1, seq_len: 1 } },
      mark: "m",
    }) as const;

  test("takes the shortest text and the oldest by turns, and no more than may wait", async () => {
    const thread = new JsonThread({ maxWaiting: 3 * MiB, maxText: MiB });
    onTestFinished(() => thread.close());
    const done: number[] = [];
    const read = async (bytes: number) => {
      await thread.perform(task(), Buffer.from(" ".repeat(bytes - 1) + 1));
      done.push(bytes);
    };
    const reads = [read(MiB), read(MiB), read(MiB - 1), read(100), read(200 * KiB)];
    await expect(read(MiB)).rejects.toThrow(new PocError("TOO_MANY_BODIES"));
    await Promise.all(reads);
    expect(done).toEqual([MiB, 100, MiB, 200 * KiB, MiB - 1]);
  });

  test("a long text waits for those before it and for one more, though short ones come without end", async () => {
    const thread = new JsonThread({ maxWaiting: 3 * MiB, maxText: MiB });
    onTestFinished(() => thread.close());
    let short = 0;
    let isLongDone = false;
    const readShort = async () => {
      for (let i = 0; i < 20 && !isLongDone; i++) {
        await thread.perform(task(), Buffer.from("{}"));
        if (!isLongDone) short++;
      }
    };
    const others = [readShort(), readShort(), readShort()];
    await thread.perform(task(), Buffer.from(" ".repeat(MiB - 1) + 1));
    isLongDone = true;
    expect(short).toBe(others.length + 1);
    await Promise.all(others);
  });

  test("drops a text that waits when nobody needs it any more", async () => {
    const thread = new JsonThread({ maxWaiting: MiB, maxText: MiB });
    onTestFinished(() => thread.close());
    const text = () => Buffer.from(" ".repeat(MiB - 1) + 1);
    const atWork = thread.perform(task(), text());
    const gone = new AbortController();
    const dropped = thread.perform(task(), text(), gone.signal);
    gone.abort();
    await expect(dropped).rejects.toThrow(new PocError("CALLER_GONE"));
    const next = thread.perform(task(), text()); // there is room for it
    const late = thread.perform(task(), Buffer.alloc(0), gone.signal);
    await expect(late).rejects.toThrow(new PocError("CALLER_GONE"));
    expect((await Promise.all([atWork, next])).map(({ checked }) => checked.length)).toEqual([
      1, 1,
    ]);
  });

  test("that breaks fails the text it was at, and the next one gets another", async () => {
    const broken = `import { parentPort } from "node:worker_threads";
      parentPort.on("message", ({ bytes }) => {
        if (bytes.length > 1) throw new Error("broken");
        parentPort.postMessage({ rest: null, checked: [] });
      });`;
    const entry = new URL(`data:text/javascript,${encodeURIComponent(broken)}`);
    const thread = new JsonThread({ maxWaiting: MiB, maxText: MiB, entry });
    onTestFinished(() => thread.close());
    const bad = thread.perform(task(), Buffer.from("{}"));
    const good = thread.perform(task(), Buffer.from("11"));
    const next = thread.perform(task(), Buffer.from("1"));
    await expect(bad).rejects.toThrow("broken");
    await expect(good).rejects.toThrow("broken");
    expect(await next).toEqual({ rest: null, checked: [] });
  });
});

test("a body waits for the thread no longer than its caller", async () => {
  const limits = { defaults: { seq_len: 16, batch_size: 1 } };
  const bodies = new Bodies({ bodyLimit: MiB, limits: () => limits });
  onTestFinished(() => bodies.close());
  const caller = new AbortController();
  const read = (signal: AbortSignal) =>
    bodies.read(
      "ProofBatch",
      { bytes: Buffer.from(`[${"0,".repeat(LARGE)}0]`), contentType: undefined },
      signal,
    );
  const atWork = read(new AbortController().signal);
  const waiting = read(caller.signal);
  caller.abort();
  await expect(waiting).rejects.toMatchObject({ code: "CALLER_GONE" });
  expect(await atWork).toBeInstanceOf(CheckedBody);
});
