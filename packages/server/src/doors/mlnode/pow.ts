/** Rounds and jobs of artifacts as the broker asks for them, one backend behind the door. */
import { CheckedBody, checkBody, PocError, type SchemaName } from "@proofmill/core";
import { NO_BACKENDS, Refused, wrapped } from "./answer.ts";
import type { MlnodeOptions } from "./options.ts";
import { hasBackend } from "./state.ts";

type PowOptions = Pick<MlnodeOptions, "service" | "model" | "port">;

export class Pow {
  readonly #options: PowOptions;

  constructor(options: PowOptions) {
    this.#options = options;
  }

  status() {
    const { service, port } = this.#options;
    if (!hasBackend(this.#options)) return { status: "NO_BACKENDS", backends: [] };
    const status = service.artifacts.status();
    return { status: status.status, backends: [{ port: port(), ...status }] };
  }

  async initGenerate(body: unknown, signal: AbortSignal) {
    const { service } = this.#options;
    const port = this.#options.port();
    this.#refuseUnlessBackend("ArtifactRound", body);
    try {
      await service.artifacts.initGenerate(body, { signal });
    } catch (error) {
      throw wrapped(error, { port });
    }
    const results = [{ port, status: "OK" }];
    return { status: "OK", backends: 1, n_groups: 1, results, errors: null };
  }

  async generate(body: unknown, signal: AbortSignal): Promise<object> {
    const { service, port } = this.#options;
    this.#refuseUnlessBackend("ArtifactJob", body);
    const job = await service.artifacts.generate(body, { signal }).catch((error) => {
      throw wrapped(error, "job");
    });
    return { ...job, request_id: `${port()}:${job.request_id}` };
  }

  /** @param request_id `<port>:<uuid>` */
  job(request_id: string): object {
    const at = request_id.indexOf(":");
    if (at === -1) throw new Refused(400, "Invalid request_id format (expected port:uuid)");
    if (!/^\d+$/.test(request_id.slice(0, at)))
      throw new Refused(400, "Invalid port in request_id");
    try {
      return { ...this.#options.service.artifacts.job(request_id.slice(at + 1)), request_id };
    } catch (error) {
      throw wrapped(error, "job");
    }
  }

  async stop() {
    const { service, port } = this.#options;
    const isBacked = hasBackend(this.#options);
    // What waits for a runner that is started again would go on with it.
    if (service.enabled) await service.stop();
    if (!isBacked) return { status: "OK", message: "No backends to stop" };
    return { status: "OK", results: [{ port: port(), status: "stopped" }], errors: null };
  }

  /** What is wrong with a body comes first, as everywhere. */
  #refuseUnlessBackend(schema: SchemaName, body: unknown): void {
    const { service } = this.#options;
    service.assertEnabled();
    if (hasBackend(this.#options)) return;
    const limits = service.initLimits;
    if (body instanceof CheckedBody) body.take(schema, limits);
    else checkBody(schema, body, limits);
    if (service.isClosing) throw new PocError("SHUTTING_DOWN");
    throw new Refused(503, NO_BACKENDS);
  }
}
