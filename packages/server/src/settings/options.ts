/** The options of `proofmill serve`. */
import { availableParallelism } from "node:os";
import { MAX_BATCH_SIZE } from "@proofmill/core";
import { DEFAULT_SESSIONS, STEP_ROWS } from "@proofmill/native/model/memory";
import { type Command, Option } from "commander";
import { DTYPES, LOG_FORMATS, LOG_LEVELS, PROTOCOLS } from "./config.ts";
import { variableOf } from "./environment.ts";
import { dataDirOption, gpuMemoryOption } from "./shared-options.ts";
import {
  choice,
  devices,
  duration,
  file,
  hosts,
  integer,
  listenHost,
  networks,
  origins,
  pathPrefix,
  secrets,
  size,
  text,
  upstream,
  versions,
} from "./values.ts";

/** A longer list of numbers is not searched for repeats, so no proof may be longer. */
const MAX_VALIDATE_NONCES = 65_536;
const MAX_QUEUED_VALIDATE_NONCES = 1_048_576;
export const MAX_THREADS = 1024;
const MAX_RESTARTS = 1_000_000;
const MAX_REQUESTS = 1_000_000;
const MAX_CONNECTIONS = 65_536;
/** As sysexits.h calls it: a service is unavailable. */
export const UNHEALTHY_EXIT_CODE = 69;
const HOUR_MS = 3_600_000;
const MAX_SEQ_LEN = 2 ** 31 - 1;

/** The model directory's variable; an option's is its long name in the same manner. */
export const MODEL_VARIABLE = "PROOFMILL_MODEL";

/** Gives a command the arguments and options of `serve`. */
export function addServeOptions(command: Command): Command {
  command.argument(
    "[model]",
    "model directory in Hugging Face layout, or a model's name on the hub such as " +
      "Qwen/Qwen3-0.6B, which is downloaded unless it is in the Hugging Face cache (env: " +
      `${MODEL_VARIABLE}); without one a small demo model with random weights is made and used`,
  );
  for (const option of serveOptions()) {
    // Commander reads variables itself, but takes PROOFMILL_ENABLE_POC=false for true.
    option.description += ` (env: ${variableOf(option)})`;
    command.addOption(option);
  }
  return command;
}

/** By the headings of the help. */
function serveOptions(): Option[] {
  const groups = {
    "Proof of Compute": proofOptions(),
    Address: addressOptions(),
    Access: accessOptions(),
    Model: modelOptions(),
    Device: hardwareOptions(),
    Inference: inferenceOptions(),
    Callbacks: callbackOptions(),
    Process: processOptions(),
  };
  return Object.entries(groups).flatMap(([heading, options]) =>
    options.map((option) => option.helpGroup(`${heading}:`)),
  );
}

/** What rounds are, and what may be asked of them. */
function proofOptions(): Option[] {
  return [
    new Option("--enable-poc", "switch the Proof-of-Compute endpoints on").default(false),
    new Option(
      "--protocol <version>",
      "whose rounds are taken over HTTP: v1 (distances), v2 (artifacts, with the paths of the network's " +
        "broker), both",
    )
      .argParser(choice(PROTOCOLS))
      .default("both"),
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
      "--resume-round",
      "go on with a round that was GENERATING when the node ended, unless a command ended its search",
    ).default(false),
    new Option(
      "--node-version <version,…>",
      "answer the broker under these versions alone, e.g. v3.0.13, and call the node the first of them " +
        "(default: under any, and proofmill's own)",
    ).argParser(versions),
    new Option(
      "--base-path <path>",
      "what stands before the broker's paths, behind the version, e.g. /node-1",
    )
      .argParser(pathPrefix)
      .default("", "none"),
    new Option(
      "--poc-honour-p-value-threshold",
      "judge jobs by stat_test.p_value_threshold where they have no fraud_threshold; the network's own " +
        "nodes do not",
    ).default(false),
  ];
}

