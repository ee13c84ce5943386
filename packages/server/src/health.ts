/** How a node is: why no round could begin now, and what else is wrong. Every door says it from here. */
import {
  type HealthCode,
  type NodeHealth,
  PocError,
  type PocErrorCode,
  type PocService,
  type RunnerInfo,
} from "@proofmill/core";

interface HealthSources {
  service: PocService;
  runners: () => readonly RunnerInfo[];
}

/** The refusal that says a reason; a runner that comes again is waited for like a first one. */
const REFUSALS = {
  MODEL_LOADING: "MODEL_LOADING",
  RUNNER_RESTARTING: "MODEL_LOADING",
  RUNNER_STALLED: "RUNNER_STALLED",
  RUNNER_LOST: "RUNNER_LOST",
  STORE_FAILED: "STORE_FAILED",
  SHUTTING_DOWN: "SHUTTING_DOWN",
  RESULTS_NOT_FINITE: "RUNNER_LOST", // only ever a warning
} as const satisfies Record<HealthCode, PocErrorCode>;

export function healthOf({ service, runners }: HealthSources): NodeHealth {
  const reasons: NodeHealth["reasons"] = [];
  if (service.isClosing) reasons.push({ code: "SHUTTING_DOWN", text: "Server is shutting down" });
  const all = runners();
  const idle = all.filter(({ state }) => state !== "alive");
  const stalled = service.ready && idle.length === all.length ? idle.filter(isStalled) : [];
  if (!service.ready) reasons.push(runnerReason(service, idle));
  reasons.push(...stalled.map(runnerNote));
  if (service.storeFault !== null) {
    reasons.push({ code: "STORE_FAILED", text: `Could not be stored: ${service.storeFault}` });
  }
  const warnings = [
    // The others go on.
    ...(service.ready ? idle.filter((runner) => !stalled.includes(runner)).map(runnerNote) : []),
    ...nonfiniteNotes(service),
  ];
  return { reasons, warnings };
}

/** @throws PocError with the first reason; its answer has all of them, and what is to stand beside */
export function assertReady({ reasons, warnings }: NodeHealth, beside: object = {}): void {
  const [first] = reasons;
  if (!first) return;
  const code = REFUSALS[first.code];
  const isSaid = code === first.code; // else the refusal's own words, which callers know
  throw new PocError(code, {
    ...(isSaid && { detail: first.text }),
    beside: { status: "unavailable", reasons, warnings, ...beside },
  });
}

/** Why nothing is computed: the service knows whether a runner is still expected. */
function runnerReason(
  service: PocService,
  gone: readonly RunnerInfo[],
): NodeHealth["reasons"][number] {
  try {
    service.assertRunner();
  } catch (error) {
    if (!(error instanceof PocError)) throw error;
    if (error.code === "RUNNER_LOST") return { code: "RUNNER_LOST", text: error.message };
  }
  const again = gone.find(({ state }) => state === "restarting");
  return again ? runnerNote(again) : { code: "MODEL_LOADING", text: "Model is loading" };
}

function isStalled({ state }: RunnerInfo): boolean {
  return state === "stalled";
}

function runnerNote({ id, state, reason }: RunnerInfo): NodeHealth["reasons"][number] {
  const because = reason === null ? "" : `: ${reason}`;
  if (state === "stalled") {
    const text = `Runner stands still: ${id} has done nothing of its work for far longer than usual`;
    return { code: "RUNNER_STALLED", text };
  }
  if (state === "lost") return { code: "RUNNER_LOST", text: `The runner ${id} is lost${because}` };
  return state === "restarting"
    ? { code: "RUNNER_RESTARTING", text: `The runner ${id} is started again${because}` }
    : { code: "MODEL_LOADING", text: `The runner ${id} loads its model` };
}

/** Weights or a device that are broken show so: nonces that are neither valid nor invalid. */
function nonfiniteNotes(service: PocService): NodeHealth["warnings"] {
  if (!service.enabled) return [];
  const { total_nonfinite, total_checked } = service.status({ limit: 1 });
  if (total_nonfinite === 0) return [];
  const text = `${total_nonfinite} of the ${total_checked} nonces of the round had results that are not finite`;
  return [{ code: "RESULTS_NOT_FINITE", text }];
}
