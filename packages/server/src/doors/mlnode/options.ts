/** What the broker's door is made of. */
import type { PocService } from "@proofmill/core";
import type { HeldModel } from "../../held-model.ts";
import type { Bodies } from "../../http/bodies/bodies.ts";
import type { Unfinished } from "../../http/connections/unfinished.ts";
import type { Gpus } from "../../platform/gpus.ts";

export interface MlnodeOptions {
  service: PocService;
  model: HeldModel;
  gpus: Gpus;
  bodies: Bodies;
  unfinished: Unfinished;
  /** Where the node listens. */
  port: () => number;
  /** Whether a round could begin now, or one runs. */
  isHealthy: () => boolean;
  /** What the server that inference is forwarded to calls its version; null: none, or it says none. */
  upstreamVersion: () => Promise<string | null>;
  /** As operators and the broker call it. */
  version: string;
  /** Whether chat goes on while jobs are computed. */
  chatsBesideJobs: boolean;
  /** Where the weights are; null while they are looked for. */
  modelFolder: () => string | null;
  /** The commit, tag or branch of a model of the hub; null: of none. */
  revision: string | null;
  /** Told, for people, what the broker has the node do beside rounds and jobs. */
  onCommand: (told: { text: string; isBad?: boolean }) => void;
  /** What the broker's collector is shown; null: nothing. */
  metrics: (() => Promise<string>) | null;
}