/** Where the node is found, and by which names. */
function addressOptions(): Option[] {
  return [
    new Option("--host <address>", "address or name to listen on, without a port")
      .argParser(listenHost)
      .default("127.0.0.1"),
    new Option("--port <n>", "port to listen on, 0 (any free one) to 65535")
      .argParser(integer(0, 65_535))
      .default(8000),
    new Option(
      "--allow-host <host,…>",
      "answer requests for these hosts too, name or name:port, e.g. node.example; IP addresses, " +
        "names without a dot and those under .local, .internal and .localhost are always answered",
    )
      .argParser(hosts)
      .default([], "none"),
    new Option(
      "--allow-origin <origin,…>",
      "let pages of these origins use the node from a browser, e.g. https://dashboard.example",
    )
      .argParser(origins)
      .default([], "none"),
    new Option(
      "--trusted-proxy <address,…>",
      "believe the X-Forwarded-For of these addresses or networks, e.g. 10.0.0.0/8; like loopback " +
        "addresses they are free of what holds for each address",
    )
      .argParser(networks)
      .default([], "none"),
  ];
}

/** Who may use the node, and how much of it. */
function accessOptions(): Option[] {
  return [
    new Option(
      "--api-key <key,…>",
      "answer only those who show such a key as a bearer token, which may then do everything; may be " +
        "given several times; the variable keeps it out of the list of processes",
    ).argParser(secrets),
    new Option(
      "--api-key-file <file>",
      "likewise, for the keys of this file, with their scopes; it is read again when it changes and on " +
        "SIGHUP; `proofmill key new` makes its lines",
    ).argParser(file),
    new Option(
      "--tls-cert <file>",
      "speak TLS (https) with this certificate and those between it and its authority, PEM; it, the " +
        "key and the client CA are read again when they change and on SIGHUP",
    ).argParser(file),
    new Option("--tls-key <file>", "the certificate's key, PEM").argParser(file),
    new Option(
      "--tls-client-ca <file>",
      "let in only clients with a certificate that one of these has signed, PEM",
    ).argParser(file),
    new Option(
      "--max-requests-per-second <n>",
      "requests, and calls in batches and over WebSockets, of one key, or without one of one address; " +
        `1 to ${MAX_REQUESTS} (default: as many as come)`,
    ).argParser(integer(1, MAX_REQUESTS)),
    new Option(
      "--max-connections-per-address <n>",
      `connections of one address or IPv6 /64 network, 1 to ${MAX_CONNECTIONS}`,
    )
      .argParser(integer(1, MAX_CONNECTIONS))
      .default(2048),
  ];
}

/** What is loaded. */
function modelOptions(): Option[] {
  return [
    new Option(
      "--revision <name>",
      "branch, tag or commit of a model that is given by name (default: main)",
    ).argParser(text),
    new Option(
      "--dtype <type>",
      `precision of matrix inputs, ${DTYPES.join(", ")}; auto: bfloat16 for bfloat16 models, ` +
        "else float32",
    )
      .argParser(choice(DTYPES))
      .default("auto"),
    new Option(
      "--max-model-len <n>",
      "most tokens that a sequence may have, 1 to the model's context (default: as many as the " +
        "model and the memory allow)",
    ).argParser(integer(1, MAX_SEQ_LEN)),
    new Option(
      "--served-model-name <name>",
      "the model's name in /v1 (default: as on the hub, or its directory's name)",
    ).argParser(text),
  ];
}

