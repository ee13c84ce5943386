// Attacks a node as a scenario says, beside eleven honest clients, and measures what it does to the node.
import { fork } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { strangersAddress } from "./sockets.mjs";
import { watchHealth } from "./surroundings.mjs";

/**
 * How the node is when the attack begins.
 *
 * @typedef {object} NodeSetup
 * @property {number} [finds] finds that the round has at least; 0 by default
 * @property {"tiny" | { perSecond: number, info?: object }} [runner] `tiny`, the default: the demo
 *   model on one thread; else nothing is computed, at so many nonces per second, by a model that
 *   describes itself with `info`
 * @property {"GENERATING" | "STOPPED"} [state] GENERATING by default
 * @property {readonly string[]} [args] further flags of `proofmill serve`
 *
 * What a file in `scenarios/` exports.
 *
 * @typedef {object} Scenario
 * @property {NodeSetup} [node]
 * @property {(target: { url: string, host: string, port: number, localAddress?: string }) =>
 *   Promise<void>} attack runs in a process of its own, until that is ended; must not need answers,
 *   since it is also run against a server that gives none
 * @property {boolean} [isStranger] whether limits of an address are to hold for the attacker
 * @property {number} [seconds] that the attack lasts; 10 by default
 * @property {string} [honest] kinds of honest clients, with commas; all eleven by default
 */

/** What an attack may do to a node at most. */
export const BOUNDS = {
  /** The longest time that its event loop stands still. */
  standstill_ms: 200,
  /** Beyond its memory at rest. */
  peak_mb: 200,
  /** Ten seconds after the attack, beyond its memory at rest. */
  left_mb: 100,
  health_ms: 300,
};
/** The search's rate beside the attack, of that beside the same attacker at an empty server. */
const LEAST_RATE = 0.8;
const RETURN_SECONDS = 10;
/** Pairs of stretches that the search's rate is measured in, and the length of one. */
const RATE_PAIRS = 3;
const RATE_SECONDS = 5;

const script = (name) => fileURLToPath(new URL(name, import.meta.url));

/** Resolves when a child has ended well. */
async function ended(child) {
  const [code, signal] = await once(child, "exit");
  if (code !== 0) throw new Error(`${child.spawnargs.slice(1).join(" ")} ended: ${code ?? signal}`);
}

/** @returns {Promise<any>} the child's next message */
async function reply(child) {
  const gone = ended(child).then(() => {
    throw new Error(`${child.spawnargs[1]} ended without an answer`);
  });
  gone.catch(() => {}); // its end is expected once it has answered
  return (await Promise.race([once(child, "message"), gone]))[0];
}

async function ask(child, message) {
  const answer = reply(child);
  child.send(message);
  return answer;
}

/** Resident memory of a process in megabytes, as Linux counts it. */
function residentMegabytes(pid) {
  const kilobytes = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1];
  return (Number(kilobytes) * 1024) / 1e6;
}

/** Seconds of processor that a process has had; Linux counts them in hundredths. */
function processorSeconds(pid) {
  // Its name stands in parentheses, and may hold anything.
  const [user, system] = readFileSync(`/proc/${pid}/stat`, "utf8")
    .replace(/^.*\) /s, "")
    .split(" ")
    .slice(11, 13);
  return (Number(user) + Number(system)) / 100;
}

/**
 * @param {string} name of a file in `scenarios/`
 * @returns what was measured, and under `broken` the bounds that did not hold
 */
export async function play(name) {
  /** @type {Scenario} */
  const {
    node: setup = {},
    isStranger = false,
    seconds = 10,
    honest = "",
  } = await import(`./scenarios/${name}.mjs`);
  const from = (isStranger && strangersAddress()) || "loopback";
  const folder = mkdtempSync(join(tmpdir(), "proofmill-attack-"));
  if (setup.finds > 0) await ended(fork(script("finds.mjs"), [folder, String(setup.finds)]));
  const node = fork(script("node.mjs"), [JSON.stringify({ ...setup, folder })]);
  try {
    const url = await reply(node);
    const beside = await measureBeside({ name, node, url, seconds, honest });
    const rate = (setup.state ?? "GENERATING") === "GENERATING" ? await rateShare(name, url) : null;
    return { name, from, ...beside.figures, rate, broken: brokenBounds(beside, rate) };
  } finally {
    if (node.connected) {
      const end = ended(node);
      node.disconnect();
      await end;
    }
    rmSync(folder, { recursive: true, force: true });
  }
}

