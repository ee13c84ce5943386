/** The flags and the environment of a command, read once. */
import { resolve } from "node:path";
import { Command } from "commander";
import { isToken } from "../access/keys.ts";
import { checkLengths } from "../models/directory.ts";
import { locateModel } from "../models/locate.ts";
import type { ServeConfig } from "./config.ts";
import { applyEnvironment } from "./environment.ts";
import { addServeOptions, MODEL_VARIABLE } from "./options.ts";

/** A key of ours, as `proofmill key new` makes them. */
const KEY = /^proofmill_[\w-]{43}$/;

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
  const { revision, device, ...options } = command.opts<
    Omit<ServeConfig, "model" | "dataDir" | "devices"> & {
      device: string[];
      revision?: string;
      dataDir?: string;
    }
  >();
  const { maxValidateNonces, maxQueuedValidateNonces } = options;
  if (maxQueuedValidateNonces < maxValidateNonces) {
    command.error(
      `--max-queued-validate-nonces ${maxQueuedValidateNonces} is less than ` +
        `--max-validate-nonces ${maxValidateNonces}: no such proof could ever wait`,
    );
  }
  checkBelonging(command, options);
  const { threads } = options;
  if (threads !== undefined && device[0] === "cpu" && threads < device.length) {
    command.error(`--threads ${threads} is too few for ${device.length} runners on the CPU`);
  }
  const named = command.args[0] || environment[MODEL_VARIABLE] || null;
  const model = orFail(command, () => {
    const located = locateModel({ model: named, revision, environment });
    checkLengths(options, located.context);
    return located;
  });
  return {
    ...options,
    devices: device,
    model: model.directory,
    modelConfig: model.config,
    download: model.download,
    brokerMetrics: environment.GONKA_METRICS !== "off",
    servedModelName: options.servedModelName ?? model.name,
    apiKey: checkedKeys(command, options.apiKey ?? []),
    apiKeyFile: options.apiKeyFile && resolve(options.apiKeyFile),
    tlsCert: options.tlsCert && resolve(options.tlsCert),
    tlsKey: options.tlsKey && resolve(options.tlsKey),
    tlsClientCa: options.tlsClientCa && resolve(options.tlsClientCa),
    callbackTlsCert: options.callbackTlsCert && resolve(options.callbackTlsCert),
    callbackTlsKey: options.callbackTlsKey && resolve(options.callbackTlsKey),
    callbackTlsCa: options.callbackTlsCa && resolve(options.callbackTlsCa),
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

/** Options that mean nothing, or too much, without another. */
function checkBelonging(command: Command, options: Partial<ServeConfig>): void {
  const needs = (has: unknown, wanted: unknown, message: string) => {
    if (has !== undefined && wanted === undefined) command.error(message);
  };
  const { tlsCert, tlsKey, tlsClientCa, callbackTlsCert, callbackTlsKey } = options;
  needs(tlsCert, tlsKey, "--tls-cert needs --tls-key");
  needs(tlsKey, tlsCert, "--tls-key needs --tls-cert");
  needs(tlsClientCa, tlsCert, "--tls-client-ca needs --tls-cert and --tls-key");
  needs(callbackTlsCert, callbackTlsKey, "--callback-tls-cert needs --callback-tls-key");
  needs(callbackTlsKey, callbackTlsCert, "--callback-tls-key needs --callback-tls-cert");
  needs(
    options.callbackToken,
    options.callbackAllow,
    "--callback-token needs --callback-allow: without it any host that a caller names would get it",
  );
  const { callbackToken, upstreamApiKey } = options;
  const inHeaders = { "--callback-token": callbackToken, "--upstream-api-key": upstreamApiKey };
  for (const [flag, value] of Object.entries(inHeaders)) {
    if (value === undefined || /^[\x21-\x7e]+$/.test(value)) continue;
    command.error(`${flag}: expected letters, digits and signs without blanks`);
  }
  if (KEY.test(options.apiKeyFile ?? "")) {
    command.error("--api-key-file: expected a file; this is a key, which --api-key takes");
  }
}

/** Says what is wrong with a key without naming it: this may be kept in a log. */
function checkedKeys(command: Command, keys: string[]): string[] {
  if (new Set(keys).size < keys.length) command.error("--api-key: a key is there twice");
  if (keys.every(isToken)) return keys;
  return command.error(
    "--api-key: expected at least 16 letters, digits and -._~+/, as `proofmill key new` makes them",
  );
}

function orFail<T>(command: Command, action: () => T): T {
  try {
    return action();
  } catch (error) {
    return command.error(error instanceof Error ? error.message : String(error));
  }
}
