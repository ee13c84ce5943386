/** A whole node: server, service, store, callbacks and the runner in its process. */
import {
  type DeliveryInfo,
  MemoryRoundStore,
  type NodeHealth,
  PocService,
  within,
} from "@proofmill/core";
import { isReachable, Proxies } from "./access/addresses.ts";
import { openKeyring, readKeys } from "./access/key-source.ts";
import type { Keyring } from "./access/keys.ts";
import { filesOf, readTls, type Tls, type TlsFiles, useTls } from "./access/tls.ts";
import { callbackTls, posterOptions } from "./callback-options.ts";
import { createPoster } from "./callbacks/request.ts";
import { CallbackSender, NO_DELIVERIES } from "./callbacks/sender.ts";
import { Inference } from "./completions/inference.ts";
import type { InferenceMeter } from "./completions/meter.ts";
import { healthOf } from "./health.ts";
import { HeldModel } from "./held-model.ts";
import { DeliveredRounds } from "./history/delivered-rounds.ts";
import { callbackEvent, givenUpEvent, runnerEvent } from "./history/part-events.ts";
import { keepHeapSmall } from "./platform/heap.ts";
import { type FileVersions, keepReading, type Reread, versionsOf } from "./platform/reread.ts";
import { roundIdAfter } from "./round-id.ts";
import { logRounds } from "./round-log.ts";
import { countGpus } from "./runners/devices.ts";
import { Fleet, type RunnerPlan, type StartPlanned } from "./runners/fleet.ts";
import type { ProcessRunner } from "./runners/process.ts";
import { createServer } from "./server.ts";
import { type ServeConfig, servesInference } from "./settings/config.ts";
import { type ModelFolder, provideModel, startModel } from "./start-model.ts";
import { SqliteStore } from "./store/sqlite.ts";
import { longestText, openTextModel } from "./text/text-model.ts";

/**
 * Closing takes so many milliseconds at most beyond what `--shutdown-timeout` gives to callbacks; the
 * contract allows two seconds.
 */
const END_MS = 1400;
/** Of all these, the round and the answers under way have so many. */
const STOP_GRACE_MS = 2800;
/** Connections that are still busy after so long are cut. */
const CONNECTIONS_GRACE_MS = 1000;
/**
 * Connections that may wait to be accepted, if the system allows so many: for one too many its client
 * tries again after a second.
 */
const BACKLOG = 4096;
/** What the log does not take within so long is lost. */
const LOG_GRACE_MS = 300;

export interface NodeOptions {
  /**
   * Starts each runner, and again when it has ended; by default with the configured model, in a
   * process of its own.
   */
  startRunner?: StartPlanned;
}

/** The address cannot be had. */
export class ListenError extends Error {
  override readonly name = "ListenError";
  /** E.g. `EADDRINUSE`. */
  readonly code: string | undefined;

  constructor(cause: NodeJS.ErrnoException) {
    super(cause.message, { cause });
    this.code = cause.code;
  }
}

export interface RunningNode {
  /** Where it listens, e.g. `http://127.0.0.1:8000`. */
  readonly url: string;
  /** Resolves when the model is loaded, rejects when that fails for any reason but `close`. */
  readonly loaded: Promise<void>;
  /** Resolves with the reason when the runner is lost for good; the node answers, and computes no more. */
  readonly lost: Promise<Error>;
  /** Reads the files again that may change while it runs: keys, certificates. */
  reread(): void;
  /** How it is now. */
  health(): NodeHealth;
  /**
   * Stops the round, answers what is in flight, sends what is due, ends the runner; within
   * `--shutdown-timeout` and two seconds. Idempotent.
   *
   * @returns whether the data folder was let go of by then; what was promised is there all the same
   */
  close(): Promise<boolean>;
}

/**
 * Starts a node. It listens at once, and loads its model while it does: a port that is taken is
 * found out before gigabytes are read.
 *
 * @throws ListenError, DataFolderError
 */
export async function startNode(
  config: ServeConfig,
  options: NodeOptions = {},
): Promise<RunningNode> {
  keepHeapSmall();
  const versions = versionsOf(changeable(config));
  const keys = openKeyring(config);
  const tls = readTls(nodeTls(config));
  const store =
    config.enablePoc && config.dataDir !== null
      ? await SqliteStore.open({ folder: config.dataDir })
      : null;
  try {
    return await startWith({ store, keys, tls, versions }, config, options);
  } catch (error) {
    await store?.close();
    throw error;
  }
}

