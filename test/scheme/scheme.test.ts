/**
 * What a second proof needs of the house: nothing but its scheme. A round of a make-believe one runs
 * over the round's machinery, the database, the outbox and the sender as they are.
 */
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { transformSync } from "esbuild";
import { expect, onTestFinished, test } from "vitest";
import { noMeter } from "../../packages/core/src/round/meter.ts";
import { Rounds } from "../../packages/core/src/round/rounds.ts";
import { Runners } from "../../packages/core/src/round/runners.ts";
import { StoreWatch } from "../../packages/core/src/round/store-watch.ts";
import { Subscriptions } from "../../packages/core/src/round/subscriptions.ts";
import { ValidationQueue } from "../../packages/core/src/round/validation.ts";
import { BatchSizers } from "../../packages/core/src/runner/batch-sizer.ts";
import type { ModelRunner, PrefillJob } from "../../packages/core/src/runner/ports.ts";
import { silentLog } from "../../packages/core/src/util/log.ts";
import { createPoster } from "../../packages/server/src/callbacks/request.ts";
import { CallbackSender } from "../../packages/server/src/callbacks/sender.ts";
import { SqliteStore } from "../../packages/server/src/store/sqlite.ts";
import { type CircleConfig, circle, judgePoints, SCHEMES } from "./circle.ts";

/** The two floats of a nonce: a model whose hidden state has two numbers. */
function pointOf(inputSeed: number): [number, number] {
  if (inputSeed % 7 === 0) return [Number.NaN, 0];
  return [Math.fround(Math.sin(inputSeed)), Math.fround(Math.cos(3 * inputSeed))];
}

const runner: ModelRunner = {
  info: {
    ...{ arithmetic: "plane-1", architecture: "Plane", device: "none", dtype: "float32" },
    ...{ hidden_size: 2, vocab_size: 2, num_hidden_layers: 1, max_position_embeddings: 64 },
    ...{ max_seq_len: 64, preferred_tokens: 64 },
  },
  async run({ input_seeds, output }: PrefillJob) {
    expect(output).toEqual({ kind: "hidden" });
    const values = Float32Array.from([...input_seeds].flatMap(pointOf));
    return { completed: input_seeds.length, values };
  },
  cancel() {},
  async close() {},
};

/** What the round finds among its first `count` nonces. */
function expected(config: CircleConfig, count: number) {
  const finds = { nonces: [] as number[], records: [] as string[], nonfinite: 0 };
  for (let i = 0; i < count; i++) {
    const nonce = 100 + config.node_id + i * 2 * config.node_count;
    const [x, y] = pointOf(config.block_hash.length * 1000 + nonce);
    if (Number.isNaN(x)) finds.nonfinite++;
    else if (Math.hypot(x, y) < config.radius) {
      finds.nonces.push(nonce);
      finds.records.push(`${x} ${y}`);
    }
  }
  return finds;
}

function temporaryFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), "proofmill-"));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

/** The scheme as a module that a thread can load. */
function schemesModule(): URL {
  const source = readFileSync(fileURLToPath(new URL("circle.ts", import.meta.url)), "utf8");
  const file = join(temporaryFolder(), "circle.mjs");
  writeFileSync(file, transformSync(source, { loader: "ts", format: "esm" }).code);
  return pathToFileURL(file);
}

