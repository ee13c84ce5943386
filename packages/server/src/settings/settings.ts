/** Flags and environment of `proofmill serve`, read once. */
import { isIPv6 } from "node:net";
import { availableParallelism } from "node:os";
import { resolve } from "node:path";
import { MAX_BATCH_SIZE } from "@proofmill/core";
import { PRECISIONS } from "@proofmill/native/model/precision";
import { Command, InvalidArgumentError, Option } from "commander";
import { checkLengths } from "../models/directory.ts";
import { type HubModel, locateModel } from "../models/locate.ts";
import { dataFolder } from "../platform/folders.ts";
import { milliseconds } from "./duration.ts";

/** What a running node is configured with. */
export interface ServeConfig extends DeviceConfig {
  /** Absolute path of a model directory; null: the demo model, unless one is to be downloaded. */
  model: string | null;
  /** The model to download; null: none. */
  download: HubModel | null;
  servedModelName: string;
  enablePoc: boolean;
  pocBatchSize: number;
  pocSeqLen: number;
  /** Undefined: as long as the model and the memory allow. */
  maxModelLen: number | undefined;
  maxValidateNonces: number;
  /** Nonces of all proofs that wait. */
  maxQueuedValidateNonces: number;
  allowInferenceWhileValidating: boolean;
  /** Seconds that running inference has to end when a round begins. */
  pocDrainSeconds: number;
  /** Base address of the server that inference is forwarded to; undefined: this node's own. */
  upstream: string | undefined;
  upstreamApiKey: string | undefined;
  /** Milliseconds. */
  callbackInterval: number;
  callbackMaxNonces: number;
  /** Milliseconds. */
  callbackMaxAge: number;
  /** Undefined: every host that the protocol allows. */
  callbackAllow: string[] | undefined;
  callbackSecret: string | undefined;
  /** Origins whose pages may use this node from a browser. */
  allowOrigin: string[];
  /** Hosts that this node answers to, besides those that nobody can make lead here. */
  allowHost: string[];
  host: string;
  port: number;
  dtype: Dtype;
  /** Undefined: the runner's own choice, one per core. */
  threads: number | undefined;
  /** Absolute path; null without a home folder, where PoC is off. */
  dataDir: string | null;
  logLevel: LogLevel;
}

export const DTYPES = ["auto", ...PRECISIONS] as const;
export type Dtype = (typeof DTYPES)[number];

/** Where a model runs, and how much of it. */
export interface DeviceConfig {
  /** `auto`, `cpu`, `cuda` or `cuda:N`. */
  device: string;
  /** Share of the GPU's memory that may be in use once the model is loaded, (0, 1]. */
  gpuMemoryUtilization: number;
}

/** The options of every command that loads a model. */
export function deviceOptions(): Option[] {
  return [
    new Option(
      "--device <device>",
      "where to compute: cpu, cuda or cuda:N, the Nth GPU; auto: a GPU where there is one",
    )
      .argParser(device)
      .default("auto"),
    new Option(
      "--gpu-memory-utilization <share>",
      "share of the GPU's memory that may be in use, by anyone, once the model is loaded",
    )
      .argParser(share)
      .default(0.9),
  ];
}

const LOG_LEVELS = ["fatal", "error", "warn", "info", "debug", "trace", "silent"] as const;
export type LogLevel = (typeof LOG_LEVELS)[number];

/** A list of numbers longer than this is not searched for repeats, so no proof may be. */
const MAX_VALIDATE_NONCES = 65_536;
const MAX_QUEUED_VALIDATE_NONCES = 1_048_576;
const MAX_THREADS = 1024;
const HOUR_MS = 3_600_000;
const MAX_SEQ_LEN = 2 ** 31 - 1;

/** The model directory's variable; an option's is its long name in the same manner. */
const MODEL_VARIABLE = "PROOFMILL_MODEL";

/** Gives a command the arguments and options of `serve`. */
export function addServeOptions(command: Command): Command {
  command.argument(
    "[model]",
    "model directory in Hugging Face layout, or a model's name on the hub such as " +
      "Qwen/Qwen3-0.6B, which is downloaded unless it is in the Hugging Face cache (env: " +
      `${MODEL_VARIABLE}); without one a small demo model with random weights is made and served`,
  );
  for (const option of serveOptions()) {
    // Commander reads variables itself, but takes PROOFMILL_ENABLE_POC=false for true.
    option.description += ` (env: ${variableOf(option)})`;
    command.addOption(option);
  }
  return command;
}

