/**
 * What concerns rounds of artifacts (docs/protocol-v2.md): the calls of an epoch, played against a
 * node of the doctor's own as the network's broker plays them.
 */
import { decodeVector } from "@proofmill/core";
import { type Answer, type Broker, type Delivery, playBroker } from "./broker.ts";
import { type Check, type Finding, failed, ok, skipped } from "./check.ts";
import { judgeRate, type Rates } from "./rates.ts";

const POW = "/api/v1/inference/pow";
const K_DIM = 12;
/** How much longer or shorter than 1 half precision leaves a vector. */
const NORM_ERROR = 2e-3;
/** Validators refuse a prover whose largest nonce is so many times the number of its artifacts. */
const REFUSED_POROSITY = 100;
/** Nonces that the broker can hold: it takes them as int32. */
const LARGEST_NONCE = 2 ** 31 - 1;
/** Artifacts that are validated; the last of them is spoiled before. */
const SAMPLE = 20;
/** How often a broker asks a node that has sent nothing how it is, milliseconds. */
const ASK_MS = 1000;
/** What was computed is there after the node's interval and so many milliseconds. */
const DELIVERY_MS = 10_000;

/** A broker's first node: it numbers them from 1. */
const ROUND = {
  ...{ block_hash: "proofmill-doctor", block_height: 1, public_key: "proofmill-doctor" },
  ...{ node_id: 1, node_count: 2 },
};

interface ArtifactChecks {
  /** Starts a node as `serve` would, loaded, and says where it answers; no slash at the end. */
  openNode: () => Promise<{ url: string; close(): Promise<unknown> }>;
  modelName: string;
  /** The length that rounds have. */
  seqLen: number;
  /** Milliseconds for which artifacts are counted. */
  searchMs: number;
  /** Milliseconds between the node's callbacks. */
  callbackInterval: number;
  /** Where rates are kept; null: nowhere. */
  rates: Rates | null;
  /** Milliseconds that what is due may take beyond the interval; for tests. */
  deliveryMs?: number;
}

interface Artifact {
  nonce: number;
  vector_b64: string;
}

/** What is there once the round has begun, for the checks after it. */
interface Epoch {
  readonly broker: Broker;
  readonly params: { model: string; seq_len: number };
  /** What computes. */
  readonly device: string;
  /** The first callback's; more are counted and not kept. */
  sample: readonly Artifact[];
  firstAt: number;
  count: number;
  largest: number;
}

