// The broker's orders, epoch by epoch, while what takes its callbacks is slow, away, in another phase,
// loses answers, or has gone on to the next block.
import { setTimeout as sleep } from "node:timers/promises";
import { Epochs, SOUND } from "../epochs.mjs";
import { poll, withFolder } from "../node.mjs";

export const about = "a broker's orders while its callback address is slow, away or elsewhere";

export const bounds = {
  ...SOUND,
  epochs: { least: 5 },
  artifacts: { least: 100 },
  stale_rounds: { least: 1 },
  stale_unended: { most: 0 },
};

const PASSES = 10;
/** Payloads of a pass that are taken without an answer: two whose answer is lost, one that an end cuts. */
const LOST_ANSWERS = 2;
const CUT = 1;

/** What happens in the middle of an epoch's round. */
const MOODS = {
  async slow({ broker }) {
    broker.delay = 300;
    await broker.until(() => broker.taken.vectors.length > 100);
    broker.delay = 0;
  },
  async away({ broker }) {
    await broker.goAway();
    await sleep(300);
    await broker.comeBack();
  },
  async elsewhere({ broker }) {
    broker.phase = "inference";
    const { phase } = broker.refusals;
    await broker.until(() => broker.refusals.phase > phase);
    broker.phase = "generate";
  },
  async forgetful({ broker }) {
    broker.lostAnswers = LOST_ANSWERS;
    await broker.until(() => broker.lostAnswers === 0);
  },
  /** Both stops were lost: the next stage finds the node at work for the one before. */
  async ahead(epochs) {
    epochs.broker.nextStage();
    // What the old round owes is refused in turn with what the new one brings, until it is given up.
    const givenUp = async () => {
      await epochs.broker.reach("POC");
      return (await epochs.node.client.nodeInfo()).delivery.given_up_nonces;
    };
    const before = await givenUp();
    await poll(givenUp, (now) => now > before);
  },
};

export const play = ({ share }) =>
  withFolder(async (folder) => {
    const epochs = await Epochs.open(folder);
    const passes = Math.max(1, Math.round(PASSES * share));
    let stale_rounds = 0;
    for (let pass = 0; pass < passes; pass++) {
      for (const generating of Object.values(MOODS)) {
        await epochs.play({ generating });
        if (generating === MOODS.ahead) stale_rounds++;
      }
    }
    const metrics = await (await fetch(`${epochs.node.url}/metrics`)).text();
    const ended = Number(/^proofmill_stale_rounds_total (\d+)$/m.exec(metrics)?.[1]);
    const { again, ...figures } = await epochs.end();
    return {
      ...figures,
      again_beyond: again - passes * (LOST_ANSWERS + CUT),
      stale_rounds,
      stale_unended: stale_rounds - ended,
    };
  });
