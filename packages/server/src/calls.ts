/** What the doors call: for each operation of the table what does it, by the operation's name. */
import {
  type ArtifactsInfo,
  type DeliveryInfo,
  EventsPage,
  HistoryPage,
  JobQuery,
  type ModelInfo,
  OPERATIONS,
  type Operation,
  type Operations,
  type OperationTable,
  type OutputOf,
  POC_ERRORS,
  PocError,
  type PocService,
  parseQuery,
  type RunnerInfo,
  type SchemaName,
  type Scope,
  type Tracked,
  type WatchOptions,
} from "@proofmill/core";
import { assertReady, healthOf } from "./health.ts";
import type { Events } from "./history/events.ts";
import type { History } from "./history/history.ts";
import type { Tally } from "./history/tally.ts";
import type { InferenceGate } from "./inference/gate.ts";
import type { Upstream } from "./inference/upstream.ts";
import { version } from "./version.ts";

/** What a call knows of who asks. */
export interface Caller {
  /** Aborts when the caller is gone. */
  readonly signal: AbortSignal;
  /** Its lines name the request and the label of its key. */
  readonly log: Record<"info" | "debug", (fields: object, text: string) => void>;
  /** What it may do. */
  readonly scopes: readonly Scope[];
}

/** @param input what a caller sent, unchecked: what is called alone says what is right */
export type Call<Output = unknown> = (input: unknown, caller: Caller) => Output | Promise<Output>;

/** Ends when `signal` aborts. */
export type Watch<Event = unknown> = (
  options: WatchOptions & { lastEventId?: string | undefined },
) => AsyncGenerator<Tracked<Event>, void>;

type CallOf<O extends Operation> = O extends { kind: "subscription" }
  ? Watch<OutputOf<O>>
  : O extends { body: SchemaName } | { query: SchemaName }
    ? Call<OutputOf<O>>
    : (caller: Caller) => OutputOf<O> | Promise<OutputOf<O>>;

/** For each operation what does it: nothing is handed to one that nothing is sent to. */
export type Calls<Table extends OperationTable = Operations> = {
  readonly [Name in keyof Table]: CallOf<Table[Name]>;
};

/**
 * The call of a command or query that is handed what was sent, whatever it takes. The log tells which
 * commands were given, and who gave them.
 */
export function callOf<Table extends OperationTable>(
  operations: Table,
  calls: Calls<Table>,
  name: keyof Table,
): Call {
  const takesInput = operations[name]?.body ?? operations[name]?.query;
  const call = calls[name] as (...sent: unknown[]) => unknown;
  const given: Call = (input, caller) => (takesInput ? call(input, caller) : call(caller));
  const operation = operations[name];
  return operation?.kind === "command" ? logged(given, String(name), operation) : given;
}

function logged(call: Call, command: string, { scope }: Operation): Call {
  // Of what changes the round there is little. Proofs may be many, and refusals as many as anybody likes.
  const level = scope === "admin" ? "info" : "debug";
  return async (input, caller) => {
    try {
      const answer = await call(input, caller);
      caller.log[level]({ command }, "a command is carried out");
      return answer;
    } catch (error) {
      const { message: reason } = error as Error;
      caller.log.debug({ command, reason }, "a command is refused");
      throw error;
    }
  };
}

interface CallsOptions {
  service: PocService;
  gate: InferenceGate;
  log: { readonly lost: number };
  /** The model as /v1 calls it. */
  modelName: string;
  runners: () => readonly RunnerInfo[];
  delivery: () => Promise<DeliveryInfo>;
  history: History;
  events: Events;
  tally: Tally;
  /** Whether anything answers /v1, here or upstream. */
  servesInference: boolean;
  /** Where inference is forwarded to; null: nowhere. */
  upstream: () => Upstream | null;
  /** The model's names as /v1 lists them; its name alone by default. */
  modelNames?: () => readonly string[];
  /** Tokens of a prompt and its answer together; null: the node answers nothing itself. */
  longestAnswer?: () => number | null;
  /** Whose rounds are taken; of both by default. */
  rounds?: Operation["rounds"] | undefined;
  /** Whether chat goes on while jobs of artifacts are computed. */
  chatsBesideJobs?: boolean;
  /** What callers of the network's Python service look for in answers about health; none by default. */
  healthFields?: (() => object) | undefined;
}

/** The service's calls, and those that the node answers itself. */
export function createCalls(options: CallsOptions): Calls {
  const { service } = options;
  const ofNode = nodeCalls(options);
  // What does not compile here is an operation of the table that the service lacks.
  const ofService: Omit<Calls, keyof typeof ofNode> = service;
  const names = Object.keys(OPERATIONS).filter((name) => !(name in ofNode));
  const calls = names.map((name) => [
    name,
    (input: unknown, each: never) =>
      ofService[name as keyof typeof ofService](input as never, each),
  ]);
  const all = { ...(Object.fromEntries(calls) as typeof ofService), ...ofNode };
  return { ...all, ...refusedCalls(options.rounds) };
}

