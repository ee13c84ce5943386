// The broker's orders, with the node killed in the middle of each and between callbacks.
import { anyMoment, Epochs, SOUND } from "../epochs.mjs";
import { withFolder } from "../node.mjs";

export const about = "kill -9 of the node in the middle of each of a broker's orders";

export const bounds = {
  ...SOUND,
  epochs: { least: 3 },
  kills: { least: 12 },
  verdicts: { least: 4 },
  artifacts: { least: 100 },
};

const PASSES = 8;
/** An order's answer takes a few milliseconds: the kill comes before it, or after. */
const ORDER_MS = 8;

const within = async (epochs) => {
  await anyMoment(ORDER_MS);
  await epochs.kill();
};

/** Kills at the next callback to this path, before it is taken and answered or right after. */
const at = (path, when) => (epochs) =>
  new Promise((resolve, reject) => {
    const { broker } = epochs;
    broker[when] = async (url) => {
      if (!url.endsWith(path)) return;
      broker[when] = async () => {};
      await epochs.kill().then(resolve, reject);
    };
  });

const EPOCHS = [
  { poll: within, up: within, init: within, stopPow: within, stop: within, back: within },
  { generating: at("/generated", "onCallback"), judging: at("/validated", "onCallback") },
  { generating: at("/generated", "onAnswered"), judging: at("/validated", "onAnswered") },
  { generating: within, queued: within },
];

export const play = ({ share }) =>
  withFolder(async (folder) => {
    const epochs = await Epochs.open(folder);
    const passes = Math.max(1, Math.round(PASSES * share));
    for (let pass = 0; pass < passes; pass++) {
      for (const moments of EPOCHS) await epochs.play(moments);
    }
    const { again, verdicts_again, ...figures } = await epochs.end();
    return { ...figures, again_beyond: Math.max(0, again + verdicts_again - figures.kills) };
  });
