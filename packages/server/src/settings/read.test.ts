import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Command, type CommanderError } from "commander";
import { describe, expect, onTestFinished, test } from "vitest";
import { addServeOptions } from "./options.ts";
import { parseConfig as read, readConfig } from "./read.ts";

type Environment = Record<string, string>;

/** The one line that refuses them. */
function refusal(argv: readonly string[], environment: Environment = {}): string {
  try {
    read(argv, environment);
  } catch (error) {
    return (error as CommanderError).message;
  }
  throw new Error("expected a refusal");
}

/** A model directory with this config.json; null: without one. */
function modelDirectory(config: string | null): string {
  const directory = mkdtempSync(join(tmpdir(), "proofmill-"));
  onTestFinished(() => rmSync(directory, { recursive: true }));
  if (config !== null) writeFileSync(join(directory, "config.json"), config);
  return directory;
}

test("defaults", () => {
  expect(read([])).toEqual({
    apiKey: [],
    apiKeyFile: undefined,
    tlsCert: undefined,
    tlsKey: undefined,
    tlsClientCa: undefined,
    callbackToken: undefined,
    callbackTlsCert: undefined,
    callbackTlsKey: undefined,
    callbackTlsCa: undefined,
    maxRequestsPerSecond: undefined,
    maxConnectionsPerAddress: 2048,
    trustedProxy: [],
    model: null,
    download: null,
    servedModelName: "proofmill-demo",
    enablePoc: false,
    protocol: "both",
    nodeVersion: undefined,
    basePath: "",
    brokerMetrics: true,
    pocHonourPValueThreshold: false,
    exitWhenUnhealthy: false,
    runnerMaxRestarts: 10,
    resumeRound: false,
    shutdownTimeout: 3000,
    pocBatchSize: 32,
    pocSeqLen: 256,
    maxModelLen: undefined,
    maxValidateNonces: 4096,
    maxQueuedValidateNonces: 65_536,
    allowInferenceWhileValidating: false,
    ungateModels: false,
    inference: true,
    kvCacheMemory: undefined,
    maxNumSeqs: 16,
    pocDrainSeconds: 5,
    upstream: undefined,
    upstreamApiKey: undefined,
    callbackInterval: 1000,
    callbackMaxNonces: 10_000,
    callbackMaxAge: 86_400_000,
    callbackAllow: undefined,
    callbackSecret: undefined,
    allowOrigin: [],
    allowHost: [],
    host: "127.0.0.1",
    port: 8000,
    dtype: "auto",
    devices: ["auto"],
    gpuMemoryUtilization: 0.9,
    threads: undefined,
    dataDir: expect.stringMatching(/proofmill/),
    logLevel: "info",
    logFormat: "auto",
  });
});