/** Where it is computed, and what the processes that compute may take. */
function hardwareOptions(): Option[] {
  return [
    new Option(
      "--device <device,…>",
      "where to compute: cpu, cuda (the first GPU) or cuda:N, counted from 0; auto: a GPU where there is one, else the CPU; " +
        "several, each with the whole model: cuda:0,cuda:1, or cuda:all, or cpu,cpu, which divide the " +
        "threads",
    )
      .argParser(devices)
      .default(["auto"], "auto"),
    gpuMemoryOption(),
    new Option(
      "--threads <n>",
      `threads that compute, all together, 1 to ${MAX_THREADS} (default: one per core, ` +
        `${availableParallelism()} here)`,
    ).argParser(integer(1, MAX_THREADS)),
    new Option(
      "--runner-max-restarts <n>",
      "how often a runner that dies is started again without a finished pass between, 0 (never) to " +
        MAX_RESTARTS,
    )
      .argParser(integer(0, MAX_RESTARTS))
      .default(10),
    new Option(
      "--runner-max-memory <size>",
      "memory that a runner may hold, e.g. 8GiB; one that grows beyond it is started again between " +
        "two jobs, and a model that needs more is refused (default: as much as there is)",
    ).argParser(size),
  ];
}

/** What answers chats and completions. */
function inferenceOptions(): Option[] {
  return [
    new Option(
      "--no-inference",
      "keep the memory that chats and completions take: /v1 answers none, unless --upstream does",
    ),
    new Option(
      "--kv-cache-memory <size>",
      "memory for keys and values of running chats and completions, e.g. 4GiB; of each runner (default: " +
        "what they can use, up to a quarter of what is left beside the weights)",
    ).argParser(size),
    new Option(
      "--max-num-seqs <n>",
      `answers that a runner computes at once, 1 to ${STEP_ROWS}; more of them wait`,
    )
      .argParser(integer(1, STEP_ROWS))
      .default(DEFAULT_SESSIONS),
    new Option(
      "--poc-drain-seconds <n>",
      "seconds that running inference has to end when a round begins, 0 to 3600",
    )
      .argParser(integer(0, 3600))
      .default(5),
    new Option(
      "--ungate-models",
      "answer GET /v1/models during a round too, for managers that poll it",
    ).default(false),
    new Option(
      "--allow-inference-while-validating",
      "answer /v1 requests during VALIDATING too",
    ).default(false),
    new Option(
      "--upstream <address>",
      "forward /v1, /tokenize and /detokenize to this server, e.g. http://127.0.0.1:8001",
    ).argParser(upstream),
    new Option(
      "--upstream-api-key <key>",
      "the key that the upstream wants; the variable keeps it out of the list of processes",
    ).argParser(text),
  ];
}

/** How finds and verdicts are delivered. */
function callbackOptions(): Option[] {
  return [
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
      "--callback-token <token>",
      "sent with callbacks as a bearer token, to the hosts of --callback-allow; the variable keeps it " +
        "out of the list of processes",
    ).argParser(text),
    new Option(
      "--callback-tls-cert <file>",
      "certificate that the node shows to receivers of callbacks, PEM; it, its key and the CA are read " +
        "again when they change and on SIGHUP",
    ).argParser(file),
    new Option("--callback-tls-key <file>", "its key, PEM").argParser(file),
    new Option(
      "--callback-tls-ca <file>",
      "trust receivers whose certificate one of these has signed, PEM (default: Node's authorities)",
    ).argParser(file),
  ];
}

/** What is kept, logged and said at the end. */
function processOptions(): Option[] {
  return [
    dataDirOption(),
    new Option("--log-level <level>", `least level to log, ${LOG_LEVELS.join(", ")}`)
      .argParser(choice(LOG_LEVELS))
      .default("info"),
    new Option(
      "--log-format <format>",
      "how lines of the log look: json, pretty (for people); auto: pretty on a terminal, else json",
    )
      .argParser(choice(LOG_FORMATS))
      .default("auto"),
    new Option(
      "--shutdown-timeout <time>",
      "how long callbacks that are due have to go out when the node ends, 0s to 10m; the rest of the " +
        "end takes up to 2s more",
    )
      .argParser(duration("0s", "10m"))
      .default(3000, "3s"),
    new Option(
      "--exit-when-unhealthy",
      `end with exit code ${UNHEALTHY_EXIT_CODE} when the runner is lost for good, so that a ` +
        "supervisor starts the node anew",
    ).default(false),
  ];
}
