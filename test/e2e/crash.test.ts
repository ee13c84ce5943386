/** What was ever shown or delivered survives `kill -9`, and what is shown gets delivered. */
import { createServer } from "node:http";
import { setTimeout as pause } from "node:timers/promises";
import { createPocClient } from "@proofmill/client";
import { createReceiver } from "@proofmill/client/receiver";
import { expect, onTestFinished, test, vi } from "vitest";
import { listen, startServer, temporaryFolder } from "../helpers.ts";

const KILLS = 6;

async function aggregator() {
  const delivered = new Map<number, number>();
  const receiver = createReceiver({
    secret: "s3cret",
    onGenerated: ({ nonces, dist }) => {
      for (const [i, nonce] of nonces.entries()) delivered.set(nonce, dist[i] ?? Number.NaN);
    },
  });
  return { delivered, url: `${await listen(createServer(receiver.handler))}/pow` };
}

test(`a node that is killed ${KILLS} times in a round loses nothing`, async () => {
  const { delivered, url: callback_url } = await aggregator();
  const folder = temporaryFolder();
  const shown: number[] = [];
  const streamed: number[] = [];
  const end = new AbortController();
  let watching: Promise<void> | null = null;
  let port = "0";
  for (let kill = 0; kill <= KILLS; kill++) {
    const node = await startServer({
      args: ["--enable-poc", "--data-dir", folder, "--port", port, "--callback-interval", "50ms"],
      env: { PROOFMILL_CALLBACK_SECRET: "s3cret" },
    });
    onTestFinished(() => void node.process.kill("SIGKILL"));
    port = new URL(node.url).port;
    const client = createPocClient({ url: node.url, retries: 0 });
    const before = await client.status();
    expect(before.valid_nonces.slice(0, shown.length)).toEqual(shown);
    for (const nonce of [...streamed, ...delivered.keys()]) {
      expect(before.valid_nonces).toContain(nonce);
    }
    if (kill === KILLS) {
      expect(before.state).toBe("STOPPED");
      await vi.waitUntil(() => delivered.size >= before.total_valid, { timeout: 20_000 });
      const dist = before.valid_nonces.map((nonce) => delivered.get(nonce));
      expect(dist).toEqual(before.valid_distances);
      expect(delivered.size).toBe(before.total_valid);
      await vi.waitUntil(() => streamed.length >= before.total_valid, { timeout: 20_000 });
      expect(streamed).toEqual(before.valid_nonces);
      expect(before.total_valid).toBeGreaterThan(KILLS);
      end.abort();
      await watching;
      await node.stop();
      return;
    }
    watching ??= (async () => {
      for await (const event of client.watchValidNonces({ signal: end.signal })) {
        if (event.type !== "nonces") continue;
        expect(event.from).toBe(streamed.length);
        streamed.push(...event.nonces);
      }
    })();
    if (kill === 0) {
      await client.initGenerate({
        ...{ block_hash: "abc123", block_height: 1, public_key: "node1", r_target: 1.4 },
        ...{ node_id: 0, node_count: 1, seq_len: 32, callback_url },
      });
    } else {
      await client.phaseGenerate();
    }
    const until = performance.now() + 100 + 700 * Math.random();
    while (performance.now() < until) {
      const { valid_nonces } = await client.status({ since: shown.length });
      shown.push(...valid_nonces);
      await pause(5);
    }
    node.process.kill("SIGKILL");
    await node.exited;
  }
});

test("the second node on a folder refuses to start, and says why", async () => {
  const folder = temporaryFolder();
  const first = await startServer({
    args: ["--enable-poc", "--data-dir", folder],
    until: "listening",
  });
  const second = startServer({ args: ["--enable-poc", "--data-dir", folder], until: "listening" });
  await expect(second).rejects.toThrow(
    `cannot use the data folder ${folder}: another node is using it; stop that node, or choose another with --data-dir`,
  );
  first.process.kill("SIGKILL");
  await first.exited;
  const third = await startServer({
    args: ["--enable-poc", "--data-dir", folder],
    until: "listening",
  });
  await third.stop();
});
