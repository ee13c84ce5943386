/** A doctor finds a planted fault for each of its checks, and names it. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type RequestListener } from "node:http";
import { type AddressInfo, createServer as createSocketServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { createReceiver } from "@proofmill/client/receiver";
import { createFakeRunner } from "@proofmill/core/testing";
import { expect, onTestFinished, test } from "vitest";
import { createPoster } from "../callbacks/request.ts";
import { SqliteStore } from "../store/sqlite.ts";
import { type AccessConfig, accessChecks } from "./access.ts";
import { callbackChecks } from "./callback.ts";
import { type Check, runChecks } from "./check.ts";
import { type DeviceChecks, deviceChecks } from "./device.ts";
import { RATES_FILE, Rates } from "./rates.ts";
import { type SystemLimits, systemChecks } from "./system.ts";

function folder(): string {
  const made = mkdtempSync(join(tmpdir(), "proofmill-"));
  onTestFinished(() => rmSync(made, { recursive: true, force: true }));
  return made;
}

/** Name → state and detail. */
async function examine(checks: readonly Check[]) {
  const results = await runChecks(checks, () => {});
  return Object.fromEntries(
    results.map(({ name, state, detail }) => [name, `${state}: ${detail}`]),
  );
}

function device(changes: Partial<DeviceChecks> = {}) {
  const { checks } = deviceChecks({
    load: async () => createFakeRunner(),
    selftest: async () => [{ name: "golden models", ok: true, detail: "all within" }],
    ...{ seqLen: 256, searchMs: 20, rates: null, modelName: "test-model" },
    ...changes,
  });
  return examine(checks);
}

test("device: all is well", async () => {
  expect(await device()).toEqual({
    "self-test": "ok: golden models: all within",
    model: "ok: FakeForCausalLM on none, fake-1",
    memory: "ok: sequences of up to 1024 tokens fit; --poc-seq-len is 256",
    bits: "ok: 24 nonces gave the same bits again, backwards and alone",
    rate: expect.stringMatching(/^ok: \d+ nonces\/s; nothing to compare with yet$/),
  });
});

test("device: numbers are off, the model does not load; what needs it is skipped", async () => {
  const found = await device({
    selftest: async () => [{ name: "golden models", ok: false, detail: "3 are off" }],
    load: () => Promise.reject(new Error("model.safetensors ends too early")),
  });
  expect(found).toEqual({
    "self-test": "failed: golden models: 3 are off",
    model: "failed: model.safetensors ends too early",
    memory: "skipped: there is no model",
    bits: "skipped: there is no model",
    rate: "skipped: there is no model",
  });
});

test("device: rounds are longer than memory allows", async () => {
  const load = async () => createFakeRunner({ info: { max_seq_len: 100 } });
  expect((await device({ load })).memory).toMatch(
    /^failed: sequences of up to 100 tokens fit, --poc-seq-len 256 does not: free memory/,
  );
});

test("device: bits depend on what else is computed, or are none", async () => {
  let calls = 0;
  const distances = [() => 1 + calls++ / 1000, () => Number.NaN];
  const found = await Promise.all(
    distances.map(
      async (distance) => (await device({ load: async () => createFakeRunner({ distance }) })).bits,
    ),
  );
  expect(found).toEqual([
    "failed: nonce 0 gave other bits in another place of its batch",
    "failed: distances are not finite",
  ]);
});

test("device: it was faster before; the best is kept, what cannot be read counts as nothing", async () => {
  const place = folder();
  writeFileSync(join(place, RATES_FILE), "{");
  expect((await device({ rates: new Rates(place) })).rate).toMatch(/nothing to compare with/);
  expect((await device({ rates: new Rates(place), searchMs: 100 })).rate).toMatch(/^(ok|failed): /);
  const key = "test-model, none, fake-1, seq_len 256";
  new Rates(place).keep(key, 1e9);
  const { rate } = await device({ rates: new Rates(place) });
  expect(rate).toMatch(/^failed: \d+ nonces\/s, this device reached 1000000000 before: look for/);
  expect(new Rates(place).best(key)).toBe(1e9);
});

function system(changes: { dataDir?: string; port?: number } = {}, limits = {}) {
  const config = { dataDir: null, host: "127.0.0.1", port: 0, ...changes };
  const all: SystemLimits = { openFiles: 65_536, leastFree: 1, ...limits };
  return examine(systemChecks(config, all));
}

test("system: all is well", async () => {
  expect(await system({ dataDir: folder() })).toEqual({
    disk: expect.stringMatching(/^ok: \d+ MiB free, fsync takes [\d.]+ ms$/),
    "open files": "ok: 65536 may be open",
    address: "ok: 127.0.0.1 port 0 is free",
  });
});

