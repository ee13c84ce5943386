// The network's broker: the order of its calls (docs/mlnode.md), what it answers callbacks, and what it
// has been given.
import { once } from "node:events";
import { createServer, request } from "node:http";
import { setTimeout as sleep } from "node:timers/promises";

/** The network's version, before every path. */
const VERSION = "/v3.0.13";
/** The broker knows its node by this number among so many. */
const NODE_ID = 1;
const NODE_COUNT = 3;
const KEY = "02a1633cafcc01ebfb6d78e39f687a1f0995c62fc95f51ead10a02ee0be551b5dc";
/** Milliseconds after which a node that has not come where it should be is stuck. */
const PATIENCE = 60_000;

/** What one round has brought. */
class Taken {
  /** In order: the vector of the walk's i-th nonce. */
  vectors = [];
  /** Payloads with something that was there already. */
  again = 0;
  /** Artifacts that came before their turn, and those that differ from what came before. */
  disordered = 0;
  differing = 0;

  take(artifacts) {
    let isAgain = false;
    for (const { nonce, vector_b64 } of artifacts) {
      const place = (nonce - NODE_ID) / NODE_COUNT;
      if (place === this.vectors.length) this.vectors.push(vector_b64);
      else if (this.vectors[place] === undefined) this.disordered++;
      else {
        isAgain = true;
        if (this.vectors[place] !== vector_b64) this.differing++;
      }
    }
    if (isAgain) this.again++;
  }
}

/** @param {{ model: string, seqLen: number }} options the node's model, and how long its rounds are */
export async function startBroker({ model, seqLen }) {
  const broker = new Broker(model, seqLen);
  await broker.comeBack();
  return broker;
}

class Broker {
  /** `inference`, `generate` or `validate`. */
  phase = "inference";
  /** Of the stage at hand; a round of artifacts is of one stage. */
  height = 0;
  /** Milliseconds before each answer. */
  delay = 0;
  /** So many payloads are taken and their answers lost. */
  lostAnswers = 0;
  /** Called with each callback before it is taken, and with its path once it is answered. */
  onCallback = async () => {};
  onAnswered = () => {};
  /** By height. */
  rounds = new Map();
  /** By request_id. */
  verdicts = new Map();
  verdictsAgain = 0;
  refusals = { stale: 0, phase: 0 };
  /** Stages that were over before their round had ended: what it still owed is refused. */
  staleHeights = new Set();
  #nodeUrl = "";
  #model;
  #seqLen;
  #server = null;
  #port = 0;
  #looks = new Set();

  constructor(model, seqLen) {
    this.#model = model;
    this.#seqLen = seqLen;
  }

  /** The node that it asks from now on. */
  use(url) {
    this.#nodeUrl = url;
  }