function serveOptions(): Option[] {
  return [
    new Option(
      "--revision <name>",
      "branch, tag or commit of a model that is given by name (default: main)",
    ).argParser(text),
    new Option("--enable-poc", "switch the Proof-of-Compute endpoints on").default(false),
    new Option(
      "--poc-batch-size <n>",
      `nonces per batch for rounds that name none, 1 to ${MAX_BATCH_SIZE}`,
    )
      .argParser(integer(1, MAX_BATCH_SIZE))
      .default(32),
    new Option(
      "--poc-seq-len <n>",
      "tokens per nonce for rounds that name none, 1 to the model's context",
    )
      .argParser(integer(1, MAX_SEQ_LEN))
      .default(256),
    new Option(
      "--max-model-len <n>",
      "most tokens that a sequence may have, 1 to the model's context (default: as many as the " +
        "model and the memory allow)",
    ).argParser(integer(1, MAX_SEQ_LEN)),
    new Option(
      "--max-validate-nonces <n>",
      `nonces that one /validate may have, 1 to ${MAX_VALIDATE_NONCES}`,
    )
      .argParser(integer(1, MAX_VALIDATE_NONCES))
      .default(4096),
    new Option(
      "--max-queued-validate-nonces <n>",
      "nonces of all proofs that may wait, beyond which /validate is 503; --max-validate-nonces " +
        `to ${MAX_QUEUED_VALIDATE_NONCES}`,
    )
      .argParser(integer(1, MAX_QUEUED_VALIDATE_NONCES))
      .default(65_536),
    new Option(
      "--allow-inference-while-validating",
      "answer /v1 requests during VALIDATING too",
    ).default(false),
    new Option(
      "--poc-drain-seconds <n>",
      "seconds that running inference has to end when a round begins, 0 to 3600",
    )
      .argParser(integer(0, 3600))
      .default(5),
    new Option(
      "--upstream <address>",
      "forward /v1, /tokenize and /detokenize to this server, e.g. http://127.0.0.1:8001",
    ).argParser(upstream),
    new Option(
      "--upstream-api-key <key>",
      "the key that the upstream wants; the variable keeps it out of the list of processes",
    ).argParser(text),
    new Option("--callback-interval <time>", "pause between two callbacks with finds, 10ms to 1h")
      .argParser(duration("10ms", "1h"))
      .default(1000, "1s"),
    new Option("--callback-max-nonces <n>", "nonces that one callback has at most, 1 to 100000")
      .argParser(integer(1, 100_000))
      .default(10_000),
    new Option(
      "--callback-max-age <time>",
      "give up what could not be delivered for so long, 1m to 720h",
    )
      .argParser(duration("1m", "720h"))
      .default(24 * HOUR_MS, "24h"),
    new Option(
      "--callback-allow <host,…>",
      "call only these hosts, name or name:port (default: all but metadata, link-local and " +
        "multicast addresses)",
    ).argParser(hosts),
    new Option(
      "--callback-secret <text>",
      "sign callbacks with HMAC-SHA-256; the variable keeps it out of the list of processes",
    ).argParser(text),
    new Option(
      "--allow-origin <origin,…>",
      "let pages of these origins use the node from a browser, e.g. https://dashboard.example",
    )
      .argParser(origins)
      .default([], "none"),
    new Option(
      "--allow-host <host,…>",
      "answer requests for these hosts too, name or name:port, e.g. node.example; IP addresses, " +
        "names without a dot and those under .local, .internal and .localhost are always answered",
    )
      .argParser(hosts)
      .default([], "none"),
    new Option("--host <address>", "address or name to listen on, without a port")
      .argParser(listenHost)
      .default("127.0.0.1"),
    new Option("--port <n>", "port to listen on, 0 (any free one) to 65535")
      .argParser(integer(0, 65_535))
      .default(8000),
    new Option(
      "--dtype <type>",
      `precision of matrix inputs, ${DTYPES.join(", ")}; auto: bfloat16 for bfloat16 models, ` +
        "else float32",
    )
      .argParser(choice(DTYPES))
      .default("auto"),
    ...deviceOptions(),
    new Option(
      "--threads <n>",
      `threads that compute, 1 to ${MAX_THREADS} (default: one per core, ` +
        `${availableParallelism()} here)`,
    ).argParser(integer(1, MAX_THREADS)),
    new Option(
      "--served-model-name <name>",
      "the model's name in /v1 (default: as on the hub, or its directory's name)",
    ).argParser(text),
    dataDirOption(),
    new Option("--log-level <level>", `least level to log, ${LOG_LEVELS.join(", ")}`)
      .argParser(choice(LOG_LEVELS))
      .default("info"),
  ];
}

