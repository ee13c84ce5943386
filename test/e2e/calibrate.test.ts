/** `proofmill calibrate`: its r_target holds in a round. */
import { cpSync } from "node:fs";
import { join } from "node:path";
import { createPocClient } from "@proofmill/client";
import { afterAll, beforeAll, expect, test } from "vitest";
import {
  demoFolder,
  poll,
  runCli,
  startServer,
  type TestNode,
  temporaryFolder,
} from "../helpers.ts";

interface Result {
  samples: number;
  arithmetic: string;
  mean: number;
  deviation: number;
  theory: { mean: number; deviation: number };
  r_target: number;
  rate_interval: [number, number];
  histogram: { count: number; expected: number }[];
}

const RATE = 0.02;
/** Nonces of the round that is compared. */
const CHECKED = 2500;

let node: TestNode;
beforeAll(async () => {
  node = await startServer({ args: ["--enable-poc"] });
});
afterAll(() => node.stop());

const calibrate = (...args: string[]) =>
  runCli(["calibrate", "--block-hash", "abc123", "--seq-len", "32", "--rate", `${RATE}`, ...args]);

/** Thousands of nonces at low priority: long where the machine has other work. */
const PATIENCE = { timeout: 300_000 };

test(
  "gives the wanted share of valid nonces, within the interval that it states",
  PATIENCE,
  async () => {
    const { code, stdout, stderr } = await calibrate("--url", node.url, "--json");
    expect([code, stderr]).toEqual([0, ""]);
    const result = JSON.parse(stdout) as Result;
    expect(result.samples).toBe(2000);
    expect(result.theory.mean).toBe(Math.SQRT2);
    // Random weights: the logits are a random direction.
    expect(Math.abs(result.mean - Math.SQRT2)).toBeLessThan(
      4 * (result.deviation / Math.sqrt(2000)),
    );
    expect(result.deviation / result.theory.deviation).toBeCloseTo(1, 1);
    expect(result.histogram.reduce((sum, { count }) => sum + count, 0)).toBe(2000);

    const client = createPocClient({ url: node.url });
    expect((await client.status()).state).toBe("STOPPED");
    await client.initGenerate({
      ...{ block_hash: "abc123", block_height: 1, public_key: "another key", seq_len: 32 },
      ...{ node_id: 0, node_count: 1, r_target: result.r_target },
    });
    await poll(
      () => client.status({ limit: 1 }),
      ({ total_checked }) => total_checked >= CHECKED,
    );
    const { pow_status } = await client.stop();
    const valid = pow_status.valid_nonces.filter((nonce) => nonce < CHECKED).length / CHECKED;
    expect(valid).toBeGreaterThanOrEqual(result.rate_interval[0]);
    expect(valid).toBeLessThanOrEqual(result.rate_interval[1]);
  },
);

test("measures a model of one's own with the same numbers, and draws them", PATIENCE, async () => {
  const some = ["--samples", "500"];
  const remote = JSON.parse(
    (await calibrate("--url", node.url, "--json", ...some)).stdout,
  ) as Result;
  const folder = join(temporaryFolder(), "model");
  cpSync(demoFolder(), folder, { recursive: true });
  const own = JSON.parse((await calibrate(folder, "--json", ...some)).stdout) as Result;
  expect(own).toEqual(remote);
  const { stdout } = await calibrate(folder, ...some);
  expect(stdout).toMatch(/^r_target {4}1\.3\d+$/m);
  expect(stdout).toMatch(/^1\.\d{5} █+·?/m);
  expect(stdout).toContain("with 95 % confidence");
});

test("leaves a node alone that works", async () => {
  const client = createPocClient({ url: node.url });
  const { pow_status } = await client.initValidate({
    ...{ block_hash: "busy", block_height: 1, public_key: "k", r_target: 1 },
  });
  expect(await calibrate("--url", node.url)).toMatchObject({
    code: 1,
    stderr: "proofmill: the node is VALIDATING: a calibration would end that round\n",
  });
  expect((await client.stop()).pow_status.round_id).toBe(pow_status.round_id);
});

test.each([
  [["--rate", "1"], 2, "Expected a number between 0 and 1."],
  [["--samples", "20", "--rate", "0.01"], 1, "20 samples are too few for a rate of 0.01"],
  [["/no/such/model"], 1, "/no/such/model does not exist"],
])("%j is refused in one line", async (args, code, reason) => {
  const result = await calibrate(...args);
  expect(result).toMatchObject({ code, stdout: "" });
  expect(result.stderr).toMatch(/^proofmill: .+\n$/);
  expect(result.stderr).toContain(reason);
});