describe.each([
  ["--enable-poc", "PROOFMILL_ENABLE_POC", "true", "enablePoc", true],
  ["--poc-batch-size", "PROOFMILL_POC_BATCH_SIZE", "1024", "pocBatchSize", 1024],
  ["--poc-seq-len", "PROOFMILL_POC_SEQ_LEN", "4096", "pocSeqLen", 4096],
  ["--max-model-len", "PROOFMILL_MAX_MODEL_LEN", "1000", "maxModelLen", 1000],
  ["--max-validate-nonces", "PROOFMILL_MAX_VALIDATE_NONCES", "65536", "maxValidateNonces", 65536],
  [
    "--max-queued-validate-nonces",
    "PROOFMILL_MAX_QUEUED_VALIDATE_NONCES",
    "4096",
    "maxQueuedValidateNonces",
    4096,
  ],
  [
    "--allow-inference-while-validating",
    "PROOFMILL_ALLOW_INFERENCE_WHILE_VALIDATING",
    "1",
    "allowInferenceWhileValidating",
    true,
  ],
  ["--ungate-models", "PROOFMILL_UNGATE_MODELS", "yes", "ungateModels", true],
  ["--no-inference", "PROOFMILL_NO_INFERENCE", "1", "inference", false],
  ["--kv-cache-memory", "PROOFMILL_KV_CACHE_MEMORY", "2GiB", "kvCacheMemory", 2 ** 31],
  ["--max-num-seqs", "PROOFMILL_MAX_NUM_SEQS", "64", "maxNumSeqs", 64],
  ["--poc-drain-seconds", "PROOFMILL_POC_DRAIN_SECONDS", "0", "pocDrainSeconds", 0],
  ["--upstream", "PROOFMILL_UPSTREAM", "http://a:1/", "upstream", "http://a:1"],
  ["--upstream-api-key", "PROOFMILL_UPSTREAM_API_KEY", "k3y", "upstreamApiKey", "k3y"],
  ["--callback-interval", "PROOFMILL_CALLBACK_INTERVAL", "250ms", "callbackInterval", 250],
  ["--callback-max-nonces", "PROOFMILL_CALLBACK_MAX_NONCES", "7", "callbackMaxNonces", 7],
  ["--callback-max-age", "PROOFMILL_CALLBACK_MAX_AGE", "2h", "callbackMaxAge", 7_200_000],
  ["--callback-secret", "PROOFMILL_CALLBACK_SECRET", "s3cret", "callbackSecret", "s3cret"],
  ["--host", "PROOFMILL_HOST", "::1", "host", "::1"],
  ["--port", "PROOFMILL_PORT", "0", "port", 0],
  ["--dtype", "PROOFMILL_DTYPE", "float32", "dtype", "float32"],
  ["--device", "PROOFMILL_DEVICE", "cuda:12", "devices", ["cuda:12"]],
  [
    "--gpu-memory-utilization",
    "PROOFMILL_GPU_MEMORY_UTILIZATION",
    ".5",
    "gpuMemoryUtilization",
    0.5,
  ],
  ["--threads", "PROOFMILL_THREADS", "2", "threads", 2],
  ["--runner-max-restarts", "PROOFMILL_RUNNER_MAX_RESTARTS", "3", "runnerMaxRestarts", 3],
  [
    "--runner-max-memory",
    "PROOFMILL_RUNNER_MAX_MEMORY",
    "1.5GiB",
    "runnerMaxMemory",
    1.5 * 2 ** 30,
  ],
  ["--exit-when-unhealthy", "PROOFMILL_EXIT_WHEN_UNHEALTHY", "yes", "exitWhenUnhealthy", true],
  ["--served-model-name", "PROOFMILL_SERVED_MODEL_NAME", "m", "servedModelName", "m"],
  ["--data-dir", "PROOFMILL_DATA_DIR", "/data", "dataDir", "/data"],
  ["--log-level", "PROOFMILL_LOG_LEVEL", "debug", "logLevel", "debug"],
  ["--log-format", "PROOFMILL_LOG_FORMAT", "pretty", "logFormat", "pretty"],
] as const)("%s", (flag, variable, text, key, value) => {
  const isSwitch = typeof value === "boolean";

  test("as a flag and as a variable", () => {
    expect(read(isSwitch ? [flag] : [flag, text])[key]).toEqual(value);
    expect(read([], { [variable]: text })[key]).toEqual(value);
  });

  test("the flag wins, and an empty variable counts as unset", () => {
    expect(read(isSwitch ? [flag] : [flag, text], { [variable]: "0" })[key]).toEqual(value);
    expect(read([], { [variable]: "" })[key]).toEqual(read([])[key]);
  });
});

