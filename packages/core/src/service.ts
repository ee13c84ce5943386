/** The service that REST and tRPC both call: PROTOCOL §2 and §3 behind one face. */
import type { ModelRunner } from "./runner.ts";
import type { CommandAnswer, InitDefaults, RoundState, Status, ValidateAnswer } from "./schemas.ts";
import type { RoundStore } from "./store.ts";

/** The part of pino that the service uses. */
export interface Logger {
  debug(fields: object, message: string): void;
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
  error(fields: object, message: string): void;
}

export interface PocServiceOptions {
  /** false: every call throws POC_NOT_ENABLED and the store is not touched. */
  enabled: boolean;
  store: RoundStore;
  /** A fresh ULID. */
  newRoundId: () => string;
  /** What a round gets whose init body names none. */
  defaults: InitDefaults;
  /** Nonces that one `/validate` has at most; 4,096 by default. */
  maxValidateNonces?: number;
  /** Monotonic milliseconds; `performance.now` by default. */
  now?: () => number;
  log?: Logger;
}

export declare class PocService {
  static open(options: PocServiceOptions): Promise<PocService>;
  readonly state: RoundState;
  readonly ready: boolean;
  attach(runner: ModelRunner): void;
  detach(error: Error): void;
  init(body: unknown): Promise<CommandAnswer>;
  initGenerate(body: unknown): Promise<CommandAnswer>;
  initValidate(body: unknown): Promise<CommandAnswer>;
  phaseGenerate(): Promise<CommandAnswer>;
  phaseValidate(): Promise<CommandAnswer>;
  stop(): Promise<CommandAnswer>;
  validate(body: unknown): Promise<ValidateAnswer>;
  status(page?: unknown): Status;
  on(event: "change", listener: () => void): () => void;
  close(): Promise<void>;
}
