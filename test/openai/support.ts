/** Nodes that chat, for tests of what OpenAI's clients see of them. */
import { cpSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { parseConfig, type RunningNode, startNode } from "@proofmill/server";
import OpenAI from "openai";
import { vi } from "vitest";
import {
  byteLevelTokenizer,
  TOKENIZER_CONFIG,
} from "../../packages/server/src/models/demo-tokenizer.ts";
import { goldenModel } from "../conformance/golden.ts";
import { environment, temporaryFolder } from "../helpers.ts";

export const DEMO = "proofmill-demo";
/** The last token of the demo tokenizer's answers. */
export const END = 258;

/** Names the tools that it is told of, and heeds `enable_thinking`. */
const TEMPLATE =
  "{%- if tools %}{{- 'tools: ' + (tools | tojson) + '\\n' }}{%- endif %}" +
  "{%- for message in messages %}" +
  "{{- '<|im_start|>' + message.role + '\\n' + (message.content or '') + '<|im_end|>\\n' }}" +
  "{%- endfor %}" +
  "{%- if add_generation_prompt %}{{- '<|im_start|>assistant\\n' }}{%- endif %}" +
  "{%- if enable_thinking is defined and not enable_thinking %}{{- '<think></think>' }}{%- endif %}";

/** A golden model's folder with the demo's tokenizer, which has a token for each byte. */
export function goldenWithWords(name: string): string {
  const folder = join(temporaryFolder(), name);
  cpSync(goldenModel(name), folder, { recursive: true });
  const files = {
    "tokenizer.json": byteLevelTokenizer(),
    "tokenizer_config.json": { ...TOKENIZER_CONFIG, chat_template: TEMPLATE },
    "generation_config.json": { do_sample: true, temperature: 1, eos_token_id: [END] },
  };
  for (const [file, content] of Object.entries(files)) {
    writeFileSync(join(folder, file), JSON.stringify(content));
  }
  return folder;
}

const QUIET = ["--port", "0", "--log-level", "silent", "--poc-drain-seconds", "0"];

/** A node with Proof-of-Compute and its model, which it has loaded. */
export async function startChats(args: readonly string[] = []): Promise<RunningNode> {
  // Where the demo model is made.
  process.env.XDG_CACHE_HOME = environment().XDG_CACHE_HOME;
  const threads = args.includes("--threads") ? [] : ["--threads", "1"];
  const config = parseConfig([...args, "--enable-poc", ...QUIET, ...threads]);
  const node = await startNode({ ...config, dataDir: null });
  await node.loaded;
  return node;
}

/** The official client of that node, which tries nothing twice. */
export function clientOf({ url }: { url: string }, apiKey = "none"): OpenAI {
  return new OpenAI({ baseURL: `${url}/v1`, apiKey, maxRetries: 0 });
}

/** POST of JSON, or of a text as it is. */
export function post(url: string, body: unknown, init: RequestInit = {}): Promise<Response> {
  const headers = { "content-type": "application/json", ...init.headers };
  const sent = typeof body === "string" ? body : JSON.stringify(body);
  return fetch(url, { method: "POST", ...init, headers, body: sent });
}

export const CANCELLED = 'proofmill_inference_requests_total{outcome="cancelled"}';
export const RUNNING = 'proofmill_sessions{state="running"}';
export const PAGES = 'proofmill_kv_pages{state="in_use"}';

/** Figures of `/metrics` by their names. */
export async function figures(url: string, key = "none"): Promise<Record<string, number>> {
  const headers = { authorization: `Bearer ${key}` };
  const text = await (await fetch(`${url}/metrics`, { headers })).text();
  const lines = text.split("\n").filter((line) => line.startsWith("proofmill_"));
  const named = lines.map((line): [string, number] => {
    const at = line.lastIndexOf(" ");
    return [line.slice(0, at), Number(line.slice(at + 1))];
  });
  return Object.fromEntries(named);
}

/** Asks for the figures until they are so; runners tell theirs once a second. */
export async function untilFigures(
  url: string,
  check: (now: Record<string, number>) => void,
  key?: string,
): Promise<void> {
  await vi.waitFor(async () => check(await figures(url, key)), { timeout: 10_000, interval: 50 });
}
