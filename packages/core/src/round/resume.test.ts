import { afterEach, expect, test, vi } from "vitest";
import { createFakeRunner } from "../runner/fake.ts";
import type { ModelInfo } from "../runner/ports.ts";
import type { PocService } from "../service.ts";
import type { PocServiceOptions } from "../service-options.ts";
import { BODY, MemoryLog, mortal, openService, refusal, turns, until } from "../test-support.ts";
import { MemoryRoundStore } from "./store.ts";

const services: PocService[] = [];

afterEach(async () => {
  for (const service of services.splice(0)) await service.close();
});

/** A node over a store that outlives it: `kill` takes the store from it, as the end of its process would. */
async function node(
  store: MemoryRoundStore,
  { info, ...options }: Partial<PocServiceOptions> & { info?: Partial<ModelInfo> } = {},
) {
  const log = new MemoryLog();
  const life = mortal(store);
  const service = await openService({ store: life.store, resumeRound: true, log, ...options });
  services.push(service);
  return {
    service,
    log,
    kill: () => {
      life.kill();
      services.splice(services.indexOf(service), 1); // it would wait for its store
    },
    attach: () => service.attach(createFakeRunner({ info: { warm_up: "1 and 2", ...info } })),
  };
}

const checked = (service: PocService, least: number) =>
  until(service, () => service.status().total_checked >= least);

/** A node that searches, and what it has shown; then it is killed. */
async function killedInItsSearch(store: MemoryRoundStore, body: object = BODY) {
  const { service, attach, kill } = await node(store);
  attach();
  await service.initGenerate(body);
  await checked(service, 64);
  const shown = service.status();
  kill();
  return shown;
}

test("killed in its search, a round goes on where it was as soon as a runner is there", async () => {
  const store = new MemoryRoundStore();
  let shown = await killedInItsSearch(store);
  for (let life = 0; life < 3; life++) {
    const { service, attach, log, kill } = await node(store);
    expect(service.status()).toMatchObject({ state: "STOPPED", round_id: shown.round_id });
    attach();
    await until(service, () => service.state === "GENERATING");
    await checked(service, shown.total_checked + 64);
    const { valid_nonces, total_checked, round_id } = service.status();
    expect(round_id).toBe(shown.round_id);
    // Every nonce is valid: what was counted is what was found.
    expect(valid_nonces).toEqual(Array.from({ length: total_checked }, (_, i) => i));
    await vi.waitUntil(() =>
      log.messages("info").includes("the round goes on where the node ended"),
    );
    shown = service.status();
    kill();
  }
});

test("an end in order is gone on from as well", async () => {
  const store = new MemoryRoundStore();
  const first = await node(store);
  first.attach();
  await first.service.initGenerate(BODY);
  await checked(first.service, 32);
  await first.service.close();
  const { service, attach } = await node(store);
  attach();
  await until(service, () => service.state === "GENERATING");
});

test.each(["stop", "phaseValidate"] as const)("a search that %s ended is over", async (command) => {
  const store = new MemoryRoundStore();
  const first = await node(store);
  first.attach();
  await first.service.initGenerate(BODY);
  await first.service[command]();
  first.kill(); // its answer has come: it is stored
  const { service, attach } = await node(store);
  attach();
  await turns(20);
  expect(service.state).toBe("STOPPED");
});

test("a stop before the runner is there is the last word", async () => {
  const store = new MemoryRoundStore();
  await killedInItsSearch(store);
  const { service, attach } = await node(store);
  await service.stop();
  attach();
  await turns(20);
  expect(service.state).toBe("STOPPED");
});

test("without the option it stays STOPPED, also at later starts with it", async () => {
  const store = new MemoryRoundStore();
  await killedInItsSearch(store);
  const without = await node(store, { resumeRound: false });
  without.attach();
  await turns(20);
  expect(without.service.state).toBe("STOPPED");
  without.kill();
  const { service, attach } = await node(store);
  attach();
  await turns(20);
  expect(service.state).toBe("STOPPED");
});

test("a runner that comes later resumes nothing that ended by itself", async () => {
  const store = new MemoryRoundStore();
  const { service, attach } = await node(store);
  const detach = attach();
  await service.initGenerate(BODY);
  await checked(service, 32);
  detach(new Error("gone"));
  expect(service.state).toBe("STOPPED");
  attach();
  await turns(20);
  expect(service.state).toBe("STOPPED");
});

test.each([
  [{ info: { arithmetic: "other-1" } }, /^arithmetic was fake-1, now it is other-1$/],
  [{ info: { vocab_size: 77 } }, /^vocab_size was \d+, now it is 77$/],
  [{ info: { warm_up: "1 and 3" } }, /^warm_up was 1 and 2, now it is 1 and 3$/],
  [{ modelName: "another" }, /^model was , now it is another$/],
  [{ info: { max_seq_len: 100 } }, /body\.seq_len: .*100/],
  [{ callbackHosts: ["elsewhere"] }, /body\.callback_url: /],
])("%j: what does not fit any more stays STOPPED, with its results", async (options, reason) => {
  const store = new MemoryRoundStore();
  const body = { ...BODY, callback_url: "http://aggregator:9000/pow" };
  const { round_id, valid_nonces } = await killedInItsSearch(store, body);
  const { service, attach, log } = await node(store, options);
  attach();
  await until(service, () => log.messages("error").length > 0);
  const [line] = log.lines.filter(({ level }) => level === "error");
  expect(line?.message).toBe("the round cannot go on, it stays STOPPED");
  expect(line?.fields).toMatchObject({ err: { message: expect.stringMatching(reason) } });
  expect(service.status()).toMatchObject({ state: "STOPPED", round_id });
  expect(service.status().valid_nonces.slice(0, valid_nonces.length)).toEqual(valid_nonces);
});

test("commands come after the round that goes on", async () => {
  const store = new MemoryRoundStore();
  await killedInItsSearch(store);
  const { service, attach } = await node(store);
  attach();
  expect((await refusal(service.init(BODY))).code).toBe("ROUND_IN_PROGRESS");
});
