// What befalls a machine, one after the other, around a node that searches and delivers all the time: the
// log's disk is full, then the data's too, then both are free again, then the clock steps by a month each
// way, then the receiver takes no more than 20 kB at once. Every find must be delivered, once, and
// /health must always answer within a second.
//
// The disks are real: file systems in memory, mounted in a namespace of the script's own. So it runs on
// Linux alone, where it may make one.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { mountDisk, startReceiver, watchHealth } from "./surroundings.mjs";

const LOG_BYTES = 1024 * 1024;
const DATA_BYTES = 64 * 1024 * 1024;
const MONTH_MS = 30 * 24 * 3600 * 1000;
/** What the receiver takes at once in the end, bytes. */
const RECEIVER_LIMIT = 20_000;
/** Of an answer of /health, milliseconds. */
const LATEST = 1000;
/** For anything that must come about, milliseconds. */
const PATIENCE = 90_000;

const BIN = fileURLToPath(new URL("../../packages/server/bin/proofmill.mjs", import.meta.url));
const SHIFTED = new URL("../clock/shifted.mjs", import.meta.url).href;
const SELF = fileURLToPath(import.meta.url);
const NAMESPACE = ["--map-root-user", "--mount"];

/**
 * Plays all of it in a process with mounts of its own.
 *
 * @param {number} seconds that each fault lasts
 * @returns what was seen, and under `broken` what must not be
 */
