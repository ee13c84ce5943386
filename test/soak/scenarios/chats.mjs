// A node whose model answers, round after round, and while its runner is killed: what was promised to
// whoever asks, what rounds find beside it, and what is left of ten thousand answers.
import { setTimeout as sleep } from "node:timers/promises";
import { complete, sessionFigures } from "../chats.mjs";
import { poll, startNode, withFolder } from "../node.mjs";

export const about =
  "answers by the node's own model: cut off by rounds, left, and while its runner dies";

export const bounds = {
  cycles: { least: 5 },
  // Whole, refused or cut off by the round, and nothing else.
  whole: { least: 5 },
  refused: { least: 1 },
  ended: { least: 1 },
  other_ends: { most: 0 },
  compared: { least: 40 },
  distances_that_differ: { most: 0 },
  short_requests: { least: 200 },
  left: { least: 1 },
  short_requests_not_whole: { most: 0 },
  // Who leaves is no failure of the node's.
  failures_logged: { most: 0 },
  kv_pages_left: { most: 0 },
  sessions_left: { most: 0 },
  runner_kills: { least: 2 },
  requests_killed: { least: 8 },
  unclear_errors: { most: 0 },
  slowest_error_ms: { most: 2000 },
  // As a search's, in runner-deaths.
  slowest_return_ms: { most: 20_000 },
};

const CYCLES = 50;
const SHORT_REQUESTS = 10_000;
const KILLS = 30;
/** Finds of each round that are compared. */
const COMPARED = 8;
const AT_ONCE = 40;
/** A caller who waits longer has been forgotten. */
const PATIENCE = 60_000;

/** Every nonce is valid, so that the finds show what was computed. */
const ROUND = {
  ...{ block_hash: "chats", block_height: 1, public_key: "soak", r_target: 2 },
  ...{ node_id: 0, node_count: 1, seq_len: 16, batch_size: 8 },
};

export const play = ({ share }) =>
  withFolder(async (folder) => {
    const args = ["--poc-drain-seconds", "0", "--runner-max-restarts", "1000"];
    const node = await startNode({ folder, args });
    const times = (count, least) => Math.max(least, Math.round(count * share));
    const figures = {
      ...(await rounds(node, times(CYCLES, 5))),
      ...(await shortRequests(node, times(SHORT_REQUESTS, 200))),
      ...(await kills(node, times(KILLS, 2))),
    };
    await node.end("SIGTERM");
    const failures = node.lines.filter(({ msg }) => msg === "a request failed");
    return { ...figures, failures_logged: failures.length };
  });

/** Rounds amid traffic, beside one on the quiet node. */
async function rounds({ client, url }, cycles) {
  const first = async () => {
    await client.initGenerate(ROUND);
    await poll(
      () => client.status({ limit: 1 }),
      ({ total_valid }) => total_valid >= COMPARED,
    );
    await client.stop();
    const { valid_nonces, valid_distances } = await client.status();
    const found = new Map(valid_nonces.map((nonce, i) => [nonce, valid_distances[i]]));
    return Array.from({ length: COMPARED }, (_, nonce) => found.get(nonce));
  };
  const quiet = await first();
  const counts = { cycles: 0, whole: 0, refused: 0, ended: 0, other_ends: 0 };
  let isOver = false;
  const traffic = async (stream, lane) => {
    for (let i = 0; !isOver; i++) {
      const body = { prompt: `${lane} asks ${i}`, max_tokens: 60, stream };
      const { kind, code, tokens } = await complete(url, body);
      const isClean = kind === "whole" ? tokens === 60 : code === "poc_in_progress";
      counts[isClean ? kind : "other_ends"]++;
      // Whoever is refused is told to come again, not at once.
      if (kind === "refused") await sleep(5);
    }
  };
  const chats = Promise.all([true, false, true, false].map(traffic));
  let differing = 0;
  for (; counts.cycles < cycles; counts.cycles++) {
    const { whole } = counts;
    await poll(
      () => counts.whole,
      (now) => now > whole,
    );
    const found = await first();
    differing += found.filter((distance, i) => distance !== quiet[i]).length;
  }
  isOver = true;
  await chats;
  return { ...counts, compared: COMPARED * cycles, distances_that_differ: differing };
}

/** Many short ones, of which every tenth is left by whoever asked; then the runner's own count. */
async function shortRequests({ url }, count) {
  const counts = { short_requests: 0, left: 0, short_requests_not_whole: 0 };
  const lane = async () => {
    while (counts.short_requests < count) {
      const number = counts.short_requests++;
      const leave = new AbortController();
      const leaves = number % 10 === 0;
      if (leaves) setTimeout(() => leave.abort(), 20 * Math.random());
      const body = {
        prompt: `${number} `.repeat(1 + (number % 40)),
        ...{ max_tokens: 1 + (number % 4), stream: number % 2 === 0 },
      };
      const { kind } = await complete(url, body, { signal: leave.signal });
      if (kind === "left") counts.left++;
      else if (kind !== "whole") counts.short_requests_not_whole++;
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, lane));
  // The runner tells its count once a second: one that is seen at work shows that it is no older.
  const last = new AbortController();
  const endless = complete(url, { prompt: "last", max_tokens: 4000 }, { signal: last.signal });
  await poll(
    () => sessionFigures(url),
    ({ running }) => running > 0,
  );
  last.abort();
  await endless;
  const { pages, running, waiting } = await poll(
    () => sessionFigures(url),
    (now) => now.pages + now.running + now.waiting === 0,
  );
  return { ...counts, kv_pages_left: pages, sessions_left: running + waiting };
}

/** kill -9 of the runner with requests running, streams and others. */
async function kills({ client, url }, count) {
  const counts = { runner_kills: 0, requests_killed: 0, unclear_errors: 0 };
  const errors = [];
  const returns = [];
  for (; counts.runner_kills < count; counts.runner_kills++) {
    const asked = [true, true, false, false].map((stream, lane) => {
      const body = { prompt: `${lane} waits`, max_tokens: 4000, stream };
      const asking = { end: null, begun: null };
      const begun = new Promise((onBegun) => {
        asking.end = complete(url, body, { onBegun });
      });
      if (stream) asking.begun = begun;
      return asking;
    });
    await Promise.all(asked.map(({ begun }) => begun));
    await sleep(200 * Math.random());
    const { runners } = await client.nodeInfo();
    const killed = performance.now();
    for (const { pid } of runners) process.kill(pid, "SIGKILL");
    const ends = await Promise.all(
      asked.map(async ({ end }) => {
        const { code } = await end;
        errors.push(performance.now() - killed);
        return code;
      }),
    );
    counts.requests_killed += ends.length;
    counts.unclear_errors += ends.filter((code) => code !== "runner_lost").length;
    const { kind } = await poll(
      () => complete(url, { prompt: "again", max_tokens: 2 }),
      (outcome) => outcome.kind === "whole",
      PATIENCE,
    );
    if (kind !== "whole") throw new Error("no answer after the runner's end");
    returns.push(performance.now() - killed);
  }
  return {
    ...counts,
    slowest_error_ms: Math.max(...errors),
    slowest_return_ms: Math.max(...returns),
  };
}