/** By which rounds may name the model beside the name that it is served as. */
function otherNames({ download, model }: ServeConfig): string[] {
  return [download?.name, model].filter((name) => name != null);
}

function nodeTls({ tlsCert, tlsKey, tlsClientCa }: ServeConfig): TlsFiles {
  return { cert: tlsCert, key: tlsKey, ca: tlsClientCa };
}

/** The files that may change while the node runs. */
function changeable(config: ServeConfig): string[] {
  const { apiKeyFile } = config;
  const certificates = [...filesOf(nodeTls(config)), ...filesOf(callbackTls(config))];
  return apiKeyFile === undefined ? certificates : [apiKeyFile, ...certificates];
}

interface Opened {
  store: SqliteStore | null;
  keys: Keyring | null;
  tls: Tls | null;
  /** As they were before any was read. */
  versions: FileVersions;
}

async function startWith(
  opened: Opened,
  config: ServeConfig,
  options: NodeOptions,
): Promise<RunningNode> {
  let folder: ModelFolder | null = null;
  const { store, keys, tls, versions } = opened;
  /** Fastify does not know of TLS. */
  const addressOf = (url: string) => (tls ? url.replace(/^http:/, "https:") : url);
  const proxies = new Proxies(config.trustedProxy);
  const held = new HeldModel(config.servedModelName, otherNames(config));
  const defaults = { batch_size: config.pocBatchSize, seq_len: config.pocSeqLen };
  const { app, service, log, inference, meter, events } = await createServer({
    ...config,
    openService: (log, meter) =>
      PocService.open({
        enabled: config.enablePoc,
        store: store ?? new MemoryRoundStore(), // which nobody will ask while PoC is off
        newRoundId: roundIdAfter,
        defaults,
        modelName: config.servedModelName,
        modelNames: () => held.allNames,
        honoursPValueThreshold: config.pocHonourPValueThreshold,
        isServing: () => !held.isStopped,
        resumeRound: config.resumeRound,
        maxValidateNonces: config.maxValidateNonces,
        maxQueuedValidateNonces: config.maxQueuedValidateNonces,
        callbackHosts: config.callbackAllow,
        log,
        meter,
      }),
    modelName: config.servedModelName,
    model: held,
    prefixes: { versions: config.nodeVersion ?? null, basePath: config.basePath },
    broker: {
      modelFolder: () => folder?.directory ?? null,
      revision: config.download?.revision ?? null,
      showsMetrics: config.brokerMetrics,
    },
    defaults,
    openInference: servesInference(config) ? openInference : null,
    drainMs: config.pocDrainSeconds * 1000,
    upstream: config.upstream ? { url: config.upstream, apiKey: config.upstreamApiKey } : null,
    runners: () => fleet.infos,
    sessionStats: () => fleet.sessionStats,
    delivery,
    keys,
    tls,
    proxies,
  });
  const fleet = new Fleet({
    devices: config.devices,
    threads: config.threads,
    countGpus,
    start: async (plan, signal) => {
      const begin = performance.now();
      const runner = await (options.startRunner ?? start)(plan, signal);
      const seconds = (performance.now() - begin) / 1000;
      meter.modelLoaded({ runner: plan.id, info: runner.info, seconds });
      return runner;
    },
    openPlace: () => {
      const place = service.openPlace();
      return {
        attach(runner) {
          const ends = [place.attach(runner), inference?.attach(runner)];
          return (reason) => {
            for (const end of ends) end?.(reason);
          };
        },
        giveUp: (reason) => place.giveUp(reason),
      };
    },
    onRestart: (id, reason) => meter.runnerRestarted(id, reason),
    onState: (info, before) => events.tell(runnerEvent(info, before)),
    maxRestarts: config.runnerMaxRestarts,
    log: app.log,
  });
  for (const notice of store?.notices ?? []) {
    app.log.error({ folder: config.dataDir }, notice);
  }
  if (store && !store.isPrivate) {
    app.log.warn(
      { folder: config.dataDir },
      "others can read the data folder: it is not this user's",
    );
  }
  const deliveries = new DeliveredRounds(service, events.tell);
  const callbackFiles = filesOf(callbackTls(config));
  const poster = store && createPoster(posterOptions(config));
  const sender =
    store &&
    poster &&
    (await CallbackSender.start({
      outbox: store,
      poster,
      interval: config.callbackInterval,
      maxNonces: config.callbackMaxNonces,
      maxAge: config.callbackMaxAge,
      log: app.log,
      onTrouble: (trouble) => events.tell(callbackEvent(trouble)),
      onDelivered: (delivered) => deliveries.delivered(delivered),
      onGivenUp: (given) => events.tell(givenUpEvent(given)),
      onStale: (round_id) => {
        // What keeps it from being stopped now is told by the next refusal.
        void service.artifacts
          .endStale(round_id)
          .catch((err) => app.log.warn({ err }, "not stopped"));
      },
    }));
  const url = await app
    .listen({
      host: config.host,
      port: config.port,
      backlog: BACKLOG,
      listenTextResolver: (address) => `listening on ${addressOf(address)}`,
    })
    .then(addressOf)
    .catch(async (error) => {
      await sender?.close();
      throw new ListenError(error);
    });

  if (config.enablePoc) logRounds(service, app.log);
  else app.log.info("Proof-of-Compute is off: --enable-poc switches it on");

  if (!keys && isReachable(app.server)) {
    app.log.warn(
      "whoever reaches this port commands the node: --api-key or --api-key-file locks it",
    );
  }
  const files = keepReading(rereads(), { versions, log: app.log });
  let isClosing = false;
  const loaded = fleet.load().catch((error) => {
    if (!isClosing) throw error;
  });
  let closed: Promise<boolean> | null = null;
  return {
    url,
    loaded,
    lost: fleet.lost,
    health: () => healthOf({ service, runners: () => fleet.infos }),
    reread: files.again,
    close: () => (closed ??= close()),
  };

  /** What may change while the node runs. */
  function rereads(): Reread[] {
    const { apiKeyFile } = config;
    return [
      ...(keys && apiKeyFile !== undefined
        ? [{ what: "keys", files: [apiKeyFile], read: () => keys.replace(readKeys(config)) }]
        : []),
      ...(tls
        ? [{ what: "certificate", files: filesOf(nodeTls(config)), read: renewCertificate }]
        : []),
      ...(poster && callbackFiles.length > 0
        ? [{ what: "callback certificate", files: callbackFiles, read: renewCallbacks }]
        : []),
    ];
  }

  function renewCertificate(): void {
    const renewed = readTls(nodeTls(config));
    if (renewed) useTls(app.server, renewed);
  }

  function renewCallbacks(): void {
    poster?.useTls(readTls(callbackTls(config)) ?? {});
  }

  async function delivery(): Promise<DeliveryInfo> {
    return sender ? sender.info() : NO_DELIVERIES;
  }

  function openInference(meter: InferenceMeter): Inference {
    return new Inference({
      names: held,
      meter,
      async openText({ vocab_size: vocabSize }, maxLen) {
        const directory = folder?.directory ?? "";
        const maxText = longestText(maxLen);
        const text = await openTextModel({ directory, vocabSize, maxText });
        for (const fault of text.faults) app.log.warn({}, `the model's text: ${fault}`);
        return text;
      },
    });
  }

  /** Looks for the model once: a runner that is started again finds it where it was. */
  async function start(plan: RunnerPlan, signal: AbortSignal): Promise<ProcessRunner> {
    const how = { log: app.log, signal };
    const { kvCacheMemory, maxNumSeqs } = config;
    const sessions = servesInference(config) ? { kvCacheMemory, maxNumSeqs } : undefined;
    const planned = { ...config, ...plan, sessions };
    folder ??= await provideModel(planned, how);
    return startModel(folder, planned, how);
  }

  async function close(): Promise<boolean> {
    isClosing = true;
    files.close();
    app.log.info("closing");
    const { shutdownTimeout } = config;
    const end = performance.now() + shutdownTimeout + END_MS;
    const left = () => Math.max(0, end - performance.now());
    // While it loads there is nothing to wait for.
    if (!fleet.isAtWork) fleet.abort();
    await within(Math.min(STOP_GRACE_MS, left()), service.close());
    const cut = setTimeout(() => app.server.closeAllConnections(), CONNECTIONS_GRACE_MS);
    const ends = [
      app.close(),
      loaded.catch(() => {}),
      fleet.close(),
      sender?.close(Math.min(shutdownTimeout, left())),
    ];
    await within(left(), Promise.all(ends));
    clearTimeout(cut);
    let isClosed = store === null;
    const closes = store?.close().then(() => {
      isClosed = true;
    });
    await within(left(), closes ?? Promise.resolve());
    if (!isClosed) app.log.warn("the disk is too slow to close the data folder in time");
    await within(LOG_GRACE_MS, log.idle());
    return isClosed;
  }
}
