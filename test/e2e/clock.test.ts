/** A real node whose clock is set forward and back. */
import { writeFileSync } from "node:fs";
import { createServer } from "node:http";
import { join } from "node:path";
import { createPocClient } from "@proofmill/client";
import { createReceiver } from "@proofmill/client/receiver";
import { expect, onTestFinished, test } from "vitest";
import { listen, poll, startServer, temporaryFolder } from "../helpers.ts";

const MONTH_MS = 30 * 24 * 3600 * 1000;
const SHIFTED = new URL("../clock/shifted.mjs", import.meta.url).href;

test("a clock that steps by a month each way loses no find and skips no round", async () => {
  const folder = temporaryFolder();
  const CLOCK_SHIFT_FILE = join(temporaryFolder(), "shift");
  const setClock = (milliseconds: number) => writeFileSync(CLOCK_SHIFT_FILE, `${milliseconds}`);
  const delivered = new Set<number>();
  let isAway = true;
  const receiver = createReceiver({
    secret: false,
    onGenerated: ({ nonces }) => {
      if (isAway) throw new Error("away");
      for (const nonce of nonces) delivered.add(nonce);
    },
  });
  const callback_url = await listen(createServer(receiver.handler));
  const start = async () => {
    const node = await startServer({
      args: ["--enable-poc", "--data-dir", folder],
      env: { NODE_OPTIONS: `--import ${SHIFTED}`, CLOCK_SHIFT_FILE },
    });
    onTestFinished(() => void node.process.kill("SIGKILL"));
    return { node, client: createPocClient({ url: node.url }) };
  };
  const round = (block_hash: string) => ({
    ...{ block_hash, block_height: 1, public_key: "node1", r_target: 2, callback_url },
    ...{ node_id: 0, node_count: 1, seq_len: 8 },
  });

  // The node begins with a clock that is right.
  setClock(0);
  const before = await start();
  await before.client.initGenerate(round("a"));
  const first = await poll(
    () => before.client.status(),
    ({ total_valid }) => total_valid > 0,
  );
  const stopped = (await before.client.stop()).pow_status;
  await before.node.stop();

  // The next start looks at once for what is too old.
  setClock(MONTH_MS);
  const ahead = await start();
  expect(Number((await ahead.node.log("model loaded")).time)).toBeGreaterThan(
    Date.now() + MONTH_MS / 2,
  );
  const { delivery } = await ahead.client.nodeInfo();
  expect(delivery).toMatchObject({
    ...{ given_up_nonces: 0, pending_nonces: stopped.total_valid },
  });
  isAway = false;
  const second = (await ahead.client.init(round("b"))).pow_status;

  // A running node is set back by two months.
  setClock(-MONTH_MS);
  const third = (await ahead.client.init(round("c"))).pow_status;
  const fourth = (await ahead.client.init(round("d"))).pow_status;
  const ids = [first, second, third, fourth].map(({ round_id }) => `${round_id}`);
  expect(ids.toSorted()).toEqual(ids);
  // One who lags has seen a round that nobody can read any more; none after it is skipped.
  const shown: string[] = [];
  const end = new AbortController();
  const lagging = { lastEventId: `${second.round_id}:0`, signal: end.signal };
  for await (const { round_id } of ahead.client.watchValidNonces(lagging)) {
    shown.push(round_id);
    if (round_id === fourth.round_id) end.abort();
  }
  expect(shown).toEqual([third.round_id, fourth.round_id]);

  await poll(
    () => delivered.size,
    (size) => size >= stopped.total_valid,
  );
  expect([...delivered].toSorted((a, b) => a - b)).toEqual(stopped.valid_nonces);
  await ahead.node.stop();
});
