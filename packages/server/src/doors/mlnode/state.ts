/** What the broker sees of a node that holds its model (docs/mlnode.md, "States"). */
import type { MlnodeOptions } from "./options.ts";

type Watched = Pick<MlnodeOptions, "service" | "model" | "isHealthy" | "chatsBesideJobs">;

/** Whether rounds and jobs could be taken: what the broker calls a backend. */
export function hasBackend({ service, model }: Pick<Watched, "service" | "model">): boolean {
  return service.enabled && service.ready && !model.isStopped;
}

/** While a round is at work too: the broker learns of that by `pow/status`. */
function serviceState({ service, model }: Pick<Watched, "service" | "model">) {
  return model.isStopped || service.model === null ? "STOPPED" : "INFERENCE";
}

export function describeState(node: Watched) {
  const { service, model, isHealthy, chatsBesideJobs } = node;
  const state = serviceState(node);
  if (state === "STOPPED") {
    const unknown = { poc_status: null, inference_healthy: null, loaded_model: null };
    return { state, ...unknown, poc_validation_inference: false };
  }
  const healthy = service.ready && isHealthy();
  return {
    state,
    poc_status: hasBackend(node) ? service.artifacts.status().status : "NO_BACKENDS",
    inference_healthy: healthy,
    loaded_model: healthy ? model.name : null,
    poc_validation_inference: chatsBesideJobs,
  };
}

/** What `/health`, `/livez` and `/readyz` say to callers of the Python service. */
export function healthFields(node: Watched & Pick<MlnodeOptions, "gpus">) {
  const { service, isHealthy, gpus } = node;
  const healthy = isHealthy();
  const devices = gpus.last;
  const inference = { running: serviceState(node) === "INFERENCE", healthy };
  const running = service.enabled && service.artifacts.isGenerating;
  return {
    ready: healthy,
    service_state: serviceState(node),
    gpu: { available: devices.length > 0, count: devices.length, devices },
    managers: {
      pow: { running, healthy },
      inference,
      train: { running: false, healthy: true },
    },
  };
}
