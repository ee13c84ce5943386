import { afterEach, expect, it, vi } from "vitest";
import { createFakeRunner } from "../runner/fake.ts";
import type { PocService } from "../service.ts";
import type { PocServiceOptions } from "../service-options.ts";
import { BODY, FaultyStore, openService, until } from "../test-support.ts";
import { PocError } from "../wire/errors.ts";
import type { ValidNoncesEvent } from "../wire/schemas.ts";
import { MemoryRoundStore } from "./store.ts";
import type { Tracked } from "./watch.ts";

const services: PocService[] = [];
afterEach(async () => {
  vi.useRealTimers();
  await Promise.all(services.splice(0).map((service) => service.close()));
});

/** Every nonce is valid; jobs are answered one by one with `release`. */
async function start(options: Partial<PocServiceOptions> = {}) {
  const service = await openService(options);
  services.push(service);
  const runner = createFakeRunner();
  runner.hold();
  service.attach(runner);
  return { service, runner };
}

const found = (service: PocService, count: number) =>
  until(service, () => service.status().total_valid >= count);

/** Reads `count` events, from the beginning or after an id. */
async function take(service: PocService, count: number, lastEventId?: string) {
  const abort = new AbortController();
  const events: Tracked<ValidNoncesEvent>[] = [];
  for await (const event of service.watchValidNonces({ signal: abort.signal, lastEventId })) {
    if (events.push(event) === count) abort.abort();
  }
  return events;
}

const nonces = (from: number, to: number) => Array.from({ length: to - from }, (_, i) => from + i);

it("gives the round, then its finds, and the rest to one who comes back", async () => {
  const { service, runner } = await start();
  const { pow_status } = await service.initGenerate(BODY);
  const id = pow_status.round_id;
  runner.release((await runner.started(0)).id);
  await found(service, 4);
  expect(await take(service, 2)).toEqual([
    {
      id: `${id}:0`,
      event: { type: "round", round_id: id, block_hash: "abc123", block_height: 100, r_target: 3 },
    },
    {
      id: `${id}:4`,
      event: {
        type: "nonces",
        round_id: id,
        block_hash: "abc123",
        from: 0,
        nonces: [0, 1, 2, 3],
        distances: service.status().valid_distances,
      },
    },
  ]);
  runner.release((await runner.started(1)).id);
  await found(service, 8);
  const [rest] = await take(service, 1, `${id}:3`);
  expect(rest).toMatchObject({ id: `${id}:8`, event: { from: 3, nonces: [3, 4, 5, 6, 7] } });
});

it("coalesces what comes within a tenth of a second", async () => {
  vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
  const { service, runner } = await start();
  await service.initGenerate(BODY);
  const reading = take(service, 3);
  runner.release((await runner.started(0)).id);
  await found(service, 4);
  await vi.advanceTimersByTimeAsync(100);
  for (const job of [1, 2, 3]) {
    const { total_valid } = service.status();
    runner.release((await runner.started(job)).id);
    await found(service, total_valid + 1);
    await vi.advanceTimersByTimeAsync(20);
  }
  await vi.advanceTimersByTimeAsync(100);
  const events = (await reading).map(({ event }) => event);
  expect(events).toMatchObject([{ type: "round" }, { from: 0 }, { from: 4 }]);
  expect(events[2]).toMatchObject({ nonces: nonces(4, service.status().total_valid) });
});

it("outlives stop and goes on into the next round", async () => {
  const { service, runner } = await start();
  const first = (await service.initGenerate(BODY)).pow_status.round_id;
  const reading = take(service, 4);
  runner.release((await runner.started(0)).id);
  await found(service, 4);
  await service.stop();
  const second = (await service.initGenerate({ ...BODY, block_hash: "next" })).pow_status.round_id;
  runner.release();
  const events = await reading;
  expect(events.map(({ event }) => [event.type, event.round_id])).toEqual([
    ["round", first],
    ["nonces", first],
    ["round", second],
    ["nonces", second],
  ]);
});

it("lets one who lags finish the round before, and no older one", async () => {
  const { service, runner } = await start();
  const ids: string[] = [];
  const ends: string[] = [];
  for (const block_hash of ["a", "b", "c"]) {
    await service.initGenerate({ ...BODY, block_hash });
    runner.release(runner.waiting[0]);
    await found(service, 2);
    const { round_id, total_valid } = (await service.stop()).pow_status;
    ids.push(`${round_id}`);
    ends.push(`${round_id}:${total_valid}`);
  }
  const shape = (events: Tracked<ValidNoncesEvent>[]) => events.map(({ id }) => id);
  expect(shape(await take(service, 3, `${ids[1]}:1`))).toEqual([ends[1], `${ids[2]}:0`, ends[2]]);
  // The first is gone: on with what came after it.
  expect(shape(await take(service, 4, `${ids[0]}:2`))).toEqual([
    `${ids[1]}:0`,
    ends[1],
    `${ids[2]}:0`,
    ends[2],
  ]);
  // Without an id, and with one of a later life: the present round.
  expect(shape(await take(service, 1))).toEqual([`${ids[2]}:0`]);
  expect(shape(await take(service, 1, "zzz:7"))).toEqual([`${ids[2]}:0`]);
});