test.each([
  [
    ["--port", "65536"],
    "'--port <n>' argument '65536' is invalid. Expected an integer from 0 to 65535.",
  ],
  [["--port", "-1"], "argument '-1' is invalid"],
  [["--port", "80x"], "'80x'"],
  [["--port", "1e3"], "'1e3'"],
  [["--port", ""], "''"],
  [["--poc-batch-size", "0"], "Expected an integer from 1 to 1024."],
  [["--poc-batch-size", "1025"], "'1025' is invalid. Expected an integer from 1 to 1024."],
  [["--poc-seq-len", "0"], "'0'"],
  [["--poc-seq-len", "4097"], "--poc-seq-len 4097 is more than the model's context of 4096"],
  [["--max-model-len", "0"], "Expected an integer from 1 to 2147483647."],
  [["--max-model-len", "4097"], "--max-model-len 4097 is more than the model's context of 4096"],
  [["--max-model-len", "255"], "--poc-seq-len 256 is more than --max-model-len 255"],
  [["--max-validate-nonces", "65537"], "Expected an integer from 1 to 65536."],
  [["--max-queued-validate-nonces", "1048577"], "Expected an integer from 1 to 1048576."],
  [
    ["--max-queued-validate-nonces", "4095"],
    "--max-queued-validate-nonces 4095 is less than --max-validate-nonces 4096",
  ],
  [["--threads", "0"], "Expected an integer from 1 to 1024."],
  [["--dtype", "float16"], "'float16' is invalid. Expected one of auto, bfloat16, float32."],
  [["--device", "gpu"], "Expected auto, cpu, cuda, cuda:N or cuda:all, or several as in"],
  [["--device", "cuda:"], "Expected auto, cpu, cuda, cuda:N or cuda:all, or several as in"],
  [["--device", ""], "argument '' is invalid. Expected auto, cpu, cuda, cuda:N or cuda:all"],
  [["--device", ","], "'' is no device. Expected auto, cpu, cuda, cuda:N or cuda:all"],
  [["--device", "cuda:0,1"], "'1' is no device. Expected auto, cpu, cuda, cuda:N or cuda:all"],
  [["--device", Array(65).fill("cpu").join()], "There are 65 devices. Expected 64 at most."],
  [
    ["--device", "cuda:0,cuda:0"],
    "cuda:0 is there twice. Expected each GPU once, e.g. cuda:0,cuda:1.",
  ],
  [["--device", "cuda:1,cuda,cuda:00"], "cuda and cuda:00 are one GPU. Expected each GPU once"],
  [["--device", "cuda:1,cpu"], "cuda:1 and cpu differ in their arithmetic: run a node for each."],
  [["--device", "cpu,cuda"], "cpu and cuda differ in their arithmetic: run a node for each."],
  [["--device", "cuda:0,cuda:all"], "cuda:all chooses by itself. Expected no device beside it."],
  [["--device", "auto,auto"], "auto chooses by itself. Expected no device beside it."],
  [["--device", "cpu,cpu,cpu", "--threads", "2"], "--threads 2 is too few for 3 runners"],
  [["--gpu-memory-utilization", "0"], "Expected more than 0 and at most 1, e.g. 0.9."],
  [["--gpu-memory-utilization", "1.5"], "Expected more than 0 and at most 1, e.g. 0.9."],
  [["--log-level", "loud"], "'loud'"],
  [["--host", " "], "Expected an address or a name without a port, e.g. 0.0.0.0 or ::1."],
  [["--host", "127.0.0.1:8000"], "Expected an address or a name without a port"],
  [["--host", "http://a"], "Expected an address or a name without a port"],
  [["--host", "[::1"], "Expected an address or a name without a port"],
  [["--host", "[::1]:80"], "Expected an address or a name without a port"],
  [["--upstream", "http://a:1/v1"], "Expected a server's address without a path"],
  [["--upstream", "http://user:pw@a:1"], "Expected a server's address without a path or cred"],
  [["--upstream", "http://:pw@a:1"], "Expected a server's address without a path or credentials"],
  [["--upstream", "http://a:1/#x"], "Expected a server's address without a path"],
  [["--upstream", "a:1"], "Expected a server's address without a path"],
  [["--callback-interval", "9ms"], "Expected a time from 10ms to 1h, e.g. 500ms"],
  [["--callback-max-age", "24"], "Expected a time from 1m to 720h, e.g. 500ms"],
  [["--data-dir", "~/node"], "Expected a folder's whole path: ~ was not expanded"],
  [["--callback-max-age", "24"], "'24' is invalid. Expected a time"],
  [["--callback-max-nonces", "0"], "Expected an integer from 1 to 100000."],
  [["--callback-allow", "http://a/b"], "Expected hosts like aggregator or 10.0.0.7:9000."],
  [["--allow-host", "https://node.example"], "Expected hosts like aggregator or 10.0.0.7:9000."],
  [["--allow-host", "*.example"], "Expected hosts like aggregator or 10.0.0.7:9000."],
  [["--allow-origin", "dashboard.example"], "Expected origins like https://dashboard.example."],
  [["--allow-origin", "https://a.example/path"], "Expected origins"],
  [["--nope"], "unknown option '--nope'"],
  [["a", "b"], "too many arguments"],
  [["--port"], "argument missing"],
  [["/no/such/model"], "model directory /no/such/model does not exist"],
])("%j is refused", (argv, message) => {
  expect(refusal(argv)).toContain(message);
});

test.each([
  [{ PROOFMILL_PORT: "http" }, "PROOFMILL_PORT value 'http' is invalid. Expected an integer"],
  [{ PROOFMILL_ENABLE_POC: "maybe" }, "PROOFMILL_ENABLE_POC value 'maybe' is invalid."],
  [{ PROOFMILL_MODEL: "/no/such/model" }, "model directory /no/such/model does not exist"],
])("%j is refused", (environment, message) => {
  expect(refusal([], environment as Environment)).toContain(message);
});