/** Those for rounds that the node does not take: none where it takes both kinds. */
function refusedCalls(taken: Operation["rounds"]): Partial<Calls> {
  const table: OperationTable = OPERATIONS;
  const names = Object.keys(table).filter(
    (name) => taken && table[name]?.rounds && table[name].rounds !== taken,
  );
  const refuse = () => {
    const protocol = taken === "artifacts" ? "v2" : "v1";
    const { text } = POC_ERRORS.PROTOCOL_NOT_SPOKEN;
    const detail = `${text}: with --protocol ${protocol} it takes those of ${taken} alone`;
    throw new PocError("PROTOCOL_NOT_SPOKEN", { detail });
  };
  return Object.fromEntries(names.map((name) => [name, refuse]));
}

/** What a node says of itself. */
function nodeCalls(options: CallsOptions) {
  const { service, gate, log, modelName, runners, delivery, upstream, history, events } = options;
  const { healthFields, modelNames = () => [modelName], longestAnswer = () => null } = options;
  const { tally, servesInference, chatsBesideJobs = false } = options;
  const well = healthFields ? "healthy" : "ok";
  const created = Math.floor(Date.now() / 1000);

  /** @throws PocError MODEL_LOADING or RUNNER_LOST unless the runner works */
  function readyModel(): ModelInfo {
    service.assertRunner();
    if (!service.model) throw new PocError("MODEL_LOADING");
    return service.model;
  }

  async function health(): Promise<OutputOf<Operations["health"]>> {
    const now = healthOf({ service, runners });
    assertReady(now, healthFields?.());
    const forwarding = await upstream()?.health();
    return {
      status: well,
      ...now,
      ...(forwarding && { upstream: forwarding }),
      ...healthFields?.(),
    };
  }

  return {
    health,
    ready: health,
    live: () => {
      if (!healthFields) return { status: well };
      const isWell = healthOf({ service, runners }).reasons.length === 0;
      return { status: isWell ? well : "unhealthy", ...healthFields() };
    },

    version: () => ({ version }),

    listModels: () => ({
      object: "list",
      data: modelNames().map((id) => ({
        id,
        object: "model",
        created,
        owned_by: "proofmill",
        max_model_len: Math.min(readyModel().max_seq_len, longestAnswer() ?? Infinity),
      })),
    }),

    async nodeInfo({ scopes }) {
      const { model } = service;
      return {
        version,
        poc_enabled: service.enabled,
        model: modelName,
        architecture: model?.architecture ?? null,
        arithmetic: model?.arithmetic ?? null,
        dtype: model?.dtype ?? null,
        device: model?.device ?? null,
        hidden_size: model?.hidden_size ?? null,
        vocab_size: model?.vocab_size ?? null,
        num_hidden_layers: model?.num_hidden_layers ?? null,
        max_position_embeddings: model?.max_position_embeddings ?? null,
        lost_log_lines: log.lost,
        max_seq_len: model?.max_seq_len ?? null,
        health: healthOf({ service, runners }),
        runners: [...runners()],
        delivery: await delivery(),
        inference: {
          gate: servesInference ? gateState(gate) : "none",
          ...gate.counters,
          running: gate.running,
          ...tally.inference,
        },
        artifacts: {
          round: artifactRoundOf(service),
          waiting_jobs: service.artifacts.waitingJobs,
          waiting_nonces: service.artifacts.waitingNonces,
          ...tally.jobs,
        },
        scopes: [...scopes],
      };
    },

    nodeHistory: (page) => history.read(parseQuery(HistoryPage, page ?? {}).seconds),

    nodeEvents: (page) => events.read(parseQuery(EventsPage, page ?? {}).since),

    initArtifacts: (body, caller) => service.artifacts.initGenerate(body, caller),

    generateArtifacts: (body, caller) => service.artifacts.generate(body, caller),

    artifactJob: (query) => {
      service.assertEnabled();
      return service.artifacts.job(parseQuery(JobQuery, query).request_id);
    },

    artifactJobs: () => service.artifacts.jobs(),

    artifactStatus: () => service.artifacts.status(),

    engineVersions: () => ({
      vllm_version: `proofmill-${version}`,
      poc_validation_inference: chatsBesideJobs,
    }),

    watchArtifacts: (watch) => service.artifacts.watch(watch),

    watchStatus: (watch) =>
      service.watchStatus({
        ...watch,
        inference: () => ({
          inference_refused: gate.counters.refused,
          inference_aborted: gate.counters.aborted,
        }),
      }),
  } satisfies Partial<Calls>;
}

function gateState({ isStopped, isClosed }: InferenceGate): "open" | "closed" | "stopped" {
  if (isStopped) return "stopped";
  return isClosed ? "closed" : "open";
}

function artifactRoundOf(service: PocService): ArtifactsInfo["round"] {
  const round = service.enabled ? service.summary() : null;
  if (round?.scheme !== "artifact" || round.round_id === null) return null;
  const { round_id, block_hash, block_height, public_key, node_id, node_count } = round;
  const { total_checked, total_valid, rate_per_second, elapsed_seconds } = round;
  return {
    ...{ round_id, block_hash, block_height, public_key, node_id, node_count, total_checked },
    ...{
      total_artifacts: total_valid,
      artifacts_per_minute: 60 * rate_per_second,
      elapsed_seconds,
    },
  };
}