function dataDirOption(): Option {
  const option = new Option(
    "--data-dir <folder>",
    "folder for rounds, finds and undelivered callbacks; one for each node",
  ).argParser(folder);
  const standard = dataFolder();
  return standard === null ? option : option.default(standard);
}

/** Gives a command the data folder of `serve`. */
export function addDataDirOption(command: Command): Command {
  const option = dataDirOption();
  option.description += ` (env: ${variableOf(option)})`;
  return command.addOption(option);
}

/**
 * The data folder of a parsed command. Where none is named, and there is no home to have it in, the
 * command ends with one line.
 *
 * @returns an absolute path
 */
export function readDataDir(command: Command, environment: NodeJS.ProcessEnv): string {
  applyEnvironment(command, environment);
  return dataDirOf(command);
}

function dataDirOf(command: Command): string {
  const { dataDir } = command.opts<{ dataDir?: string }>();
  return resolve(
    dataDir ?? command.error("there is no home folder to keep rounds in; name one with --data-dir"),
  );
}

/**
 * The configuration of a parsed command: flags first, then `PROOFMILL_*` (an empty variable counts
 * as unset), then defaults.
 *
 * Where anything is wrong the command ends with one line that names the value and what was expected.
 */
export function readConfig(command: Command, environment: NodeJS.ProcessEnv): ServeConfig {
  applyEnvironment(command, environment);
  const { revision, ...options } = command.opts<
    Omit<ServeConfig, "model" | "dataDir"> & { revision?: string; dataDir?: string }
  >();
  const { maxValidateNonces, maxQueuedValidateNonces } = options;
  if (maxQueuedValidateNonces < maxValidateNonces) {
    command.error(
      `--max-queued-validate-nonces ${maxQueuedValidateNonces} is less than ` +
        `--max-validate-nonces ${maxValidateNonces}: no such proof could ever wait`,
    );
  }
  const named = command.args[0] || environment[MODEL_VARIABLE] || null;
  const model = orFail(command, () => {
    const located = locateModel({ model: named, revision, environment });
    checkLengths(options, located.context);
    return located;
  });
  return {
    ...options,
    model: model.directory,
    download: model.download,
    servedModelName: options.servedModelName ?? model.name,
    threads: options.threads,
    maxModelLen: options.maxModelLen,
    upstream: options.upstream,
    upstreamApiKey: options.upstreamApiKey,
    callbackAllow: options.callbackAllow,
    callbackSecret: options.callbackSecret,
    dataDir: options.enablePoc || options.dataDir !== undefined ? dataDirOf(command) : null,
  };
}

/**
 * The configuration that `proofmill serve` would have with these arguments.
 *
 * @throws CommanderError with the line that the command would end with
 *
 * @example
 * const node = await startNode(parseConfig(["--enable-poc", "--port", "0"]));
 */
export function parseConfig(
  argv: readonly string[],
  environment: NodeJS.ProcessEnv = {},
): ServeConfig {
  const command = addServeOptions(new Command("serve")).exitOverride();
  command.configureOutput({ writeErr: () => {} });
  command.parse(argv, { from: "user" });
  return readConfig(command, environment);
}

function applyEnvironment(command: Command, environment: NodeJS.ProcessEnv): void {
  for (const option of command.options) {
    const variable = variableOf(option);
    const value = environment[variable];
    const key = option.attributeName();
    if (!value || command.getOptionValueSource(key) === "cli") continue;
    if (isServiceAddress(variable, value)) {
      const text = `${variable} is '${value}', which Kubernetes sets for a Service of that name: it is ignored`;
      command.configureOutput().writeErr?.(`proofmill: ${text}\n`);
      continue;
    }
    const parse: (value: string, previous: undefined) => unknown = option.parseArg ?? boolean;
    try {
      command.setOptionValueWithSource(key, parse(value, undefined), "env");
    } catch (error) {
      if (!(error instanceof InvalidArgumentError)) throw error;
      command.error(
        `environment variable ${variable} value '${value}' is invalid. ${error.message}`,
      );
    }
  }
}

