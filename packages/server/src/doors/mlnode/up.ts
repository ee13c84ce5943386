/** `inference/up` and `down`: the broker's commands to a node that loads its model by itself. */
import { PocError, type PocService, type UpRequest } from "@proofmill/core";
import type { FastifyBaseLogger } from "fastify";
import { Refused } from "./answer.ts";
import type { MlnodeOptions } from "./options.ts";

const RUNNING = "VLLM is already running. Use /inference/down to stop it first.";
const STARTING = "VLLM startup is already in progress. Use /inference/up/status to check status.";

/** As texts of rounds may have. */
const MAX_NAME_BYTES = 1024;

interface Startup {
  status: "in_progress" | "completed" | "cancelled" | "failed";
  /** Monotonic milliseconds. */
  readonly begun: number;
  ended: number | null;
  error: string | null;
}

interface UpsOptions extends Pick<MlnodeOptions, "service" | "model" | "onCommand"> {
  log: FastifyBaseLogger;
}

export class Ups {
  readonly #options: UpsOptions;
  #startup: Startup | null = null;
  #hasSaidIgnored = false;
  /** The model that is not held and was last said so: brokers ask again and again. */
  #otherSaid: string | null = null;

  constructor(options: UpsOptions) {
    this.#options = options;
  }

  /**
   * Takes rounds, jobs and inference again, as soon as the model is loaded.
   *
   * @returns what resolves then; rejects with Refused 500 when it does not come to that
   * @throws Refused 409 where it runs or is being started, or for another model; 500 for a length that
   *   the model does not have
   */
  begin(request: UpRequest): Promise<void> {
    const { service, model } = this.#options;
    if (this.#startup?.status === "in_progress") throw new Refused(409, STARTING);
    if (!model.isStopped && service.ready) throw new Refused(409, RUNNING);
    this.#refuseOther(request);
    const servedAs = argument("--served-model-name", request.additional_args);
    if (servedAs !== undefined) model.serveAs(checkName(servedAs));
    const stopped = model.start();
    this.#otherSaid = null;
    this.#options.onCommand({ text: `The broker has the node bring ${model.name} up` });
    const startup: Startup = {
      status: "in_progress",
      begun: performance.now(),
      ended: null,
      error: null,
    };
    this.#startup = startup;
    const end = (status: Startup["status"], error: string | null) =>
      Object.assign(startup, { status, error, ended: performance.now() });
    return whenReady(service, stopped).then(
      () => void end("completed", null),
      (error: Error) => {
        end(stopped.aborted ? "cancelled" : "failed", error.message);
        throw new Refused(500, error.message);
      },
    );
  }

  /** After a stop nothing is said of what was started before it. */
  status() {
    const { service, model } = this.#options;
    const is_running = !model.isStopped && service.ready;
    const startup = this.#startup;
    if (!startup || (model.isStopped && startup.status !== "in_progress")) {
      const none = { is_starting: false, is_running, elapsed_seconds: null, error: null };
      return { status: "not_started", ...none };
    }
    const { status, begun, ended, error } = startup;
    const elapsed_seconds = ((ended ?? performance.now()) - begun) / 1000;
    return { status, is_starting: status === "in_progress", is_running, elapsed_seconds, error };
  }

  /** Ends rounds and jobs, and takes no others. The weights stay in memory. */
  async stop(): Promise<void> {
    const { service, model, onCommand } = this.#options;
    if (!model.isStopped) {
      onCommand({
        text: "The broker stops the node: no rounds, jobs and inference until it is brought up again",
      });
    }
    model.stop();
    if (service.enabled) await service.stop();
  }

  #refuseOther({ model: wanted, additional_args: args }: UpRequest): void {
    const { service, model, log, onCommand } = this.#options;
    const called = [wanted, argument("--served-model-name", args) ?? wanted];
    if (!called.some((name) => model.isNamed(name))) {
      const detail = `This node holds ${model.name}; it cannot load ${wanted}`;
      log.warn(
        { held: model.name, wanted },
        "the broker wants a model that this node does not hold",
      );
      if (this.#otherSaid !== wanted) {
        this.#otherSaid = wanted;
        onCommand({ text: `The broker wants ${wanted}, which is refused: ${detail}`, isBad: true });
      }
      throw new Refused(409, detail);
    }
    const length = Number(argument("--max-model-len", args) ?? Number.NaN);
    const most = service.model?.max_seq_len ?? Number.POSITIVE_INFINITY;
    if (length > most) {
      throw new Refused(500, `--max-model-len ${length} is more than the ${most} that fit here`);
    }
    if (args.length === 0 || this.#hasSaidIgnored) return;
    this.#hasSaidIgnored = true;
    log.info(
      { additional_args: args },
      "these arguments are for another server, and not used here",
    );
  }
}

/** @throws Refused 400 for a name by which no round could call the model */
function checkName(name: string): string {
  const bytes = Buffer.byteLength(name);
  if (bytes >= 1 && bytes <= MAX_NAME_BYTES) return name;
  throw new Refused(400, `--served-model-name has ${bytes} bytes, expected 1 to ${MAX_NAME_BYTES}`);
}

/** Of a flag, written `--flag value` or `--flag=value`. */
function argument(flag: string, args: readonly string[]): string | undefined {
  const at = args.indexOf(flag);
  if (at !== -1) return args[at + 1];
  return args.find((arg) => arg.startsWith(`${flag}=`))?.slice(flag.length + 1);
}

/** Resolves when a runner has the model; rejects when none will, or the node is stopped before. */
function whenReady(service: PocService, stopped: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const settle = (outcome: () => void) => {
      off();
      stopped.removeEventListener("abort", cancel);
      outcome();
    };
    const cancel = () => settle(() => reject(new Error("The node was stopped before it was up")));
    const look = () => {
      if (service.ready) return settle(resolve);
      const lost = lossOf(service);
      if (lost) settle(() => reject(lost));
    };
    const off = service.on("change", look);
    stopped.addEventListener("abort", cancel);
    look();
  });
}

/** Why no runner comes any more; null while one may. */
function lossOf(service: PocService): Error | null {
  try {
    service.assertRunner();
  } catch (error) {
    if (error instanceof PocError && error.code === "RUNNER_LOST") return error;
  }
  return null;
}
