/** What a stranger may ask the device for, in short: see scenarios/abandoned-proofs.mjs, long-sequences.mjs. */
import { once } from "node:events";
import { connect } from "node:net";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { poll, startServer, type TestNode, temporaryFolder } from "../helpers.ts";
import { CONTEXT, writeWideModel } from "./wide-model.mjs";

const ROUND = {
  ...{ block_hash: "first", block_height: 1, public_key: "node", r_target: 1.36 },
  ...{ node_id: 0, node_count: 1, seq_len: 32 },
};

const proofOf = (nonces: number[]) => ({
  ...{ public_key: "stranger", block_hash: ROUND.block_hash, block_height: 1, node_id: 0 },
  ...{ nonces, dist: nonces.map(() => 1.25) },
});

async function start(args: string[]): Promise<TestNode> {
  const node = await startServer({ args: ["--enable-poc", "--threads", "1", ...args] });
  onTestFinished(() => void node.stop());
  return node;
}

/** What these tests look at in answers of several kinds. */
interface Body {
  total_checked: number;
  distances: number[];
  data: { max_model_len: number }[];
  detail: { msg: string }[];
}

async function json(answer: Promise<Response>): Promise<{ status: number; body: Body }> {
  const response = await answer;
  return { status: response.status, body: (await response.json()) as Body };
}

/** Sends a long proof; what is called hangs up and gives what had been answered by then. */
async function askAndHangUp(node: TestNode, number: number): Promise<() => string> {
  const { port } = new URL(node.url);
  const socket = connect(Number(port), "127.0.0.1");
  let answer = "";
  socket.setEncoding("utf8").on("data", (text) => {
    answer += text;
  });
  socket.on("error", () => {});
  await once(socket, "connect");
  const body = JSON.stringify(proofOf(Array.from({ length: 4096 }, (_, i) => number * 4096 + i)));
  socket.write(
    "POST /api/v1/pow/validate HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n" +
      `Content-Length: ${body.length}\r\n\r\n${body}`,
  );
  return () => {
    socket.destroy();
    return answer;
  };
}

test("64 long proofs whose callers hang up keep nobody from the device", async () => {
  const node = await start([]);
  const checked = async () =>
    (await json(node.get("/api/v1/pow/status?limit=1"))).body.total_checked;
  await node.post("/api/v1/pow/init/generate", ROUND);
  const hangUps = await Promise.all(Array.from({ length: 64 }, (_, i) => askAndHangUp(node, i)));
  // While they wait the search goes on, and so do short proofs, once there is room.
  const before = await checked();
  await poll(checked, (count) => count > before + 50);
  const short = await poll(
    () => node.post("/api/v1/pow/validate", proofOf([1, 2, 3])),
    ({ status }) => status !== 503,
  );
  expect(short.status).toBe(200);

  const answers = hangUps.map((hangUp) => hangUp());
  const refused = answers.filter((answer) => answer.startsWith("HTTP/1.1 503"));
  expect(refused.length).toBeGreaterThan(40);
  for (const answer of refused) {
    expect(answer).toMatch(/\r\nretry-after: \d/i);
    expect(answer).toContain("Too many nonces are waiting to be validated");
  }
  expect(answers.filter((answer) => answer === "").length).toBeGreaterThan(10);

  // They are gone: what they asked for would take the device minutes.
  await node.post("/api/v1/pow/stop");
  const next = { ...ROUND, block_hash: "next", block_height: 2 };
  await node.post("/api/v1/pow/init/generate", next);
  await poll(checked, (count) => count > 100);
  const whole = Array.from({ length: 100 }, (_, i) => i);
  const last = await json(
    node.post("/api/v1/pow/validate", { ...proofOf(whole), block_hash: "next" }),
  );
  expect(last.status).toBe(200);
  expect(last.body.distances).toHaveLength(100);
});

test("a sequence that does not fit is refused with what does, one that does is cut at once", async () => {
  const directory = join(temporaryFolder(), "wide");
  await writeWideModel(directory);
  const free = await start([directory]);
  const longest = (await json(free.get("/v1/models"))).body.data[0]?.max_model_len ?? 0;
  expect(longest).toBeGreaterThanOrEqual(256);
  expect(longest).toBeLessThan(CONTEXT);
  for (const seq_len of [longest + 1, 2 ** 27, CONTEXT]) {
    for (const body of [{ seq_len }, { params: { seq_len } }]) {
      const refusal = await json(
        free.post("/api/v1/pow/init/generate", { ...ROUND, seq_len: undefined, ...body }),
      );
      expect(refusal).toMatchObject({
        status: 422,
        body: {
          detail: [{ msg: `Input should be less than or equal to ${longest}`, input: seq_len }],
        },
      });
    }
  }
  await free.stop();

  const capped = await start([directory, "--max-model-len", "4096"]);
  const init = (block_height: number, seq_len: number) =>
    json(capped.post("/api/v1/pow/init/generate", { ...ROUND, block_height, seq_len }));
  expect((await init(1, 4097)).body.detail[0]?.msg).toBe(
    "Input should be less than or equal to 4096",
  );
  for (let height = 1; height <= 5; height++) expect((await init(height, 4096)).status).toBe(200);
  expect((await init(6, 32)).status).toBe(200);
  await poll(
    async () => (await json(capped.get("/api/v1/pow/status"))).body.total_checked,
    (count) => count > 0,
  );
  expect((await capped.get("/health")).status).toBe(200);
});
