/** What a request may have is told, may be had to the last token, and what is more is refused. */
import { once } from "node:events";
import { connect } from "node:net";
import type { RunningNode } from "@proofmill/server";
import type OpenAI from "openai";
import { beforeAll, expect, onTestFinished, test, vi } from "vitest";
import {
  CANCELLED,
  clientOf,
  DEMO,
  figures,
  PAGES,
  post,
  RUNNING,
  startChats,
  untilFigures,
} from "./support.ts";

const messages = [{ role: "user" as const, content: "Hello" }];
const endless = { model: DEMO, messages, max_tokens: 4000, ...({ ignore_eos: true } as object) };

async function start(args: readonly string[]): Promise<RunningNode> {
  const node = await startChats(args);
  onTestFinished(async () => void (await node.close()));
  return node;
}

/** As `/v1/models` tells it. */
async function longestOf(client: OpenAI): Promise<number> {
  const { data } = await client.models.list();
  return (data[0] as unknown as { max_model_len: number }).max_model_len;
}

// The demo model is made before any time is counted.
beforeAll(async () => void (await (await startChats()).close()));

test.each([
  ["the model", [], 4096],
  ["--max-model-len", ["--max-model-len", "300"], 300],
  ["--kv-cache-memory", ["--kv-cache-memory", "1MiB"], 512],
  [
    "the least of two runners",
    ["--device", "cpu,cpu", "--threads", "2", "--kv-cache-memory", "1MiB"],
    512,
  ],
])(
  "max_model_len by %s can be used to its last token, and not one more",
  async (_, args, most) => {
    const node = await start(args);
    const client = clientOf(node);
    expect(await longestOf(client)).toBe(most);
    const ids = (length: number) => Array.from({ length }, (_, i) => (i * 7) % 256);
    const create = (prompt: number[], max_tokens: number) =>
      client.completions.create({
        ...{ model: DEMO, prompt, max_tokens },
        ...({ ignore_eos: true } as object),
      });
    // Of a thousand tokens and more a few are computed one by one, for the sake of time.
    for (const prompt of [...(most < 1000 ? [1] : []), most - 30, most - 1]) {
      const { usage, choices } = await create(ids(prompt), most - prompt);
      expect([usage?.total_tokens, choices[0]?.finish_reason]).toEqual([most, "length"]);
      const error = await create(ids(prompt), most - prompt + 1).catch((thrown) => thrown);
      expect(error).toMatchObject({
        status: 400,
        code: "context_length_exceeded",
        param: "prompt",
      });
      expect(error.message).toContain(
        `This node answers within ${most} tokens, and the request asks for ${most + 1} tokens ` +
          `(${prompt} in the prompt, ${most - prompt + 1} in the answer)`,
      );
    }
    const full = await create(ids(most), 1).catch((thrown) => thrown);
    expect(full).toMatchObject({ status: 400, code: "context_length_exceeded" });
    // A chat that names no number has all that is left.
    const chat = await client.chat.completions.create({
      ...{ model: DEMO, messages: [{ role: "user", content: "x".repeat(most - 100) }] },
      ...({ ignore_eos: true } as object),
    });
    expect(chat.usage?.total_tokens).toBe(most);
    const long = [{ role: "user", content: "x".repeat(most) }];
    const refused = await post(`${node.url}/v1/chat/completions`, { messages: long });
    expect(refused.status).toBe(400);
    expect(JSON.stringify(await refused.json())).toMatch(
      /a prompt of \d+ tokens, which leaves none/,
    );
  },
  60_000,
);

test("answers that together need more than the cache holds wait for each other, and all are whole", async () => {
  const node = await start(["--kv-cache-memory", "1MiB"]);
  const client = clientOf(node);
  const { choices } = await client.chat.completions.create({ ...endless, n: 6, max_tokens: 400 });
  expect(choices.map(({ finish_reason }) => finish_reason)).toEqual(Array(6).fill("length"));
  const alone = await client.completions.create({ model: DEMO, prompt: "x", max_tokens: 1 });
  expect(alone.usage?.completion_tokens).toBe(1);
  await untilFigures(node.url, (now) => {
    expect(now.proofmill_sessions_preempted_total).toBeGreaterThan(0);
    expect([now[RUNNING], now[PAGES]]).toEqual([0, 0]);
  });
});

