// One node in ordinary use for minutes: whatever it holds at rest after each cycle must not grow.
import { fork } from "node:child_process";
import { once } from "node:events";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { startReceiver } from "../../attack/surroundings.mjs";
import { childrenOf, growthOf, poll, startNode, withFolder } from "../node.mjs";

export const about =
  "rounds, proofs, subscribers who come and go, an aggregator that fails, runners that die";

export const bounds = {
  faults: { most: 0 },
  undelivered: { most: 0 },
  rounds: { least: 1 },
  proofs: { least: 1 },
  subscribers: { least: 1 },
  runner_deaths: { least: 1 },
  heap_growth_mb: { most: 3 },
  memory_growth_mb: { most: 20 },
  handles_growth: { most: 2 },
  descriptors_growth: { most: 2 },
};

const CYCLES = 9;
const CYCLE_SECONDS = 15;
/** A node is still filling its caches in the first cycles. */
const WARM_UP = 1 / 4;

const callers = fileURLToPath(new URL("../callers.mjs", import.meta.url));

export const play = ({ share }) =>
  withFolder(async (folder) => {
    const receiver = await startReceiver();
    const node = await startNode({
      folder,
      args: ["--callback-interval", "50ms", "--runner-max-restarts", "1000"],
    });
    const cycles = Math.max(3, Math.round(CYCLES * share));
    const seconds = Math.max(1, (CYCLES * CYCLE_SECONDS * share) / cycles);
    const totals = { rounds: 0, proofs: 0, refused_proofs: 0, subscribers: 0, runner_deaths: 0 };
    const faults = [];
    const samples = [];
    let undelivered = 0;
    for (let cycle = 0; cycle < cycles; cycle++) {
      const { runner_deaths, ...report } = await use(node, { receiver, seconds, cycle });
      totals.runner_deaths += runner_deaths;
      for (const kind of Object.keys(report)) if (kind in totals) totals[kind] += report[kind];
      faults.push(...report.faults);
      undelivered = await atRest(node, receiver);
      samples.push({ at: performance.now(), ...(await node.measure()) });
    }
    for (const fault of new Set(faults)) console.error(`rounds: ${fault}`);
    const exit_code = await node.end("SIGTERM");
    if (exit_code !== 0) faults.push(`the node ended with ${exit_code}`);
    receiver.close();
    const warm = samples.slice(Math.floor(samples.length * WARM_UP));
    const growth = (what) => growthOf(warm.map(({ at, [what]: value }) => ({ at, value })));
    return {
      cycles,
      ...totals,
      faults: faults.length,
      undelivered,
      heap_growth_mb: growth("heap_bytes") / 1e6,
      memory_growth_mb: growth("resident_bytes") / 1e6,
      memory_mb: warm.at(-1).resident_bytes / 1e6,
      handles_growth: growth("handles"),
      descriptors_growth: growth("descriptors"),
    };
  });

/** One cycle: callers, an aggregator that is away half of the time, and runners that are killed. */
async function use(node, { receiver, seconds, cycle }) {
  const child = fork(callers, [node.url, receiver.url, String(seconds), `cycle-${cycle}`], {
    execArgv: [],
  });
  const report = once(child, "message");
  const failure = once(child, "exit").then(([code]) => {
    throw new Error(`the callers ended without a report (${code})`);
  });
  failure.catch(() => {}); // their end is expected once they have reported
  const end = performance.now() + 1000 * seconds;
  let runner_deaths = 0;
  // No later than the callers call, or a proof would wait for a runner that never lives long enough.
  while (performance.now() < end) {
    receiver.isAway = !receiver.isAway;
    await sleep(Math.max(500, 200 * seconds * Math.random()));
    const { runners } = await node.client.nodeInfo();
    for (const { pid } of runners.filter(({ state }) => state === "alive")) {
      process.kill(pid, "SIGKILL");
      runner_deaths++;
    }
  }
  const [said] = await Promise.race([report, failure]);
  receiver.isAway = false;
  return { ...said, runner_deaths };
}

/**
 * Waits until everything is delivered and nobody is connected.
 *
 * @returns {Promise<number>} finds and verdicts that are still due
 */
async function atRest(node, receiver) {
  const pending = await poll(
    async () => {
      const { delivery } = await node.client.nodeInfo();
      return delivery.pending_nonces + delivery.pending_verdicts;
    },
    (due) => due === 0,
  );
  receiver.closeIdle();
  await poll(
    async () => (await node.measure()).sockets,
    (sockets) => sockets <= 1, // this process' own
  );
  await poll(
    () => childrenOf(node.pid).length,
    (children) => children === 1,
  );
  return pending;
}