test("system: a node has the folder, the disk is full, few files may be open, the port is taken", async () => {
  const dataDir = folder();
  const store = await SqliteStore.open({ folder: dataDir });
  const taken = createSocketServer().listen(0, "127.0.0.1");
  await new Promise((resolve) => taken.once("listening", resolve));
  onTestFinished(() => void taken.close());
  const { port } = taken.address() as AddressInfo;
  const found = await system({ dataDir, port }, { openFiles: 1024 });
  expect(found).toEqual({
    disk: `failed: cannot use the data folder ${dataDir}: another node is using it; stop that node, or choose another with --data-dir`,
    "open files": expect.stringMatching(/^failed: 1024 may be open, fewer than 4096: raise it/),
    address: expect.stringContaining(": the port is in use; choose another with --port"),
  });
  await store.close();
  const full = await system({ dataDir }, { leastFree: Number.MAX_SAFE_INTEGER });
  expect(full.disk).toMatch(/^failed: .*: \d+ MiB free; free some$/);
});

/** The checks against a receiver that answers so. */
async function callback(
  listener: RequestListener,
  options: { secret?: string; now?: number } = {},
) {
  const server = createServer(listener).listen(0, "127.0.0.1");
  await new Promise((resolve) => server.once("listening", resolve));
  onTestFinished(() => void server.close());
  const { port } = server.address() as AddressInfo;
  return examine(
    callbackChecks({
      url: `http://127.0.0.1:${port}/pow`,
      openPoster: () => createPoster({ secret: options.secret }),
      isSigned: options.secret !== undefined,
      ...(options.now === undefined ? {} : { now: () => options.now as number }),
    }),
  );
}

test("callback: a receiver takes it, and takes it for no find", async () => {
  const received: number[] = [];
  const receiver = createReceiver({
    secret: "right",
    onGenerated: ({ nonces }) => void received.push(nonces.length),
  });
  expect(await callback(receiver.handler, { secret: "right" })).toEqual({
    callback: "ok: it took a POST without nonces, signed",
    clock: expect.stringMatching(/^ok: \d s (behind|ahead of) the receiver's$/),
  });
  expect(received.every((count) => count === 0)).toBe(true);
});

test("callback: the secret is another one, and the clock is off all the same", async () => {
  const receiver = createReceiver({ secret: "right" });
  const found = await callback(receiver.handler, {
    secret: "wrong",
    now: Date.now() - 600_000,
  });
  expect(found.callback).toBe("failed: it answered 401");
  expect(found.clock).toMatch(
    /^failed: this machine's clock is (599|600|601) s behind the receiver's: set one of them/,
  );
});

test("callback: nobody is there, or it does not say what time it is", async () => {
  const away = await examine(
    callbackChecks({
      ...{ url: "http://127.0.0.1:1", isSigned: false },
      openPoster: () => createPoster({}),
    }),
  );
  expect(away.callback).toMatch(/^failed: .*ECONNREFUSED/);
  const timeless = await callback((_, response) => {
    response.sendDate = false;
    response.end("{}");
  });
  expect(timeless).toEqual({
    callback: "ok: it took a POST without nonces, not signed",
    clock: "skipped: the receiver did not say what time it is",
  });
});

test("access: keys are counted; a public address without any is found, and a file that is none", async () => {
  const place = folder();
  const file = join(place, "keys");
  const access = async (changes: Partial<AccessConfig>) =>
    (await examine(accessChecks(accessConfig(changes)))).access;
  expect(await access({})).toBe("ok: no key, and no other machine reaches it");
  expect(await access({ host: "0.0.0.0" })).toMatch(
    /^failed: whoever reaches 0.0.0.0 commands the node: give it --api-key-file/,
  );
  writeFileSync(file, `ops admin sha256:${"0".repeat(64)}\n`, { mode: 0o600 });
  expect(await access({ host: "0.0.0.0", apiKeyFile: file })).toBe("ok: 1 key");
  writeFileSync(file, "ops admin");
  expect(await access({ apiKeyFile: file })).toMatch(new RegExp(`^failed: ${file}, line 1: `));
});

test("TLS: the certificate ends soon, is not valid yet, or its key is another's", async () => {
  const data = fileURLToPath(new URL("../access/test-data", import.meta.url));
  const tls = async (changes: Partial<AccessConfig>, now = Date.now()) =>
    (await examine(accessChecks(accessConfig(changes), () => now))).TLS;
  const pair = { tlsCert: join(data, "node.pem"), tlsKey: join(data, "node.key") };
  expect(await tls({})).toBe("skipped: no --tls-cert: callers speak plain HTTP");
  expect(await tls(pair)).toMatch(/^ok: the certificate is valid until \w+ +\d+ .* 2126 GMT$/);
  expect(await tls(pair, Date.parse("2126-11-02"))).toMatch(/^failed: .* 2126 GMT: renew it$/);
  expect(await tls(pair, 0)).toMatch(/^failed: the certificate is valid from .* on$/);
  const other = { ...pair, tlsKey: join(data, "client.key") };
  expect(await tls(other)).toMatch(/^failed: .*node.pem.*: the key is not the certificate's$/);
});

function accessConfig(changes: Partial<AccessConfig>): AccessConfig {
  return {
    ...{ apiKey: [], apiKeyFile: undefined, host: "127.0.0.1" },
    ...{ tlsCert: undefined, tlsKey: undefined, tlsClientCa: undefined },
    ...changes,
  };
}