export async function playFaults(seconds) {
  const folder = mkdtempSync(join(tmpdir(), "proofmill-faults-"));
  const script = [process.execPath, SELF, String(seconds), folder];
  const child = spawn("unshare", [...NAMESPACE, ...script], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  let text = "";
  child.stdout.setEncoding("utf8").on("data", (piece) => {
    text += piece;
  });
  const [code] = await once(child, "close");
  rmSync(folder, { recursive: true });
  if (code !== 0) throw new Error(`${SELF} ended with ${code}: ${text}`);
  return JSON.parse(text);
}

/** Asks again until `condition` holds for the answer. */
async function until(what, ask, condition) {
  const end = performance.now() + PATIENCE;
  for (;;) {
    const answer = await ask();
    if (condition(answer)) return answer;
    if (performance.now() > end)
      throw new Error(`${what} does not come: ${JSON.stringify(answer)}`);
    await sleep(50);
  }
}

async function play(folder, seconds) {
  const [logDisk, dataDisk] = [
    await mountDisk(join(folder, "log"), LOG_BYTES),
    await mountDisk(join(folder, "data"), DATA_BYTES),
  ];
  const clock = join(folder, "shift");
  const setClock = (milliseconds) => writeFileSync(clock, String(milliseconds));
  setClock(0);
  const receiver = await startReceiver();
  const log = join(logDisk.path, "log");
  const node = spawn(
    process.execPath,
    [
      ...[BIN, "serve", "--enable-poc", "--port", "0", "--threads", "1", "--log-level", "debug"],
      ...["--data-dir", dataDisk.path, "--callback-interval", "50ms", "--poc-seq-len", "32"],
    ],
    {
      env: {
        ...process.env,
        ...{ HOME: folder, XDG_CACHE_HOME: join(folder, "cache") },
        ...{ NODE_OPTIONS: `--import ${SHIFTED}`, CLOCK_SHIFT_FILE: clock },
      },
      stdio: ["ignore", openSync(log, "a"), "inherit"],
    },
  );
  const exited = once(node, "exit");
  try {
    const url = await listening(log);
    const seen = await befall({ url, logDisk, dataDisk, receiver, setClock, seconds });
    return { seconds, ...seen, broken: brokenPromises(seen) };
  } finally {
    node.kill("SIGTERM");
    await exited;
    receiver.close();
  }
}

/** The faults, one after the other. */
async function befall({ url, logDisk, dataDisk, receiver, setClock, seconds }) {
  const call = async (path, body) => {
    const response = await fetch(`${url}/api/v1/pow/${path}`, {
      method: "POST",
      ...(body && { body: JSON.stringify(body), headers: { "content-type": "application/json" } }),
    });
    return { status: response.status, body: await response.json() };
  };
  const done = async (path, body) => {
    const { status, body: answer } = await call(path, body);
    if (status !== 200) throw new Error(`${path}: ${status} ${JSON.stringify(answer)}`);
    return answer.pow_status;
  };
  const status = async () => (await fetch(`${url}/api/v1/pow/status`)).json();
  const delivery = async () => (await (await fetch(`${url}/trpc/node.info`)).json()).result.data;
  const health = async () => {
    const response = await fetch(`${url}/health`);
    return { http_status: response.status, ...(await response.json()) };
  };
  const isFine = (answer) => answer.http_status === 200;
  const finds = async (more) => {
    const { total_valid } = await status();
    await until("a find", status, (now) => now.total_valid >= total_valid + more);
  };
  const round = (block_hash) => ({
    ...{ block_hash, block_height: 1, public_key: "node1", r_target: 1.41 },
    ...{ node_id: 0, node_count: 1, callback_url: receiver.url },
  });
  /** Finds of each round, as its status showed them in the end. */
  const found = new Map();
  const endRound = async () => {
    const { round_id, valid_nonces } = await done("stop");
    found.set(round_id, valid_nonces);
  };
  const steps = {};

  await until("the model", health, isFine);
  const watch = watchHealth(url, [200, 503]);
  await done("init/generate", round("a"));
  await finds(50);

  logDisk.fill();
  await sleep(seconds * 1000);
  await finds(50);
  // The file's last page takes some more; each question is a line.
  const { lost_log_lines: lost } = await until(
    "a lost line",
    delivery,
    ({ lost_log_lines }) => lost_log_lines > 0,
  );
  steps.log_disk_full = { left: logDisk.left(), lost };

  dataDisk.fill();
  const ill = await until("a store that does not work", health, (answer) => !isFine(answer));
  const refused = await call("init/generate", round("none"));
  await until("the round's end", status, ({ state }) => state === "STOPPED");
  await sleep(seconds * 1000);
  steps.data_disk_full = { health: ill, init: refused.status };

  logDisk.free();
  dataDisk.free();
  await until("a store that works again", health, isFine);
  await done("phase/generate");
  await finds(50);
  await endRound();
  steps.both_free = { health: (await health()).status };

  receiver.isAway = true;
  await done("init/generate", round("b"));
  await finds(50);
  setClock(MONTH_MS);
  await sleep(seconds * 1000);
  await finds(50);
  await endRound();
  await done("init/generate", round("c"));
  setClock(-MONTH_MS);
  await finds(50);
  await endRound();
  await done("init/generate", round("d"));
  const { delivery: after } = await delivery();
  steps.clock = { given_up: after.given_up_nonces };

  await finds(1000);
  receiver.limit = RECEIVER_LIMIT;
  receiver.isAway = false;
  await endRound();
  const drained = ({ delivery: { pending_nonces } }) => pending_nonces === 0;
  const { delivery: end } = await until("every find", delivery, drained);
  steps.receiver = { refused: receiver.refused, ...end };
  steps.health = await watch.end();
  return { ...steps, ...countFinds(found, receiver.times) };
}

/** Where the node's log says that it listens. */
function listening(log) {
  const address = () => /listening on (http:[^"]+)/.exec(readFileSync(log, "utf8"))?.[1];
  return until("the node", address, (url) => url !== undefined);
}

/** What was found, and what of it was delivered how often. */
function countFinds(found, times) {
  const counted = { rounds: [...found.keys()], found: 0, missing: 0, repeated: 0, unfound: 0 };
  for (const [round_id, nonces] of found) {
    const delivered = times.get(round_id) ?? new Map();
    counted.found += nonces.length;
    counted.missing += nonces.filter((nonce) => !delivered.has(nonce)).length;
  }
  for (const [round_id, delivered] of times) {
    const nonces = new Set(found.get(round_id));
    for (const [nonce, count] of delivered) {
      if (count > 1) counted.repeated++;
      if (!nonces.has(nonce)) counted.unfound++;
    }
  }
  return counted;
}

function brokenPromises(seen) {
  const { log_disk_full, data_disk_full, clock, health, rounds } = seen;
  return Object.entries({
    "the log's disk was not full": log_disk_full.left > 0,
    "a round began that cannot be stored": data_disk_full.init !== 503,
    "finds are not delivered": seen.missing > 0,
    "finds are delivered twice": seen.repeated > 0,
    "finds are delivered that are none": seen.unfound > 0,
    "finds are too old": clock.given_up > 0,
    "round ids do not follow the rounds": rounds.toSorted().join() !== rounds.join(),
    "/health is late": health.worst_ms > LATEST,
    "/health does not answer": health.faults.length > 0,
  })
    .filter(([, isBroken]) => isBroken)
    .map(([promise]) => promise);
}

// `node faults.mjs SECONDS` prints it all; with a folder behind them it is the one with the mounts.
if (process.argv[1] === SELF) {
  const [seconds, folder] = [Number(process.argv[2]), process.argv[3]];
  console.log(JSON.stringify(folder ? await play(folder, seconds) : await playFaults(seconds)));
}
