/** What a node offers, as its API document tells of it: that follows from whose rounds it takes. */
import {
  BROKER_OPERATIONS,
  OPERATIONS,
  type Operation,
  type OperationTable,
  type SchemaName,
} from "@proofmill/core";
import type { Protocol } from "../settings/config.ts";
import {
  ARTIFACT_EXAMPLES,
  ARTIFACT_ROUND,
  BEGIN_EXAMPLES,
  GENERATING,
  misfits,
} from "./artifact-examples.ts";
import { BROKER_EXAMPLES } from "./broker-examples.ts";
import type { ApiExample, OperationExamples } from "./example.ts";
import { EXAMPLES } from "./examples.ts";

export interface Offered {
  operations: OperationTable;
  /** By the operation's name. */
  examples: Readonly<Record<string, OperationExamples>>;
}

/** @param leftOut names of operations that this node does not have for another reason */
export function offeredBy(protocol: Protocol, leftOut: readonly string[] = []): Offered {
  const all = protocol === "v1" ? withoutArtifacts() : withArtifacts(protocol === "v2");
  const names = Object.keys(all.operations).filter((name) => !leftOut.includes(name));
  const operations = names.map((name) => [name, all.operations[name]]);
  return { ...all, operations: Object.fromEntries(operations) as OperationTable };
}

function withoutArtifacts(): Offered {
  const operations = Object.entries<Operation>(OPERATIONS).filter(
    ([, { rounds }]) => rounds !== "artifacts",
  );
  return { operations: Object.fromEntries(operations), examples: EXAMPLES };
}

function withArtifacts(isOnly: boolean): Offered {
  const operations = Object.entries<Operation>(OPERATIONS)
    .filter(([name, { rounds }]) => name === "initGenerate" || !isOnly || rounds !== "distances")
    .map(([name, operation]) => [name, { ...operation, ...OTHERWISE[name] }]);
  const { initGenerate, initArtifacts } = OPERATIONS;
  const either: Operation = {
    ...{ ...initGenerate, summary: "Begin a round of either kind and search or generate" },
    ...{ body: "EitherRound", output: "EitherBegun", refusal: "ArtifactRefusal" },
    refusals: [...initGenerate.refusals, ...initArtifacts.refusals],
  };
  const { procedure: _, ...alone } = { ...initArtifacts, rest: initGenerate.rest };
  return {
    operations: {
      ...Object.fromEntries(operations),
      initGenerate: isOnly ? alone : either,
      ...BROKER_OPERATIONS,
    },
    examples: {
      ...EXAMPLES,
      ...ARTIFACT_EXAMPLES,
      ...BROKER_EXAMPLES,
      ...beside(EXAMPLES),
      initGenerate: {
        success: isOnly ? "The round generates." : "The search runs, or the round generates.",
        refused: { 409: "A round generates, or the node has another model." },
        examples: isOnly
          ? [...BEGIN_EXAMPLES, ...misfits(ARTIFACT_ROUND)]
          : [...examplesOf("initGenerate"), ...BEGIN_EXAMPLES],
      },
    },
  };
}

/** What the table says otherwise of a node for rounds of artifacts too. */
const OTHERWISE: Readonly<Record<string, { output: SchemaName; refusal?: SchemaName }>> = {
  status: { output: "EitherStatus" },
  stop: { output: "EitherStopped" },
  health: { output: "BrokerHealth", refusal: "BrokerUnready" },
  ready: { output: "BrokerHealth", refusal: "BrokerUnready" },
  live: { output: "BrokerLive" },
};

const examplesOf = (name: string) => EXAMPLES[name]?.examples ?? [];

/** What callers of the Python service look for in answers about health. */
function serviceFields({ given }: ApiExample): object {
  const healthy = given === "searching" || given === "no round";
  const isUp = given !== "the model is loading";
  return {
    ready: healthy,
    service_state: isUp ? "INFERENCE" : "STOPPED",
    gpu: { available: false, count: 0, devices: [] },
    managers: {
      pow: { running: false, healthy },
      inference: { running: isUp, healthy },
      train: { running: false, healthy: true },
    },
  };
}

/** Of operations that say more where there are rounds of artifacts. */
function beside(examples: Offered["examples"]): Offered["examples"] {
  const changed = (name: string, change: (example: ApiExample) => object) => ({
    success: "",
    ...examples[name],
    examples: examplesOf(name).map((example) =>
      example.status === 422
        ? example
        : { ...example, answer: { ...(example.answer as object), ...change(example) } },
    ),
  });
  const idle = { config: null, stats: null };
  const health = (example: ApiExample) => ({
    ...(example.status === 200 && { status: "healthy" }),
    ...serviceFields(example),
  });
  const status = changed("status", ({ status }) => (status === 200 ? idle : {}));
  const [, noRound] = examplesOf("status");
  const stop = changed("stop", ({ status, answer }) =>
    status === 200
      ? { pow_status: { ...(answer as { pow_status: object }).pow_status, ...idle } }
      : {},
  );
  const generating = { ...(noRound?.answer as object), ...GENERATING, state: "GENERATING" };
  return {
    status: {
      ...status,
      examples: [
        ...status.examples,
        { given: "artifacts are generated", status: 200, answer: generating },
      ],
    },
    stop,
    health: changed("health", health),
    ready: changed("ready", health),
    live: changed("live", (example) => ({ status: "unhealthy", ...serviceFields(example) })),
  };
}