/** The attack beside honest clients. */
async function measureBeside({ name, node, url, seconds, honest }) {
  await sleep(1000);
  const rest = residentMegabytes(node.pid);
  const clients = fork(script("honest.mjs"), [url, honest]);
  await reply(clients);
  const watch = startWatch(node.pid, url);
  node.send("watch");
  await sleep(2000);
  const before = { ...watch.take(), standstill_ms: await ask(node, "watched") };

  node.send("watch");
  await ended(fork(script("attacker.mjs"), [name, url, String(seconds)]));
  await sleep(RETURN_SECONDS * 1000);
  const left = residentMegabytes(node.pid);
  const during = { ...watch.take(), standstill_ms: await ask(node, "watched") };
  await watch.end();
  const reports = await ask(clients, "end");

  const rounded = ({ standstill_ms, peak_mb, cpu, health_ms, health_faults }) => ({
    standstill_ms: Math.round(standstill_ms),
    peak_mb: Math.round(peak_mb - rest),
    cpu: Number(cpu.toFixed(2)),
    health_ms: Math.round(health_ms),
    health_faults,
  });
  const figures = {
    rest_mb: Math.round(rest),
    before: rounded(before),
    attack: { ...rounded(during), left_mb: Math.round(left - rest) },
    honest: Object.fromEntries(
      Object.entries(reports).map(([kind, { answers, worst_ms, faults }]) => [
        kind,
        { answers, worst_ms, faults: faults.length, ...(faults[0] && { first: faults[0] }) },
      ]),
    ),
  };
  return { figures, reports };
}

/** Asks /health over and over, and looks at the node's memory. */
function startWatch(pid, url) {
  const watch = watchHealth(url, [200]);
  let peak_mb = 0;
  let [spent, begin] = [processorSeconds(pid), performance.now()];
  const memory = setInterval(() => {
    peak_mb = Math.max(peak_mb, residentMegabytes(pid));
  }, 10);
  return {
    take: () => {
      const { worst_ms: health_ms, faults: health_faults } = watch.take();
      const [seconds, now] = [processorSeconds(pid), performance.now()];
      const cpu = (seconds - spent) / ((now - begin) / 1000);
      const taken = { peak_mb, cpu, health_ms, health_faults };
      peak_mb = 0;
      [spent, begin] = [seconds, now];
      return taken;
    },
    end: async () => {
      clearInterval(memory);
      await watch.end();
    },
  };
}

/** The search's rate beside the attack, of that beside an attack on a server that only reads. */
async function rateShare(name, url) {
  const sink = createServer((socket) => socket.on("error", () => {}).resume());
  await once(sink.listen(0, "127.0.0.1"), "listening");
  const elsewhere = `http://127.0.0.1:${sink.address().port}`;
  const checked = async () => {
    const response = await fetch(`${url}/api/v1/pow/status?limit=1`);
    return [(await response.json()).total_checked, performance.now()];
  };
  const rate = async (target) => {
    const attacker = fork(script("attacker.mjs"), [name, target, String(RATE_SECONDS + 2)]);
    const end = ended(attacker);
    await sleep(1000); // it starts
    const [first, begin] = await checked();
    await sleep(RATE_SECONDS * 1000);
    const [last, now] = await checked();
    await end;
    return ((last - first) * 1000) / (now - begin);
  };
  const [attacked, free] = [[], []];
  for (let pair = 0; pair < RATE_PAIRS; pair++) {
    free.push(await rate(elsewhere));
    attacked.push(await rate(url));
  }
  sink.close();
  const median = (numbers) => numbers.sort((a, b) => a - b)[numbers.length >> 1];
  const [beside, alone] = [median(attacked), median(free)];
  return {
    nonces_per_second: { attacked: Math.round(beside), elsewhere: Math.round(alone) },
    share: Number((beside / alone).toFixed(3)),
  };
}

function brokenBounds({ figures: { attack }, reports }, rate) {
  const broken = Object.entries(BOUNDS)
    .filter(([bound, most]) => attack[bound] > most)
    .map(([bound, most]) => `${bound} ${attack[bound]}, at most ${most}`);
  if (rate && !(rate.share >= LEAST_RATE)) {
    broken.push(`the search's share ${rate.share}, at least ${LEAST_RATE}`);
  }
  for (const fault of attack.health_faults.slice(0, 1)) broken.push(`/health: ${fault}`);
  for (const [kind, { answers, faults }] of Object.entries(reports)) {
    if (answers === 0) broken.push(`${kind}: no answer`);
    if (faults.length > 0) broken.push(`${kind}: ${faults.length} × ${faults[0]}`);
  }
  return broken;
}