/** Kubernetes gives every container `NAME_PORT` for each Service, as Docker's links once did. */
function isServiceAddress(variable: string, value: string): boolean {
  return variable.endsWith("_PORT") && /^(tcp|udp|sctp):\/\//i.test(value);
}

/** `--poc-seq-len` → `PROOFMILL_POC_SEQ_LEN`. */
function variableOf(option: Option): string {
  return `PROOFMILL_${option.name().replaceAll("-", "_").toUpperCase()}`;
}

function orFail<T>(command: Command, action: () => T): T {
  try {
    return action();
  } catch (error) {
    return command.error(error instanceof Error ? error.message : String(error));
  }
}

function integer(minimum: number, maximum: number): (value: string) => number {
  return (value) => {
    const number = /^\d+$/.test(value) ? Number(value) : Number.NaN;
    if (number >= minimum && number <= maximum) return number;
    throw new InvalidArgumentError(`Expected an integer from ${minimum} to ${maximum}.`);
  };
}

function duration(minimum: string, maximum: string): (value: string) => number {
  const [least, most] = [milliseconds(minimum) ?? 0, milliseconds(maximum) ?? 0];
  return (value) => {
    const time = milliseconds(value);
    if (time !== null && time >= least && time <= most) return time;
    throw new InvalidArgumentError(
      `Expected a time from ${minimum} to ${maximum}, e.g. 500ms, 90s, 15m or 24h.`,
    );
  };
}

/** Shells leave `~` as it is in `--data-dir=~/node` and in variables of a service or a container. */
function folder(value: string): string {
  if (value !== "~" && !value.startsWith("~/")) return text(value);
  throw new InvalidArgumentError(
    "Expected a folder's whole path: ~ was not expanded by the shell.",
  );
}

function upstream(value: string): string {
  if (/^https?:\/\//i.test(value) && URL.canParse(value)) {
    const { origin, href } = new URL(value);
    if (href === `${origin}/`) return origin;
  }
  throw new InvalidArgumentError(
    "Expected a server's address without a path or credentials, e.g. http://127.0.0.1:8001.",
  );
}

function hosts(value: string): string[] {
  return list(value).map((host) => {
    try {
      const url = new URL(`http://${host}`);
      if (url.host !== "" && url.pathname === "/" && !/[/?#@*]/.test(host)) return url.host;
    } catch {
      // said below
    }
    throw new InvalidArgumentError("Expected hosts like aggregator or 10.0.0.7:9000.");
  });
}

function origins(value: string): string[] {
  return list(value).map((origin) => {
    if (URL.canParse(origin) && new URL(origin).origin === origin) return origin;
    throw new InvalidArgumentError("Expected origins like https://dashboard.example.");
  });
}

function list(value: string): string[] {
  return text(value)
    .split(",")
    .map((part) => part.trim())
    .filter((part) => part !== "");
}

/** An IPv6 address may stand in brackets, as it does in a URL. */
function listenHost(value: string): string {
  const inside = /^\[(.*)\]$/.exec(value)?.[1];
  if (inside !== undefined ? isIPv6(inside) : isIPv6(value) || /^[^\s:/[\]@]+$/.test(value)) {
    return inside ?? value;
  }
  throw new InvalidArgumentError(
    "Expected an address or a name without a port, e.g. 0.0.0.0 or ::1.",
  );
}

function choice<T extends string>(choices: readonly T[]): (value: string) => T {
  return (value) => {
    const found = choices.find((each) => each === value);
    if (found !== undefined) return found;
    throw new InvalidArgumentError(`Expected one of ${choices.join(", ")}.`);
  };
}

function device(value: string): string {
  if (/^(auto|cpu|cuda(:\d{1,3})?)$/.test(value)) return value;
  throw new InvalidArgumentError("Expected auto, cpu, cuda or cuda:N, e.g. cuda:1.");
}

function share(value: string): number {
  const number = /^(0?\.\d+|1(\.0+)?)$/.test(value) ? Number(value) : 0;
  if (number > 0) return number;
  throw new InvalidArgumentError("Expected more than 0 and at most 1, e.g. 0.9.");
}

function text(value: string): string {
  if (value.trim() !== "") return value;
  throw new InvalidArgumentError("Expected some text.");
}

function boolean(value: string): boolean {
  if (/^(1|true|yes|on)$/i.test(value)) return true;
  if (/^(0|false|no|off)$/i.test(value)) return false;
  throw new InvalidArgumentError("Expected one of 1, true, yes, on, 0, false, no, off.");
}