/** Later ones need what the first begin, and are skipped without it. */
export function artifactChecks(options: ArtifactChecks): {
  checks: Check[];
  close(): Promise<void>;
} {
  const { modelName, seqLen, searchMs, callbackInterval, rates } = options;
  const dueMs = callbackInterval + (options.deliveryMs ?? DELIVERY_MS);
  const closing: (() => Promise<unknown>)[] = [];
  let epoch: Epoch | null = null;

  async function begin(): Promise<Finding> {
    const node = await options.openNode();
    closing.push(() => node.close());
    const broker = await playBroker(node.url);
    closing.unshift(() => broker.close());
    const { body } = await broker.call("GET", "/api/v1/state");
    if (body.state !== "INFERENCE") return failed(`the node's state is ${shown(body.state)}`);
    const params = { model: modelName, seq_len: seqLen };
    const round = { ...ROUND, params, url: broker.url };
    const answer = await broker.call("POST", `${POW}/init/generate`, round);
    if (answer.status !== 200) return refused(answer);
    const info = (await broker.call("GET", "/api/v1/node/info")).body;
    const device = `${info.device}, ${info.arithmetic}`;
    epoch = { broker, params, device, sample: [], firstAt: 0, count: 0, largest: -1 };
    return ok(`${modelName} generates at seq_len ${seqLen}, as the broker asks for it`);
  }

  async function receiveOne(of: Epoch): Promise<Finding> {
    const first = await firstOf(of.broker, dueMs);
    if (typeof first === "string") return failed(first);
    const artifacts = artifactsIn(first);
    const fault = faultOf(first, artifacts);
    if (fault) return failed(`the node's callback is not what a broker takes: ${fault}`);
    of.firstAt = first.at;
    of.sample = artifacts;
    return ok(`${artifacts.length} artifacts came to ${of.broker.url}`);
  }

  /** As they come to the receiver: what is slow on the way counts too. */
  async function countFor(of: Epoch): Promise<Finding> {
    if (of.firstAt === 0) return skipped("no artifact came");
    let last = of.firstAt;
    let since = 0;
    take(of, of.sample);
    while (last - of.firstAt < searchMs || since === 0) {
      const next = await firstOf(of.broker, dueMs);
      if (typeof next === "string") return failed(next);
      const artifacts = artifactsIn(next);
      const fault = faultOf(next, artifacts) ?? take(of, artifacts);
      if (fault) return failed(`the node's callback is not what a broker takes: ${fault}`);
      since += artifacts.length;
      last = next.at;
    }
    const rate = (60_000 * since) / (last - of.firstAt);
    const key = [modelName, of.device, `seq_len ${seqLen}`, "artifacts"].join(", ");
    return judgeRate(rate, { key, rates, unit: "artifacts a minute" });
  }

  function porosityOf({ count, largest }: Epoch): Finding {
    if (count === 0) return skipped("no artifact came");
    const share = largest / count;
    const words = `the largest nonce of ${count} artifacts is ${largest}: ${share.toFixed(1)} for each`;
    if (share < REFUSED_POROSITY) return ok(`${words}, validators refuse ${REFUSED_POROSITY}`);
    return failed(`${words}, and validators refuse ${REFUSED_POROSITY}`);
  }

  async function validate({ broker, params, sample }: Epoch): Promise<Finding> {
    await broker.call("POST", `${POW}/stop`, {});
    if (sample.length < 2) return skipped("fewer than two artifacts came");
    const artifacts = sample.slice(0, SAMPLE);
    const spoiled = artifacts.pop() as Artifact; // there are two
    artifacts.push({ ...spoiled, vector_b64: opposite(spoiled.vector_b64) });
    const answer = await broker.call("POST", `${POW}/generate`, {
      ...{ ...ROUND, node_count: 1, params, url: broker.url },
      nonces: artifacts.map(({ nonce }) => nonce),
      validation: { artifacts },
    });
    if (answer.status !== 200) return refused(answer);
    const verdict = await verdictOn(broker, { id: String(answer.body.request_id), dueMs });
    if (typeof verdict === "string") return failed(verdict);
    const wrong = verdict.body.mismatch_nonces as number[];
    const { nonce } = spoiled;
    if (!wrong.includes(nonce)) return failed(`nonce ${nonce}'s vector was spoiled, and passed`);
    if (wrong.length === 1) {
      return ok(`${artifacts.length} were computed again: the spoiled one was found, and no other`);
    }
    const own = wrong.filter((each) => each !== nonce);
    return failed(
      `${own.length} of ${artifacts.length - 1} came out otherwise when they were computed again, ` +
        `first nonce ${own[0]}: run proofmill selftest`,
    );
  }

  const within = (check: (epoch: Epoch) => Finding | Promise<Finding>) => () =>
    epoch ? check(epoch) : skipped("no round began");
  return {
    checks: [
      { name: "init", run: begin },
      { name: "callback", run: within(receiveOne) },
      { name: "artifacts", run: within(countFor) },
      { name: "porosity", run: within(porosityOf) },
      { name: "validation", run: within(validate) },
    ].map(({ name, run }) => ({ name: `v2 ${name}`, run })),
    async close() {
      for (const close of closing) await close();
    },
  };
}

/** The next callback with artifacts, or why none comes. */
async function firstOf(broker: Broker, dueMs: number): Promise<Delivery | string> {
  let due = Number.POSITIVE_INFINITY;
  let before = 0;
  for (;;) {
    const delivery = await broker.next("generated", Math.min(ASK_MS, dueMs));
    if (delivery) return delivery;
    const { body } = await broker.call("GET", `${POW}/status`);
    const [backend] = (body.backends ?? []) as { stats: { total_processed: number } | null }[];
    if (body.status !== "GENERATING") return `the round ended by itself: ${shown(body.status)}`;
    const computed = backend?.stats?.total_processed ?? 0;
    if (computed > before && due === Number.POSITIVE_INFINITY) due = performance.now() + dueMs;
    before = computed;
    if (performance.now() > due) {
      return `${computed} nonces were computed, and no callback came: ${await whyNone(broker)}`;
    }
  }
}