  /** Connections are refused from now on, and those under way are cut. */
  async goAway() {
    const closed = once(this.#server, "close");
    this.#server.close();
    this.#server.closeAllConnections();
    await closed;
    this.#server = null;
  }

  async comeBack() {
    this.#server = createServer((incoming, response) => void this.#receive(incoming, response));
    this.#server.listen(this.#port, "127.0.0.1");
    await once(this.#server, "listening");
    this.#port = this.#server.address().port;
  }

  close() {
    this.#server?.closeAllConnections();
    this.#server?.close();
  }

  /** Resolves with whether `condition` holds, which is looked at with every callback, within the patience. */
  until(condition) {
    return new Promise((resolve) => {
      const settle = (holds) => {
        clearTimeout(timer);
        this.#looks.delete(look);
        resolve(holds);
      };
      const look = () => condition() && settle(true);
      const timer = setTimeout(() => settle(false), PATIENCE);
      this.#looks.add(look);
      look();
    });
  }

  /** The next stage begins: what was taken for the one before is whole by now, or will never be. */
  nextStage() {
    this.height++;
    this.rounds.set(this.height, new Taken());
    this.phase = "generate";
  }

  /** What the stage at hand has brought. */
  get taken() {
    return this.rounds.get(this.height);
  }

  blockHash(height = this.height) {
    return `${height}`.padStart(64, "ABCDEF0123456789");
  }

  /** How the broker sees its node. */
  async poll() {
    const state = await this.#get("/api/v1/state");
    if (!state.ok) return "FAILED";
    if (state.json.state === "STOPPED") return "STOPPED";
    if (state.json.state !== "INFERENCE") return "UNKNOWN";
    if (await this.#isGenerating()) return "POC";
    return (await this.#isWell()) ? "INFERENCE" : "FAILED";
  }

  /** The order `inference up`, also back from a round. */
  async bringUp() {
    const state = await this.#get("/api/v1/state");
    if (state.ok && state.json.state === "INFERENCE" && (await this.#isWell())) {
      if (await this.#isGenerating()) await this.stopPow();
      return;
    }
    await this.stop();
    await this.#post("/api/v1/inference/up", {
      ...{ model: this.#model, dtype: "auto" },
      additional_args: ["--tensor-parallel-size", "1", "--trust-remote-code"],
    });
  }

  /** The order `generate`; false: it is tried again. */
  async generate() {
    if (await this.#isGenerating()) return true; // whatever it is for
    const { ok } = await this.#post("/api/v1/inference/pow/init/generate", {
      ...this.#common(),
      params: { model: this.#model, seq_len: this.#seqLen },
      url: this.callbackUrl,
    });
    return ok;
  }

  /**
   * Asks for a verdict on these artifacts of the stage at hand, as often as it takes.
   *
   * @returns the request's id; null where the node never took it
   */
  async validate(artifacts) {
    const body = {
      ...this.#common(),
      nonces: artifacts.map(({ nonce }) => nonce),
      params: { model: this.#model, seq_len: this.#seqLen },
      url: this.callbackUrl,
      validation: { artifacts },
      stat_test: { dist_threshold: 0.02, p_mismatch: 0.1, p_value_threshold: 0.05 },
    };
    const end = performance.now() + PATIENCE;
    while (performance.now() < end) {
      const { ok, json } = await this.#post("/api/v1/inference/pow/generate", body);
      // The callback has the engine's id, which the service in front puts its port before.
      if (ok) return json.request_id.split(":")[1];
      await sleep(100);
    }
    return null;
  }

  stopPow() {
    return this.#post("/api/v1/inference/pow/stop", {});
  }

  stop() {
    return this.#post("/api/v1/stop", null);
  }

  /** What the reconcile loop does until a poll says so; false when that never comes. */
  async reach(intended) {
    const end = performance.now() + PATIENCE;
    while (performance.now() < end) {
      if ((await this.poll()) === intended) return true;
      if (intended === "POC") await this.generate();
      if (intended === "INFERENCE") await this.bringUp();
      if (intended === "STOPPED") await this.stop();
      await sleep(20);
    }
    return false;
  }

  get callbackUrl() {
    const name = encodeURIComponent(encodeURIComponent(this.#model));
    return `http://127.0.0.1:${this.#port}/v2/poc-batches/${name}`;
  }

  nonce(place) {
    return NODE_ID + place * NODE_COUNT;
  }

  #common() {
    return {
      ...{ block_hash: this.blockHash(), block_height: this.height, public_key: KEY },
      ...{ node_id: NODE_ID, node_count: NODE_COUNT },
    };
  }

  async #isGenerating() {
    const { ok, json } = await this.#get("/api/v1/inference/pow/status");
    return ok && json.status === "GENERATING";
  }

  async #isWell() {
    if (!(await this.#get("/health")).ok) return false;
    const { ok, json } = await this.#get("/v1/models");
    return !ok || json.data[0].id === this.#model;
  }

  async #receive(incoming, response) {
    let text = "";
    for await (const chunk of incoming.setEncoding("utf8")) text += chunk;
    const body = JSON.parse(text);
    await this.onCallback(incoming.url, body);
    if (this.delay > 0) await sleep(this.delay);
    const [status, said] = this.#take(incoming.url, body);
    if (status === 200 && this.lostAnswers > 0) {
      this.lostAnswers--;
      incoming.socket.destroy();
    } else response.writeHead(status).end(said);
    for (const look of this.#looks) look();
    this.onAnswered(incoming.url);
  }

  #take(path, body) {
    if (path === new URL(`${this.callbackUrl}/validated`).pathname) {
      if (this.phase !== "validate") return this.#outOfPhase("not in PoC validate phase");
      if (this.verdicts.has(body.request_id)) this.verdictsAgain++;
      this.verdicts.set(body.request_id, body);
      return [200, ""];
    }
    if (path !== new URL(`${this.callbackUrl}/generated`).pathname) return [404, "no such path"];
    if (this.phase !== "generate") return this.#outOfPhase("not in PoC generate phase");
    if (body.block_height !== this.height) {
      this.refusals.stale++;
      this.staleHeights.add(body.block_height);
      return [400, JSON.stringify({ error: "block_height is not the active PoC stage" })];
    }
    this.taken.take(body.artifacts);
    return [200, ""];
  }

  #outOfPhase(error) {
    this.refusals.phase++;
    return [503, JSON.stringify({ error })];
  }

  #get(path) {
    return this.#send("GET", path, null);
  }

  #post(path, body) {
    return this.#send("POST", path, body && JSON.stringify(body));
  }

  /** As the Go client does: no content type, a connection of its own. A node that is away answers nothing. */
  #send(method, path, text) {
    return new Promise((resolve) => {
      const headers = { "User-Agent": "Go-http-client/1.1" };
      if (method === "POST") headers["Content-Length"] = Buffer.byteLength(text ?? "");
      const failed = () => resolve({ ok: false, json: null });
      const asked = request(this.#nodeUrl + VERSION + path, { method, headers, agent: false });
      asked.on("error", failed).on("response", async (answer) => {
        try {
          let said = "";
          for await (const chunk of answer.setEncoding("utf8")) said += chunk;
          const ok = answer.statusCode < 400;
          resolve({ ok, json: ok && said !== "" ? JSON.parse(said) : null });
        } catch {
          failed();
        }
      });
      asked.end(text ?? undefined);
    });
  }
}
