/** `proofmill round`: a round on a running node, with a live line. */
import type { InitBody, PocClient, StatusSummary } from "@proofmill/client";
import { Command } from "commander";
import { stderr, stdout } from "../platform/output.ts";
import { printable } from "../platform/printable.ts";
import { onStopSignal } from "../platform/signals.ts";
import { integer, number, time } from "../settings/values.ts";
import { Exit } from "./exit.ts";
import { addRemoteOptions, clientOf, orExit, type RemoteOptions } from "./remote.ts";
import { grouped, jsonOf, rateOf, summaryOf } from "./report.ts";

interface RoundOptions extends RemoteOptions {
  blockHash: string;
  blockHeight: number;
  publicKey: string;
  rTarget: number;
  fraudThreshold?: number;
  nodeId: number;
  nodeCount: number;
  batchSize?: number;
  seqLen?: number;
  callbackUrl?: string;
  for?: number;
  until?: number;
}

export function roundCommand(): Command {
  const command = new Command("round")
    .description("run a round on a node until a limit or Ctrl-C, which stops it")
    .requiredOption("--block-hash <text>", "the block whose round this is")
    .requiredOption("--public-key <text>", "the key that the nonces are searched for")
    .requiredOption(
      "--r-target <x>",
      "a nonce is valid below this distance; distances lie from 0 to 2, most near 1.414",
      number,
    )
    .option("--block-height <n>", "the block's height, at least 0", integer(0), 0)
    .option("--node-id <n>", "first nonce of the node's sequence, at least 0", integer(0), 0)
    .option("--node-count <n>", "step of the node's sequence, at least 1", integer(1), 1)
    .option("--seq-len <n>", "tokens per nonce (default: the node's)", integer(1))
    .option("--batch-size <n>", "nonces per batch, 1 to 1024 (default: the node's)", integer(1))
    .option(
      "--fraud-threshold <x>",
      "proofs that an honest node gives less often than this are fraud, 0 to 1 (default: 0.01)",
      number,
    )
    .option("--callback-url <url>", "where the node pushes its finds")
    .option("--for <time>", "stop after this time, e.g. 60s", time)
    .option("--until <n>", "stop when so many nonces are valid", integer(1));
  return addRemoteOptions(command).action((options: RoundOptions) =>
    orExit(() => runRound(options)),
  );
}

async function runRound(options: RoundOptions): Promise<void> {
  const client = clientOf(options);
  const limit = new AbortController();
  onStopSignal(() => limit.abort());
  const { pow_status } = await client.initGenerate(bodyOf(options));
  const timer = options.for && setTimeout(() => limit.abort(), options.for);
  const line = options.json ? null : new LiveLine();
  const end = await follow(client, {
    roundId: pow_status.round_id,
    until: options.until ?? Number.POSITIVE_INFINITY,
    signal: limit.signal,
    show: (status) => line?.show(status),
  }).finally(() => {
    if (timer) clearTimeout(timer);
    line?.end();
  });
  if (end === "replaced") throw new Exit(1, "another round has begun on this node");
  const { pow_status: last } = await client.stop();
  stdout.write(options.json ? jsonOf(last) : summaryOf(last));
  if (end === "stopped")
    throw new Exit(1, `the round ended before its limit: ${await whyEnded(client)}`);
}

/** In the words of the node's own events. */
async function whyEnded(client: PocClient): Promise<string> {
  const { events } = await client.nodeEvents();
  return printable(events.findLast(({ kind }) => kind === "round")?.text ?? "nobody knows why");
}

/** Shows each status until the round has reached its limit, or another one has taken its place. */
async function follow(
  client: PocClient,
  options: {
    roundId: string | null;
    until: number;
    signal: AbortSignal;
    show: (status: StatusSummary) => void;
  },
): Promise<"limit" | "stopped" | "replaced"> {
  for await (const status of client.watchStatus({ signal: options.signal })) {
    if (status.round_id !== options.roundId) return "replaced";
    options.show(status);
    if (status.total_valid >= options.until) return "limit";
    if (status.state !== "GENERATING") return "stopped";
  }
  return "limit";
}

function bodyOf(options: RoundOptions): InitBody {
  const { fraudThreshold, batchSize, seqLen, callbackUrl } = options;
  return {
    block_hash: options.blockHash,
    block_height: options.blockHeight,
    public_key: options.publicKey,
    r_target: options.rTarget,
    node_id: options.nodeId,
    node_count: options.nodeCount,
    fraud_threshold: fraudThreshold,
    batch_size: batchSize,
    seq_len: seqLen,
    callback_url: callbackUrl,
  };
}

/** One line that changes in a terminal; elsewhere a line every few seconds. */
class LiveLine {
  static readonly #INTERVAL_MS = 5000;
  #last = Number.NEGATIVE_INFINITY;
  #width = 0;

  show(status: StatusSummary): void {
    if (stderr.isTTY) {
      // A line that wraps could not be written over.
      const shown = lineOf(status, (stderr.columns ?? 80) - 1);
      stderr.write(`\r${shown.padEnd(this.#width)}`);
      this.#width = shown.length;
    } else if (performance.now() - this.#last >= LiveLine.#INTERVAL_MS) {
      this.#last = performance.now();
      stderr.write(`${lineOf(status)}\n`);
    }
  }

  end(): void {
    if (stderr.isTTY && this.#width > 0) stderr.write("\n");
  }
}

/**
 * State, nonces per second, found, 1 in N, elapsed; what does not fit is left out from the end, since
 * half a number would be another number.
 */
export function lineOf(status: StatusSummary, width = Number.POSITIVE_INFINITY): string {
  const { state, rate_per_second, total_checked, total_valid, elapsed_seconds } = status;
  const parts = [
    state,
    `  ${rateOf(rate_per_second)}`,
    `  ${grouped(total_valid)} found`,
    ` of ${grouped(total_checked)}`,
    total_valid > 0 ? ` (1 in ${grouped(Math.round(total_checked / total_valid))})` : "",
    `  ${clock(elapsed_seconds)}`,
  ];
  let line = "";
  for (const part of parts) {
    if (line.length + part.length > width) break;
    line += part;
  }
  return line;
}

function clock(seconds: number): string {
  const whole = Math.floor(seconds);
  const [h, m, s] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60];
  const pad = (part: number) => String(part).padStart(2, "0");
  return h > 0 ? `${h}:${pad(m)}:${pad(s)}` : `${m}:${pad(s)}`;
}
