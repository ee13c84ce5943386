/** Callers who ask for much, and those who ask for little beside them, of a node with the demo model. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import OpenAI from "openai";
import { expect, onTestFinished, test, vi } from "vitest";
import { lineOf } from "../../access/key-file.ts";
import { digestOf } from "../../access/keys.ts";
import { startNode } from "../../node.ts";
import { parseConfig } from "../../settings/read.ts";

const MODEL = "proofmill-demo";
const AT_ONCE = 2;
/** Places that one caller has at most: those that run, and eight times as many that wait. */
const PLACES = 9 * AT_ONCE;

const asked = (max_tokens: number) => ({
  ...{ model: MODEL, messages: [{ role: "user" as const, content: "x" }], max_tokens },
  ...({ ignore_eos: true } as object),
});
/** Takes far longer than all others take to come. */
const LONG = asked(2000);
const SHORT = asked(1);

/** A node, and a client of each caller that it may tell apart, which tries nothing twice. */
async function nodeFor(flags: readonly string[]) {
  const quiet = ["--port", "0", "--log-level", "silent", "--threads", "1"];
  const limits = ["--max-num-seqs", String(AT_ONCE)];
  const config = parseConfig([...quiet, ...limits, ...flags]);
  const node = await startNode({ ...config, dataDir: null });
  onTestFinished(async () => void (await node.close()));
  await node.loaded;
  const client = (apiKey: string, defaultHeaders = {}) =>
    new OpenAI({ baseURL: `${node.url}/v1`, apiKey, defaultHeaders, maxRetries: 0 });
  return { node, client };
}

/** A file with the keys of callers, each its own label. */
function keyFile(labels: readonly string[]): string {
  const folder = mkdtempSync(join(tmpdir(), "proofmill-callers-"));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  const file = join(folder, "keys");
  const lines = labels.map((label) =>
    lineOf({ label, scopes: ["inference"], digest: digestOf(`the-key-of-${label}`) }),
  );
  writeFileSync(file, lines.join("\n"), { mode: 0o600 });
  return file;
}

/** Two callers by their keys, from one address. */
async function byKeys(): Promise<[OpenAI, OpenAI]> {
  const { client } = await nodeFor(["--api-key-file", keyFile(["many", "few"])]);
  return [client("the-key-of-many"), client("the-key-of-few")];
}

/** Two callers by their addresses, behind a proxy on this machine. */
async function byAddresses(): Promise<[OpenAI, OpenAI]> {
  const { client } = await nodeFor([]);
  const from = (address: string) => client("none", { "x-forwarded-for": address });
  return [from("192.0.2.1"), from("2001:db8::2")];
}

test.each([
  ["key", byKeys],
  ["address", byAddresses],
])(
  "who has another %s finds a place beside a caller who has all of his, and is next",
  async (_, callers) => {
    const [many, few] = await callers();
    const ended: string[] = [];
    // A stream begins once it has its place.
    const streams = await Promise.all(
      Array.from({ length: PLACES }, (_, i) =>
        many.chat.completions.create({ ...(i < AT_ONCE ? LONG : asked(400)), stream: true }),
      ),
    );
    const all = streams.map(async (stream) => {
      for await (const _ of stream);
      ended.push("many");
    });
    const refused = await many.chat.completions.create(SHORT).catch((thrown) => thrown);
    expect(refused).toMatchObject({ status: 429, code: "queue_full" });
    expect(refused.message).toContain("Too many of your requests are waiting for the model");
    expect(ended).toEqual([]);
    for (let i = 0; i < 3; i++) {
      await few.chat.completions.create(SHORT);
      ended.push("few");
    }
    await Promise.all(all);
    expect(ended).toHaveLength(PLACES + 3);
    // Beside those that ran already each of the three waits for one of the others to begin, and while it
    // is on its way some more may.
    expect(ended.lastIndexOf("few")).toBeLessThan(AT_ONCE + 3 + 3 * AT_ONCE);
  },
  30_000,
);

test("whoever comes finds a place while callers before him have theirs, down to the last", async () => {
  const { node, client } = await nodeFor([]);
  const callers: number[] = [];
  const streams: { controller: AbortController }[] = [];
  for (let caller = 0; caller < 4; caller++) {
    const of = client("none", { "x-forwarded-for": `192.0.2.${caller}` });
    let places = 0;
    for (; ; places++) {
      const began = of.chat.completions.create({ ...LONG, stream: true });
      const stream = await began.catch((error) => error as Error);
      if (stream instanceof OpenAI.RateLimitError) break;
      if (stream instanceof Error) throw stream;
      streams.push(stream);
    }
    callers.push(places);
  }
  // Half of the places that were left, each: of 36, 18, 9 and 5.
  expect(callers).toEqual([18, 9, 4, 2]);
  for (const { controller } of streams) controller.abort();
  await vi.waitFor(async () => {
    const text = await (await fetch(`${node.url}/metrics`)).text();
    expect(text).toContain("proofmill_inference_requests_running 0\n");
  }, 10_000);
  const after = client("none", { "x-forwarded-for": "192.0.2.1" });
  const { choices } = await after.chat.completions.create({ ...SHORT, n: PLACES });
  expect(choices).toHaveLength(PLACES);
}, 30_000);