test("an IPv6 address may stand in brackets", () => {
  expect(read(["--host", "[::1]"]).host).toBe("::1");
  expect(read([], { PROOFMILL_HOST: "[fe80::1%eth0]" }).host).toBe("fe80::1%eth0");
});

test("what Kubernetes sets for a Service of that name is ignored, with one line", () => {
  for (const PROOFMILL_PORT of ["tcp://10.0.0.7:8000", "udp://[fd00::7]:8000"]) {
    const command = addServeOptions(new Command("serve"));
    const said: string[] = [];
    command.configureOutput({ writeErr: (text) => said.push(text) });
    command.parse([], { from: "user" });
    expect(readConfig(command, { PROOFMILL_PORT }).port).toBe(8000);
    const fault = `PROOFMILL_PORT is '${PROOFMILL_PORT}', which Kubernetes sets for a Service of that name`;
    expect(said).toEqual([`proofmill: ${fault}: it is ignored\n`]);
  }
  expect(refusal([], { PROOFMILL_THREADS: "tcp://10.0.0.7:8000" })).toContain("is invalid");
});

test("lists are split at commas", () => {
  const config = read(["--callback-allow", "aggregator, 10.0.0.7:9000,[::1]:80"], {
    PROOFMILL_ALLOW_ORIGIN: "https://a.example,http://b.example:8080",
    PROOFMILL_ALLOW_HOST: "Node.Example,b.example:8443",
  });
  expect(config.callbackAllow).toEqual(["aggregator", "10.0.0.7:9000", "[::1]"]);
  expect(config.allowOrigin).toEqual(["https://a.example", "http://b.example:8080"]);
  expect(config.allowHost).toEqual(["node.example", "b.example:8443"]);
});

test("a switch can be off in the environment", () => {
  for (const value of ["0", "false", "no", "OFF"]) {
    expect(read([], { PROOFMILL_ENABLE_POC: value }).enablePoc).toBe(false);
  }
});

describe("a model directory", () => {
  test("gives the model its name; an argument wins over the variable", () => {
    const directory = modelDirectory('{"max_position_embeddings": 512}');
    const config = read([`${directory}/`], { PROOFMILL_MODEL: "/no/such/model" });
    expect(config.model).toBe(directory);
    expect(config.modelConfig).toEqual({ max_position_embeddings: 512 });
    expect(config.servedModelName).toBe(directory.split("/").at(-1));
    expect(read([], { PROOFMILL_MODEL: directory }).model).toBe(directory);
  });

  test("bounds the sequence length, the default one too", () => {
    const directory = modelDirectory('{"max_position_embeddings": 128}');
    expect(refusal([directory])).toContain("256 is more than the model's context of 128");
    expect(refusal([directory, "--poc-seq-len", "129"])).toContain("129");
    expect(read([directory, "--poc-seq-len", "128"]).pocSeqLen).toBe(128);
  });

  test("bounds it by the window of a model whose layers slide", () => {
    const keys = { architectures: ["MistralForCausalLM"], max_position_embeddings: 512 };
    const directory = modelDirectory(JSON.stringify({ ...keys, sliding_window: 128 }));
    expect(refusal([directory])).toContain("256 is more than the model's context of 128");
  });

  test("must hold files: pipes and devices are not waited for", () => {
    const directory = modelDirectory(null);
    execFileSync("mkfifo", [join(directory, "config.json")]);
    expect(refusal([directory])).toContain("config.json: is a pipe, expected a regular file");
    rmSync(join(directory, "config.json"));
    symlinkSync("/dev/zero", join(directory, "config.json"));
    expect(refusal([directory])).toContain("config.json: is a device, expected a regular file");
  });

  test("may begin its config.json with a byte-order mark", () => {
    const directory = modelDirectory('\ufeff{"max_position_embeddings": 128}');
    expect(refusal([directory])).toContain("256 is more than the model's context of 128");
  });

  test("whose config.json does not state the context is left to the loader", () => {
    for (const config of ["{}", "null", '{"max_position_embeddings": "many"}']) {
      expect(read([modelDirectory(config)]).model).not.toBeNull();
    }
  });

  test("must hold a config.json that is JSON", () => {
    expect(refusal([modelDirectory(null)])).toContain("has no config.json");
    expect(refusal([modelDirectory("{")])).toContain("is not JSON");
    expect(refusal([join(modelDirectory("{}"), "config.json")])).toContain("not a model directory");
    const directory = modelDirectory(null);
    mkdirSync(join(directory, "config.json"));
    expect(refusal([directory])).toContain("config.json: is a directory, expected a regular file");
  });
});
