// One round whose runner is killed, crashes or stops at random moments, beside one that is left alone:
// every nonce is counted once, with the same bits.
import { execFileSync } from "node:child_process";
import { setTimeout as sleep } from "node:timers/promises";
import { childrenOf, poll, startNode, withFolder } from "../node.mjs";

export const about = "a round whose runner is killed, crashes, is stopped or finds no memory";

export const bounds = {
  nonces_missed_or_twice: { most: 0 },
  bits_that_differ: { most: 0 },
  // As it would where a runner lives and fails every job.
  stopped_by_itself: { most: 0 },
  compared: { least: 100 },
  kills: { least: 1 },
  crashes: { least: 1 },
  pauses: { least: 1 },
  paused_that_ended: { most: 0 },
  // The demo model is there again within two seconds on an idle machine; this one may be busy.
  slowest_return_ms: { most: 20_000 },
};

/** Of each kind in the long form. A runner that is stopped is found out only after half a minute. */
const DEATHS = { kills: 100, crashes: 20, out_of_memory: 10, stops: 1 };
/** Stops from which a runner goes on by itself. */
const PAUSES = 20;
/** Milliseconds. */
const STARVED_FOR = 1500;
const CRASHES = ["SIGABRT", "SIGSEGV", "SIGBUS"];

/** Every nonce is valid, so that the finds show what was counted. */
const ROUND = {
  ...{ block_hash: "abc123", block_height: 100, public_key: "node1", r_target: 2 },
  ...{ node_id: 0, node_count: 1, seq_len: 32 },
};

export const play = ({ share }) =>
  withFolder(async (folder) => {
    const node = await startNode({ folder, args: ["--runner-max-restarts", "1000"] });
    const checked = async () => (await node.client.status({ limit: 1 })).total_checked;
    const more = (count) => poll(checked, (now) => now >= count);

    const alive = () =>
      poll(
        async () => {
          const { runners } = await node.client.nodeInfo();
          return runners.filter(({ state }) => state === "alive").map(({ pid }) => pid);
        },
        ([pid]) => pid !== undefined,
      );

    let starvedThatLived = 0;
    /**
     * Leaves a process no memory but what it holds. Many end by that, in V8 or in a stack that cannot
     * grow; one that can do without computes on, and is killed after a while. In the kernel's log such
     * ends are a `trap int3` of node, V8's own end, or a `segfault` in libgcc.
     */
    const starve = (pid) => {
      execFileSync("prlimit", ["--pid", String(pid), "--as=1048576"]);
      setTimeout(() => {
        if (!childrenOf(node.pid).includes(pid)) return;
        starvedThatLived++;
        process.kill(pid, "SIGKILL");
      }, STARVED_FOR);
    };

    const returns = [];
    /**
     * Ends the runner; resolves when the round has counted another nonce since.
     *
     * @param endNext what ends the one that is started then, too
     */
    const death = async (end, endNext) => {
      await sleep(500 * Math.random());
      const [pid] = await poll(
        () => childrenOf(node.pid),
        ([child]) => child !== undefined,
      );
      end(pid);
      await poll(
        () => childrenOf(node.pid),
        (children) => !children.includes(pid),
        60_000,
      );
      if (endNext) {
        const [next] = await poll(
          () => childrenOf(node.pid),
          ([child]) => child !== undefined,
        );
        endNext(next);
      }
      const gone = performance.now();
      const before = await checked();
      await poll(checked, (now) => now > before);
      returns.push(performance.now() - gone);
    };
    const times = (count) => Math.round(count * share);

    await node.client.initGenerate(ROUND);
    let crashes = 0;
    let kills = 0;
    for (; kills < Math.max(3, times(DEATHS.kills)); kills++) {
      await death((pid) => process.kill(pid, "SIGKILL"));
    }
    for (; crashes < Math.max(CRASHES.length, times(DEATHS.crashes)); crashes++) {
      await death((pid) => process.kill(pid, CRASHES[crashes % CRASHES.length]));
    }
    // A runner that may take no more memory, in the middle of its work and while it loads.
    let starved = 0;
    for (; starved < Math.max(2, times(DEATHS.out_of_memory)); starved++) {
      if (starved % 2 === 0) await death(starve);
      else {
        await death((pid) => process.kill(pid, "SIGKILL"), starve);
      }
    }
    let pauses = 0;
    let pausedThatEnded = 0;
    for (; pauses < Math.max(2, times(PAUSES)); pauses++) {
      const [pid] = await alive();
      process.kill(pid, "SIGSTOP");
      await sleep(1000 * Math.random());
      process.kill(pid, "SIGCONT");
      await more((await checked()) + 1);
      if (!childrenOf(node.pid).includes(pid)) pausedThatEnded++;
    }
    let stops = 0;
    for (; stops < times(DEATHS.stops); stops++) await death((pid) => process.kill(pid, "SIGSTOP"));

    await more((await checked()) + 100);
    const { state } = await node.client.status({ limit: 1 });
    await node.client.stop();
    const { valid_nonces, valid_distances, total_checked } = await node.client.status();

    await node.client.initGenerate(ROUND);
    await more(Math.min(total_checked, 1000));
    await node.client.stop();
    const quiet = await node.client.status();
    const compared = Math.min(total_checked, quiet.total_checked);
    const differing = valid_distances
      .slice(0, compared)
      .filter((distance, i) => distance !== quiet.valid_distances[i]);
    const exit_code = await node.end("SIGTERM");
    returns.sort((a, b) => a - b);
    return {
      kills,
      crashes,
      starved,
      starved_that_lived: starvedThatLived,
      stops,
      pauses,
      paused_that_ended: pausedThatEnded,
      stopped_by_itself: Number(state !== "GENERATING"),
      total_checked,
      nonces_missed_or_twice:
        Math.abs(total_checked - valid_nonces.length) +
        valid_nonces.filter((nonce, i) => nonce !== i).length,
      compared,
      bits_that_differ: differing.length,
      median_return_ms: returns[Math.floor(returns.length / 2)],
      slowest_return_ms: returns.at(-1),
      exit_code,
    };
  });
