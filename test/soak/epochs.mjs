// A node under its broker, epoch after epoch: what happens at which moment of an epoch is a scenario's.
import { setTimeout as sleep } from "node:timers/promises";
import { createPocClient } from "@proofmill/client";
import { startBroker } from "./broker.mjs";
import { poll, startNode } from "./node.mjs";

/** Of the demo model. */
const MODEL = "proofmill-demo";
const SEQ_LEN = 64;
/** Artifacts before and after what happens in a round. */
const SOME = 20;
const MOST_JUDGED = 200;

/** What every epoch must keep to, whatever happens in it. */
export const SOUND = {
  stuck: { most: 0 },
  lost: { most: 0 },
  skipped: { most: 0 },
  differing: { most: 0 },
  disordered: { most: 0 },
  /** Payloads and verdicts that came again beyond those whose answer was lost, or cut by a kill. */
  again_beyond: { most: 0 },
  wrong_verdicts: { most: 0 },
  undelivered: { most: 0 },
  /** What stale rounds owed, and nothing else, is given up. */
  wrongly_given_up: { most: 0 },
};

/**
 * What may happen in an epoch: each is called beside the order of its name, `generating` in the middle
 * of the round, and `queued` when the node has said that it will send a verdict.
 *
 * @typedef {"poll" | "up" | "init" | "generating" | "stopPow" | "judging" | "queued" | "stop" | "back"} Moment
 * @typedef {Partial<Record<Moment, (epochs: Epochs) => Promise<void>>>} Moments
 */

export class Epochs {
  figures = { epochs: 0, stuck: 0, kills: 0, wrong_verdicts: 0, skipped: 0 };
  /** By block hash, what the node has shown, in order. */
  #shown = new Map();
  /** By request_id, what its verdict must say. */
  #judged = new Map();
  #watching;
  #ended = new AbortController();

  /** @param folder holds the node's data */
  static async open(folder) {
    const broker = await startBroker({ model: MODEL, seqLen: SEQ_LEN });
    return new Epochs(broker, await startNode({ folder, args: ["--callback-interval", "50ms"] }));
  }

  constructor(broker, node) {
    this.broker = broker;
    this.node = node;
    broker.use(node.url);
    this.#watching = this.#watch();
  }

  /** Ends the node by SIGKILL, and starts it again where it was. */
  async kill() {
    const { folder, url } = this.node;
    this.figures.kills++;
    await this.node.end("SIGKILL");
    const args = ["--callback-interval", "50ms", "--port", new URL(url).port];
    this.node = await startNode({ folder, args });
  }

  /** One epoch from its first poll to inference again. */
  async play(/** @type {Moments} */ moments = {}) {
    const { broker, figures } = this;
    const beside = (moment, order) => Promise.all([order(), moments[moment]?.(this)]);
    const expect = (isSo) => {
      if (!isSo) figures.stuck++;
    };
    figures.epochs++;
    await beside("poll", () => broker.poll());
    await beside("up", () => broker.bringUp());
    expect(await broker.reach("INFERENCE"));

    broker.nextStage();
    await beside("init", () => broker.generate());
    expect(await this.#generateSome());
    await moments.generating?.(this);
    expect(await this.#generateSome());
    await beside("stopPow", () => broker.stopPow());
    await broker.stopPow(); // of a node that was away for the first
    expect(await this.#allDelivered());

    broker.phase = "validate";
    const [request_id] = await beside("judging", () => this.#judge());
    await moments.queued?.(this);
    expect(await broker.until(() => broker.verdicts.has(request_id)));

    broker.phase = "inference";
    await beside("stop", () => broker.stop());
    expect(await broker.reach("STOPPED"));
    await beside("back", () => broker.bringUp());
    expect(await broker.reach("INFERENCE"));
  }

  /** Asks for a verdict on what the stage has brought, one of it false; gives the request's id. */
  async #judge() {
    const { broker } = this;
    const artifacts = broker.taken.vectors
      .slice(0, MOST_JUDGED)
      .map((vector_b64, place) => ({ nonce: broker.nonce(place), vector_b64 }));
    artifacts[3].vector_b64 = artifacts[4].vector_b64;
    const request_id = await broker.validate(artifacts);
    this.#judged.set(request_id, { n_total: artifacts.length, nonce: artifacts[3].nonce });
    return request_id;
  }

  /** Ends node and broker; gives what must be so of all epochs together. */
  async end() {
    const { broker } = this;
    const { delivery } = await this.node.client.nodeInfo();
    let [artifacts, lost, differing, disordered, again, owed] = [0, 0, 0, 0, 0, 0];
    for (const [height, taken] of broker.rounds) {
      const shown = this.#shown.get(broker.blockHash(height)) ?? [];
      artifacts += taken.vectors.length;
      if (broker.staleHeights.has(height)) owed += shown.length - taken.vectors.length;
      else lost += Math.abs(shown.length - taken.vectors.length);
      differing += taken.differing;
      differing += taken.vectors.filter((vector, place) => vector !== shown[place]).length;
      disordered += taken.disordered;
      again += taken.again;
    }
    for (const [request_id, { n_total, nonce }] of this.#judged) {
      const verdict = broker.verdicts.get(request_id);
      const isRight = verdict?.n_total === n_total && `${verdict.mismatch_nonces}` === `${nonce}`;
      if (!isRight) this.figures.wrong_verdicts++;
    }
    this.#ended.abort();
    await this.#watching;
    await this.node.end("SIGTERM");
    broker.close();
    return {
      ...this.figures,
      ...{ artifacts, lost, differing, disordered, again },
      verdicts: this.#judged.size,
      verdicts_again: broker.verdictsAgain,
      undelivered: delivery.pending_nonces + delivery.pending_verdicts,
      wrongly_given_up: Math.abs(delivery.given_up_nonces - owed) + delivery.given_up_verdicts,
    };
  }

  /** Follows what the node shows, over its ends. */
  async #watch() {
    const client = createPocClient({ url: this.node.url });
    let shown = [];
    for await (const event of client.watchArtifacts({ signal: this.#ended.signal })) {
      if (event.type === "round") {
        shown = this.#shown.get(event.block_hash) ?? [];
        this.#shown.set(event.block_hash, shown);
      } else {
        if (event.from !== shown.length) this.figures.skipped++;
        shown.push(...event.vectors_b64);
      }
    }
  }

  /** The round is at work and brings something, begun anew where a node has come back without it. */
  async #generateSome() {
    const { broker } = this;
    const enough = broker.taken.vectors.length + SOME;
    const isSo = async () => {
      await broker.reach("POC");
      return broker.taken.vectors.length >= enough;
    };
    return poll(isSo, (is) => is, 60_000);
  }

  /** Nothing is due any more, and all of it was shown. */
  async #allDelivered() {
    const { broker } = this;
    const isSo = async () => {
      const { delivery } = await this.node.client.nodeInfo();
      const shown = this.#shown.get(broker.blockHash()) ?? [];
      return delivery.pending_nonces === 0 && shown.length === broker.taken.vectors.length;
    };
    return poll(isSo, (is) => is, 60_000);
  }
}

/** Milliseconds, at most so many, in which something may come at any moment. */
export function anyMoment(most) {
  return sleep(most * Math.random());
}
