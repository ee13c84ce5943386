/** What concerns the model and its device: does it load, compute the same bits, as fast as before. */
import type { ModelRunner } from "@proofmill/core";
import { type Check, type Finding, failed, ok, skipped } from "./check.ts";
import { judgeRate, type Rates } from "./rates.ts";

/** A search is timed in batches of about this many milliseconds. */
const BATCH_MS = 500;
const MAX_BATCH = 1024;
const COMPARED_NONCES = 24;

export interface DeviceChecks {
  /** Starts the runner as the node does. */
  load: () => Promise<ModelRunner>;
  /** Small models against the reference's numbers; says what failed. */
  selftest: () => Promise<{ name: string; ok: boolean; detail: string }[]>;
  /** The length that rounds have. */
  seqLen: number;
  /** Milliseconds for which the search is timed. */
  searchMs: number;
  /** Where rates are kept; null: nowhere. */
  rates: Rates | null;
  /** The model as /v1 calls it. */
  modelName: string;
}

/** Later ones need the runner of the first, and are skipped without it. */
export function deviceChecks(options: DeviceChecks): { checks: Check[]; close(): Promise<void> } {
  const { load, selftest, seqLen, searchMs, rates, modelName } = options;
  let runner: ModelRunner | null = null;
  const withRunner = (run: (runner: ModelRunner) => Finding | Promise<Finding>) => () =>
    runner ? run(runner) : skipped("there is no model");
  const checks: Check[] = [
    {
      name: "self-test",
      async run() {
        const results = await selftest();
        const wrong = results.find((each) => !each.ok);
        if (wrong) return failed(`${wrong.name}: ${wrong.detail}`);
        return ok(results.map(({ name, detail }) => `${name}: ${detail}`).join("; "));
      },
    },
    {
      name: "model",
      async run() {
        runner = await load();
        const { architecture, arithmetic, device } = runner.info;
        return ok(`${architecture} on ${device}, ${arithmetic}`);
      },
    },
    { name: "memory", run: withRunner((each) => checkMemory(each, seqLen)) },
    { name: "bits", run: withRunner((each) => checkBits(each, usable(each, seqLen))) },
    {
      name: "rate",
      run: withRunner(async (each) => {
        const length = usable(each, seqLen);
        const rate = await rateOf(each, { seqLen: length, milliseconds: searchMs });
        const { device, arithmetic } = each.info;
        const key = [modelName, device, arithmetic, `seq_len ${length}`].join(", ");
        return judgeRate(rate, { key, rates, unit: "nonces/s" });
      }),
    },
  ];
  return { checks, close: async () => runner?.close() };
}

/** The round's length, or the longest that there is memory for: that it is shorter is said once. */
function usable({ info }: ModelRunner, seqLen: number): number {
  return Math.min(seqLen, info.max_seq_len);
}

function checkMemory({ info }: ModelRunner, seqLen: number): Finding {
  const { max_seq_len } = info;
  const longest = `sequences of up to ${max_seq_len} tokens fit`;
  if (seqLen <= max_seq_len) return ok(`${longest}; --poc-seq-len is ${seqLen}`);
  return failed(
    `${longest}, --poc-seq-len ${seqLen} does not: free memory, or choose another device or length`,
  );
}

/** One batch, each of its nonces alone, and the batch again must give the same bits. */
async function checkBits(runner: ModelRunner, seqLen: number): Promise<Finding> {
  const seeds = Uint32Array.from({ length: COMPARED_NONCES }, (_, i) =>
    Math.imul(i + 1, 0x9e3779b9),
  );
  const together = await distances(runner, seeds, seqLen);
  if (!together.every(Number.isFinite)) return failed("distances are not finite");
  const again = await distances(runner, seeds.toReversed(), seqLen);
  const differs = together.findIndex((value, i) => !Object.is(value, again.at(-1 - i)));
  if (differs >= 0) return failed(`nonce ${differs} gave other bits in another place of its batch`);
  for (const place of [0, COMPARED_NONCES - 1]) {
    const [alone] = await distances(runner, seeds.subarray(place, place + 1), seqLen);
    if (!Object.is(alone, together[place])) {
      return failed(`nonce ${place} gave other bits alone than in a batch`);
    }
  }
  return ok(`${COMPARED_NONCES} nonces gave the same bits again, backwards and alone`);
}

let jobs = 0;

async function distances(runner: ModelRunner, seeds: Uint32Array, seqLen: number) {
  const output = { kind: "distance", permutation_seeds: seeds, target_seed: 1 } as const;
  // A copy: a view would carry the whole buffer to another process.
  const job = { id: jobs++, seq_len: seqLen, input_seeds: seeds.slice(), output };
  return [...(await runner.run(job)).values];
}

/** Nonces per second of a search; the first batch warms up and does not count. */
async function rateOf(
  runner: ModelRunner,
  { seqLen, milliseconds }: { seqLen: number; milliseconds: number },
): Promise<number> {
  const together = Math.max(1, Math.floor(runner.info.preferred_tokens / seqLen));
  const search = async (batch: number) => {
    const begin = performance.now();
    await distances(
      runner,
      Uint32Array.from({ length: batch }, (_, i) => i),
      seqLen,
    );
    return performance.now() - begin;
  };
  const warm = await search(together);
  const batches = Math.max(1, Math.floor(BATCH_MS / Math.max(1, warm)));
  const batch = Math.min(MAX_BATCH, together * batches);
  let [nonces, spent] = [0, 0];
  while (spent < milliseconds) {
    spent += await search(batch);
    nonces += batch;
  }
  return nonces / (spent / 1000);
}