it("announces the next round only when the last finds of the one before are stored", async () => {
  class SlowStore extends MemoryRoundStore {
    store: (() => void)[] = [];
    override async append(...progress: Parameters<MemoryRoundStore["append"]>) {
      if (progress[1].nonces.length > 0) {
        await new Promise<void>((resolve) => this.store.push(resolve));
      }
      await super.append(...progress);
    }
  }
  const store = new SlowStore();
  const { service, runner } = await start({ store });
  const first = (await service.initGenerate(BODY)).pow_status.round_id;
  const reading = take(service, 3);
  runner.release((await runner.started(0)).id);
  await vi.waitUntil(() => store.store.length === 1);
  const second = (await service.init({ ...BODY, block_hash: "next" }).catch(() => null)) ?? null;
  expect(second).toBe(null); // refused while it searches
  const next = (await service.initValidate({ ...BODY, block_hash: "next" })).pow_status.round_id;
  store.store.shift()?.();
  expect((await reading).map(({ id }) => id)).toEqual([`${first}:0`, `${first}:4`, `${next}:0`]);
});

it("catches a late one up in steps, and reads nothing while it cannot write", async () => {
  const { service, runner } = await start();
  runner.release();
  await service.initGenerate({ ...BODY, batch_size: 1024 });
  await found(service, 10_000);
  await service.stop();
  const total = service.status().total_valid;
  const abort = new AbortController();
  let mayWrite: () => void = () => {};
  let asked = 0;
  const events = service.watchValidNonces({
    signal: abort.signal,
    writable: () => {
      asked++;
      return new Promise((resolve) => {
        mayWrite = resolve;
      });
    },
  });
  const seen: number[] = [];
  let settled = false;
  while (seen.length < total) {
    settled = false;
    const next = events.next().then((result) => {
      settled = true;
      return result;
    });
    await Promise.resolve();
    expect(settled).toBe(false);
    mayWrite();
    const { value } = await next;
    if (value?.event.type === "nonces") {
      expect(value.event.from).toBe(seen.length);
      expect(value.event.nonces.length).toBeLessThanOrEqual(1024);
      seen.push(...value.event.nonces);
    }
  }
  expect(seen).toEqual(nonces(0, total));
  expect(asked).toBeGreaterThan(2);
  abort.abort();
  mayWrite();
  expect((await events.next()).done).toBe(true);
});

it("refuses an id that is none, and everything while PoC is off", async () => {
  const { service } = await start();
  await expect(take(service, 1, "nonsense")).rejects.toMatchObject({ status: 422 });
  const off = await openService({ enabled: false });
  const { signal } = new AbortController();
  expect(() => off.watchValidNonces({ signal })).toThrow(PocError);
  expect(() => off.watchStatus({ signal })).toThrow("PoC not enabled");
});

it("leaves nothing behind when it ends", async () => {
  const { service, runner } = await start();
  const abort = new AbortController();
  const add = vi.spyOn(abort.signal, "addEventListener");
  const remove = vi.spyOn(abort.signal, "removeEventListener");
  await service.initGenerate(BODY);
  const events = service.watchValidNonces({ signal: abort.signal });
  expect((await events.next()).value).toMatchObject({ event: { type: "round" } });
  const waiting = events.next();
  await vi.waitUntil(() => add.mock.calls.length > 0);
  abort.abort();
  expect((await waiting).done).toBe(true);
  runner.release();
  await found(service, 4);
  expect(remove.mock.calls.length).toBe(add.mock.calls.length);
});

it("gives the status at once and as it changes, four times a second at most", async () => {
  const { service, runner } = await start({ store: new FaultyStore() });
  const abort = new AbortController();
  const statuses = service.watchStatus({ signal: abort.signal });
  const first = await statuses.next();
  expect(first.value?.event).toMatchObject({ state: "IDLE", round_id: null });
  expect(first.value?.event).not.toHaveProperty("valid_nonces");
  await service.initGenerate(BODY);
  const begin = performance.now();
  expect((await statuses.next()).value).toMatchObject({ event: { state: "GENERATING" } });
  runner.release();
  let events = 0;
  while (performance.now() - begin < 1100) {
    const { value } = await statuses.next();
    expect(value?.event.total_valid).toBe(value?.event.total_checked);
    events++;
  }
  expect(events).toBeGreaterThanOrEqual(2);
  expect(events).toBeLessThanOrEqual(6);
  abort.abort();
  expect((await statuses.next()).done).toBe(true);
});