async function whyNone(broker: Broker): Promise<string> {
  const [status, info] = await Promise.all([
    broker.call("GET", "/api/v1/pow/status"),
    broker.call("GET", "/api/v1/node/info"),
  ]);
  const nonfinite = Number(status.body.total_nonfinite ?? 0);
  if (nonfinite > 0) {
    return `${nonfinite} are not finite, the model's files or memory are damaged: run proofmill selftest`;
  }
  const { failures = {} } = (info.body.delivery ?? {}) as { failures?: Record<string, number> };
  const reasons = Object.keys(failures).join(", ") || "it was not tried";
  return `${reasons}; look at --callback-allow, --callback-interval and --callback-tls-ca`;
}

/** The verdict that is pushed, or why none is. */
async function verdictOn(
  broker: Broker,
  { id, dueMs }: { id: string; dueMs: number },
): Promise<Delivery | string> {
  let due = Number.POSITIVE_INFINITY;
  for (;;) {
    const verdict = await broker.next("validated", Math.min(ASK_MS, dueMs));
    if (verdict) return verdict;
    const { body, text } = await broker.call("GET", `${POW}/generate/${encodeURIComponent(id)}`);
    if (body.status === "completed") due = Math.min(due, performance.now() + dueMs);
    else if (body.status !== "queued" && body.status !== "running") return `the job: ${text}`;
    if (performance.now() > due) return "there is a verdict, and no callback brought it";
  }
}

function artifactsIn({ body }: Delivery): Artifact[] {
  return Array.isArray(body.artifacts) ? (body.artifacts as Artifact[]) : [];
}

/** What a broker, or who computes them again, would refuse; null: nothing. */
function faultOf({ body }: Delivery, artifacts: readonly Artifact[]): string | null {
  for (const field of ["block_hash", "block_height", "public_key", "node_id"] as const) {
    if (body[field] !== ROUND[field]) return `${field} is ${shown(body[field])}`;
  }
  if (artifacts.length === 0) return "it has no artifacts";
  for (const { nonce, vector_b64 } of artifacts) {
    if (!Number.isInteger(nonce) || nonce < 0 || nonce > LARGEST_NONCE) {
      return `nonce ${shown(nonce)} is no number from 0 to 2³¹ − 1`;
    }
    const vector = decodeVector(String(vector_b64), K_DIM);
    if (!vector) return `nonce ${nonce}'s vector is not ${K_DIM} finite numbers`;
    const norm = Math.hypot(...vector);
    if (Math.abs(norm - 1) > NORM_ERROR) return `nonce ${nonce}'s vector has length ${norm}`;
  }
  return null;
}

/** Counts them; says what is wrong with their order, which would hide that one comes twice. */
function take(epoch: Epoch, artifacts: readonly Artifact[]): string | null {
  for (const { nonce } of artifacts) {
    if (nonce <= epoch.largest) return `nonce ${nonce} came after ${epoch.largest}`;
    epoch.largest = nonce;
    epoch.count++;
  }
  return null;
}

/** The vector that points the other way: as far from it as one of its length can be. */
function opposite(vector: string): string {
  const bytes = Buffer.from(vector, "base64");
  for (let i = 1; i < bytes.length; i += 2) bytes[i] = (bytes[i] ?? 0) ^ 0x80; // half precision's signs
  return bytes.toString("base64");
}

function refused({ status, body, text }: Answer): Finding {
  const { detail } = body;
  return failed(`it answered ${status}: ${detail === undefined ? text : shown(detail)}`);
}

function shown(value: unknown): string {
  return typeof value === "string" ? value : JSON.stringify(value ?? null);
}