test("more answers than there is room for are refused, whoever asks", async () => {
  const node = await start(["--max-num-seqs", "2"]);
  const client = clientOf(node);
  const error = await client.chat.completions
    .create({ ...endless, n: 19 })
    .catch((thrown) => thrown);
  expect(error).toMatchObject({ status: 400, param: "n" });
  expect(error.message).toContain("asks for 19 answers, expected at most 18");
  const prompts = Array.from({ length: 129 }, () => "x");
  const wrong = await client.completions
    .create({ model: DEMO, prompt: prompts })
    .catch((thrown) => thrown);
  expect(wrong).toMatchObject({ status: 422, param: "prompt" });
  const { choices } = await client.completions.create({
    ...{ model: DEMO, prompt: "x", n: 18, max_tokens: 2 },
  });
  expect(choices).toHaveLength(18);
});

/** A stream of many bytes, of which nothing has been read yet. */
function askForMuch(node: RunningNode) {
  const { port } = new URL(node.url);
  const socket = connect(Number(port), "127.0.0.1");
  socket.pause();
  socket.on("error", () => {}); // it may be reset
  onTestFinished(() => void socket.destroy());
  const much = { n: 16, stream: true, logprobs: true, top_logprobs: 20 };
  const body = JSON.stringify({ ...endless, ...much });
  socket.write(
    "POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n" +
      `Content-Length: ${body.length}\r\n\r\n${body}`,
  );
  return socket;
}

test("who reads a stream slowly or not at all is cut off, and the sessions end", async () => {
  const node = await start([]);
  const sockets = [askForMuch(node), askForMuch(node)];
  const closed = Promise.all(sockets.map((socket) => once(socket, "close")));
  const [slow] = sockets;
  let read = 0;
  // A few bytes at a time, always less than come.
  const reading = setInterval(() => {
    read += slow?.read(64)?.length ?? 0;
  }, 5);
  onTestFinished(() => clearInterval(reading));
  await untilFigures(node.url, (now) => expect(now.proofmill_inference_requests_running).toBe(2));
  const before = process.memoryUsage().rss;
  let most = 0;
  await vi.waitFor(
    async () => {
      most = Math.max(most, process.memoryUsage().rss);
      const now = await figures(node.url);
      expect([now[CANCELLED], now.proofmill_inference_requests_running]).toEqual([2, 0]);
    },
    { timeout: 30_000, interval: 50 },
  );
  await untilFigures(node.url, (now) => expect([now[RUNNING], now[PAGES]]).toEqual([0, 0]));
  expect(read).toBeGreaterThan(0);
  // 4 MiB of each wait at most, beside what the kernel keeps; their answers would be 100 MB each.
  expect(most - before).toBeLessThan(100 * 2 ** 20);
  // Both connections have ended, which shows once what the kernel kept has been read.
  clearInterval(reading);
  for (const socket of sockets) socket.resume();
  await closed;
  const again = await clientOf(node).chat.completions.create({ ...endless, max_tokens: 2 });
  expect(again.usage?.completion_tokens).toBe(2);
});

test("two runners share what comes, and one that dies takes its own answers alone with it", async () => {
  const node = await start(["--device", "cpu,cpu", "--threads", "2", "--max-num-seqs", "2"]);
  const client = clientOf(node);
  const outcomes: string[] = [];
  let whole = 0;
  const streams = await Promise.all(
    Array.from({ length: 4 }, () =>
      client.chat.completions.create({ ...endless, max_tokens: 1500, stream: true }),
    ),
  );
  // All four have places: each runner has two.
  expect((await figures(node.url)).proofmill_inference_requests_running).toBe(4);
  const ends = streams.map(async (stream) => {
    try {
      for await (const { choices } of stream) if (choices[0]?.finish_reason) whole++;
      outcomes.push("whole");
    } catch (error) {
      outcomes.push(String((error as { code?: unknown }).code));
    }
  });
  const { runners } = (await (await fetch(`${node.url}/api/v1/node/info`)).json()) as {
    runners: { pid: number }[];
  };
  expect(runners).toHaveLength(2);
  process.kill(runners[0]?.pid ?? 0, "SIGKILL");
  await Promise.all(ends);
  expect(outcomes.toSorted()).toEqual(["runner_lost", "runner_lost", "whole", "whole"]);
  expect(whole).toBe(2);
  // The other one goes on answering.
  const more = await client.completions.create({
    ...{ model: DEMO, prompt: "x", n: 2, max_tokens: 2 },
  });
  expect(more.choices).toHaveLength(2);
});