/** Who receives callbacks. */
async function aggregator() {
  const received: { path: string; body: unknown }[] = [];
  const waiting = new Set<() => void>();
  const server = createServer(async (request, response) => {
    let text = "";
    for await (const chunk of request.setEncoding("utf8")) text += chunk;
    received.push({ path: request.url ?? "", body: JSON.parse(text) });
    response.end("{}");
    for (const check of waiting) check();
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    bodies: (path: string) => received.filter((one) => one.path === path).map(({ body }) => body),
    until: (condition: () => boolean) =>
      new Promise<void>((resolve) => {
        const check = () => condition() && resolve();
        waiting.add(check);
        check();
      }),
  };
}

/** A node without doors, over a data folder. */
async function open(folder: string, schemes: URL) {
  const store = await SqliteStore.open({ folder, schemes });
  const [log, now] = [silentLog, () => performance.now()];
  const subscriptions = new Subscriptions(log);
  const storeWatch = new StoreWatch({
    store,
    log,
    onChange() {},
    onRecovery: () => rounds.settle(),
  });
  const runners = new Runners({
    sources: {
      proofs: { share: 1, next: (one) => validations.next(one) },
      search: { share: 15, next: (one) => rounds.current?.generator.next(one) ?? null },
    },
    ...{ now, log, onJobEnded() {}, onChange: () => subscriptions.changed() },
  });
  const validations = new ValidationQueue({
    dispatcher: runners.dispatcher,
    isExpected: () => true,
    maxNonces: 1000,
  });
  const rounds = new Rounds({
    ...{ recent: await store.recent(), schemes: SCHEMES, storeWatch, runners, now, log },
    meter: noMeter,
    ...{ modelName: "", resumes: false, checkConfig() {} },
    newRoundId: (last) => `round-${Number(last?.slice(-1) ?? 0) + 1}`,
    onChange: () => subscriptions.changed(),
  });
  const sender = await CallbackSender.start({
    ...{ outbox: store, poster: createPoster({}), interval: 10, maxNonces: 5, maxAge: 60_000, log },
  });
  const close = async () => {
    storeWatch.close();
    await rounds.perform({ kind: "stop" }, now());
    await rounds.settle();
    await sender.close();
    await store.close();
  };
  const until = (condition: () => boolean) =>
    new Promise<void>((resolve) => {
      const off = subscriptions.on(check);
      function check() {
        if (!condition()) return;
        off();
        resolve();
      }
      check();
    });
  return { store, rounds, runners, validations, subscriptions, close, until, now };
}

test("a round of another proof is searched, stored, told, delivered, judged and gone on with", async () => {
  const { url, bodies, until: received } = await aggregator();
  const [folder, schemes] = [temporaryFolder(), schemesModule()];
  const config: CircleConfig = {
    ...{ block_hash: "block", block_height: 1, public_key: "node", callback_url: url },
    ...{ node_id: 1, node_count: 3, batch_size: 8, seq_len: 16, radius: 0.8 },
  };
  const first = await open(folder, schemes);
  const { rounds, runners, store, validations } = first;
  runners.attach(runner);
  await rounds.perform({ kind: "init/generate", scheme: "circle", config }, first.now());
  const book = () => {
    const { ledger } = rounds.current ?? {};
    if (!ledger) throw new Error("there is no round");
    return ledger;
  };
  await first.until(() => book().found >= 12);
  await rounds.perform({ kind: "init/validate", scheme: "circle", config }, first.now());

  // Everything that was computed is counted, and what was found is in order.
  const { nonces, records, nonfinite } = expected(config, book().position);
  expect(book().finds({ since: 0, limit: 10_000 })).toEqual({ nonces, records });
  expect(book().nonfinite).toBe(nonfinite);
  expect(nonfinite).toBeGreaterThan(0);

  // Those who follow it are told in the scheme's own events.
  const abort = new AbortController();
  const told: unknown[] = [];
  for await (const { event } of first.subscriptions.watchFinds(
    {
      rounds: () => rounds.readable,
      events: {
        round: ({ round_id }): object => ({ circle: round_id }),
        finds: (round, since, to) => round.finds({ since, limit: to - since }),
      },
    },
    { signal: abort.signal },
  )) {
    if (told.push(event) === 2) abort.abort();
  }
  expect(told).toEqual([{ circle: "round-1" }, { nonces, records }]);

  // A claim with one lie in it is judged, and the verdict is pushed.
  const claim = { nonces: nonces.slice(0, 3), points: [...records.slice(0, 2), "0.5 0.5"] };
  const sizers = new BatchSizers(config);
  const recomputed = await validations.recompute({
    ...{ scheme: circle, config, nonces: claim.nonces, sizers },
  });
  const batch = judgePoints(claim, recomputed);
  const verdict = { far: [nonces[2]], of: 3, arithmetic: "plane-1" };
  expect(batch).toEqual(verdict);
  await store.enqueue({ callback_url: url, scheme: circle.name, kind: "validated", batch });

  // The aggregator has every find once, as the scheme says it, and the verdict.
  const points = () =>
    (bodies("/generated") as { circle: string; points: unknown[]; arithmetic: string }[]).flatMap(
      (body) => body.points,
    );
  await received(() => points().length >= nonces.length && bodies("/validated").length > 0);
  expect(points()).toEqual(nonces.map((nonce, i) => ({ nonce, point: records[i] })));
  expect(bodies("/generated")[0]).toMatchObject({ circle: "round-1", arithmetic: "plane-1" });
  expect(bodies("/validated")).toEqual([verdict]);
  await first.close();

  // After a restart the round is there, and goes on where it stopped.
  const second = await open(folder, schemes);
  onTestFinished(second.close);
  expect(second.store.notices).toEqual([]);
  const again = second.rounds.current?.ledger;
  const before = again?.position ?? 0;
  expect(again).toMatchObject({ round_id: "round-1", config, found: nonces.length });
  expect(again?.finds({ since: 0, limit: 10_000 })).toEqual({ nonces, records });
  second.runners.attach(runner);
  await second.rounds.perform({ kind: "phase/generate", scheme: circle.name }, second.now());
  await second.until(() => (again?.position ?? 0) > before + 20);
  await second.rounds.perform({ kind: "stop" }, second.now());
  const more = expected(config, again?.position ?? 0);
  expect(again?.finds({ since: 0, limit: 10_000 })).toEqual({
    ...{ nonces: more.nonces, records: more.records },
  });
});

test("a round whose proof nobody knows any more is left out, and loses nothing", async () => {
  const [folder, schemes] = [temporaryFolder(), schemesModule()];
  const config = {
    ...{ block_hash: "block", block_height: 1, public_key: "node", callback_url: null },
    ...{ node_id: 0, node_count: 1, batch_size: 8, seq_len: 16, radius: 0.8 },
  };
  const known = await SqliteStore.open({ folder, schemes });
  await known.create({ round_id: "a", scheme: "circle", config });
  await known.close();
  const unknown = await SqliteStore.open({ folder });
  expect(unknown.notices).toEqual([
    "round a cannot be read and is left out: its finds are not sent",
  ]);
  expect(await unknown.recent()).toEqual([]);
  await unknown.close();
  const again = await SqliteStore.open({ folder, schemes });
  onTestFinished(() => again.close());
  expect(await again.recent()).toMatchObject([{ round_id: "a", scheme: "circle", config }]);
});
