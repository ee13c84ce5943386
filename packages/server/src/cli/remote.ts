/** What the commands that speak to a running node share. */
import {
  createPocClient,
  InvalidRequestError,
  type PocClient,
  PocClientError,
  type PocClientErrorCode,
} from "@proofmill/client";
import { type Command, InvalidArgumentError, Option } from "commander";
import { Exit } from "./exit.ts";

/** Where nothing listens. */
const START_HINT = "proofmill serve starts a node, --url names another";
const KEY_HINT = "--api-key or PROOFMILL_API_KEY names it";
const STATUS_HINT = "proofmill status says why";
/** What to do about refusals in few words. */
const HINTS: Partial<Record<PocClientErrorCode, string>> = {
  STORE_FAILED: STATUS_HINT,
  RUNNER_LOST: STATUS_HINT,
  ROUND_IN_PROGRESS: "proofmill stop ends it",
};

export interface RemoteOptions {
  url: string;
  apiKey?: string;
  json: boolean;
}

/** Gives a command `--url`, `--api-key` and `--json`. */
export function addRemoteOptions(command: Command): Command {
  return addressOptions(command).option("--json", "print one JSON object and nothing else", false);
}

/** Gives a command `--url` and `--api-key`. */
export function addressOptions(command: Command): Command {
  return command
    .addOption(
      new Option("--url <address>", "the node's base address")
        .env("PROOFMILL_URL")
        .argParser(address)
        .default("http://127.0.0.1:8000"),
    )
    .addOption(new Option("--api-key <key>", "sent as a bearer token").env("PROOFMILL_API_KEY"));
}

/** @throws Exit for a key that is none; what commander would say of it quotes it */
export function clientOf({ url, apiKey }: RemoteOptions): PocClient {
  try {
    return createPocClient({ url, ...(apiKey ? { apiKey } : {}) });
  } catch (error) {
    throw new Exit(2, (error as TypeError).message.replace("apiKey", "--api-key"));
  }
}

/** Runs a command's work; a refusal ends it with one line and the exit code 1. */
export async function orExit(work: () => Promise<void>): Promise<void> {
  try {
    await work();
  } catch (error) {
    if (!(error instanceof PocClientError)) throw error;
    const isInvalid = error instanceof InvalidRequestError && error.issues.length > 0;
    const faults = isInvalid
      ? error.issues.map(({ loc, msg }) => `${loc.slice(1).join(".") || "body"}: ${msg}`)
      : [error.message, hintOf(error)];
    throw new Exit(1, faults.filter((each) => each !== null).join(isInvalid ? "; " : ": "));
  }
}

function hintOf(error: PocClientError): string | null {
  if (isRefused(error.cause)) return START_HINT;
  if (error.status === 401) return KEY_HINT;
  return HINTS[error.code] ?? error.hint;
}

/** Nobody listens there. */
function isRefused(error: unknown): boolean {
  const { cause } = Object(error) as { cause?: { code?: string } };
  return cause?.code === "ECONNREFUSED";
}

/** What to say when a request of our own has had no answer. */
export function noAnswer(error: Error, url: string): Exit {
  const { message, code } = (error.cause ?? error) as NodeJS.ErrnoException;
  // As the SDK says it: OpenSSL's own words are a line of its source.
  const isPlain = code === "ERR_SSL_WRONG_VERSION_NUMBER";
  const reason = isPlain ? "it does not speak TLS, as https:// wants" : message || code;
  const hint = isRefused(error) ? `: ${START_HINT}` : "";
  return new Exit(1, `no answer from ${url}: ${reason}${hint}`);
}

function address(value: string): string {
  const { username, password } = URL.canParse(value) ? new URL(value) : {};
  if (/^https?:\/\//i.test(value) && username === "" && password === "") return value;
  throw new InvalidArgumentError(
    "Expected an address like http://127.0.0.1:8000; credentials go into --api-key.",
  );
}
