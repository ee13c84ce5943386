// A node that is killed at random moments of one round, and goes on with it each time.
import { setTimeout as sleep } from "node:timers/promises";
import { poll, startNode, withFolder } from "../node.mjs";

export const about = "kill -9 of the node at random moments of a round, with --resume-round";

export const bounds = {
  kills: { least: 1 },
  lost: { most: 0 },
  skipped_or_repeated: { most: 0 },
  other_rounds: { most: 0 },
  wrong_distances: { most: 0 },
  checked: { least: 1 },
};

const KILLS = 50;
/** Milliseconds after a node listens: it may be loading its model then, or search. */
const LATEST_KILL = 1500;
/** Of the finds so many are computed anew at the end. */
const COMPARED = 1000;

/** Every nonce is valid, so that what was counted shows in the list. */
const ROUND = {
  ...{ block_hash: "kills", block_height: 1, public_key: "soak", r_target: 2 },
  ...{ node_id: 0, node_count: 1, seq_len: 256, batch_size: 16 },
};

export const play = ({ share }) =>
  withFolder(async (folder) => {
    const start = (until) => startNode({ folder, args: ["--resume-round"], until });
    let node = await start("loaded");
    let shown = (await node.client.initGenerate(ROUND)).pow_status;
    const { round_id } = shown;
    const kills = Math.max(3, Math.round(KILLS * share));
    const figures = { kills: 0, lost: 0, skipped_or_repeated: 0, other_rounds: 0 };
    /** Compares what a node shows with what was shown before. */
    const look = async () => {
      const now = await node.client.status();
      const isLost = (list) => shown[list].some((value, i) => now[list][i] !== value);
      if (now.round_id !== round_id) figures.other_rounds++;
      if (now.total_checked < shown.total_checked) figures.lost++;
      if (isLost("valid_nonces") || isLost("valid_distances")) figures.lost++;
      const isWhole = now.valid_nonces.every((nonce, i) => nonce === i);
      if (!isWhole || now.valid_nonces.length !== now.total_checked) figures.skipped_or_repeated++;
      shown = now;
    };
    await poll(look, () => shown.total_checked > 0); // so that there is something to lose
    while (figures.kills < kills) {
      await sleep(LATEST_KILL * Math.random());
      await look();
      await node.end("SIGKILL");
      figures.kills++;
      node = await start("listening");
      await look();
    }
    await node.logged("the round goes on where the node ended");
    await node.client.stop();
    await look();
    const wrong_distances = await compare(node.client, shown);
    await node.end("SIGTERM");
    return { ...figures, checked: shown.total_checked, wrong_distances };
  });

/** @returns how many of some of the finds have another distance when they are computed anew */
async function compare(client, { valid_nonces, valid_distances }) {
  const step = Math.ceil(valid_nonces.length / COMPARED);
  const some = (list) => list.filter((_, i) => i % step === 0);
  const [nonces, dist] = [some(valid_nonces), some(valid_distances)];
  const { block_hash, block_height, public_key, node_id } = ROUND;
  const proof = { block_hash, block_height, public_key, node_id, nonces, dist };
  const { distances } = await client.validate(proof);
  return distances.filter((distance, i) => distance !== dist[i]).length;
}
