// How fast does a node answer, over HTTP, from a process of its own? Tokens per second, how long the first
// takes and each next one, with 1, 4, 8 and 32 clients, and how much of its time the node's event loop
// works meanwhile; and what that is of what memory, one client and the search allow, in the same run.
//
//   node test/bench/serve.mjs [shape | model directory] [seconds per stretch] [tokens of an answer]
//     [tokens of a prompt] [clients of each stretch, the first alone: 1,4,8,32]
import { fork } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { loadShape } from "@proofmill/native/bench";
import { weightBytes } from "@proofmill/native/bench-decode";
import { parseConfig } from "@proofmill/native/model/config";
import { writeChatModel } from "./chat-model.mjs";
import { machine, quantile, searchRate, startBenchNode } from "./support.mjs";

const [model = "qwen3-0.6b", ...given] = process.argv.slice(2);
const [seconds = 8, tokens = 64, prompt_len = 128] = given.slice(0, 3).map(Number);
const CLIENTS = (given[3] ?? "1,4,8,32").split(",").map(Number);
if (CLIENTS[0] !== 1) throw new Error(`clients are ${given[3]}, expected the first to be 1`);

const own = existsSync(model) ? null : mkdtempSync(join(tmpdir(), "proofmill-bench-"));
const directory = own ?? model;
process.once("exit", () => own && rmSync(own, { recursive: true, force: true }));
if (own) await writeChatModel(own, model);
const config = parseConfig(JSON.parse(readFileSync(join(directory, "config.json"), "utf8")), model);
const { vocab_size } = config;

/** Clients in a process of their own. */
function startClients(url) {
  const child = fork(new URL("serve-client.mjs", import.meta.url), [url], { execArgv: [] });
  const failed = once(child, "exit").then(([code]) => {
    throw new Error(`the clients ended with ${code}`);
  });
  failed.catch(() => {}); // their end is expected once they have reported
  const heard = async () => (await Promise.race([once(child, "message"), failed]))[0];
  return {
    /**
     * What so many clients heard, and the share of the time that this process' event loop worked.
     *
     * @param {number} clients
     * @param {[number, number]} [lengths] of answers, the least and the greatest
     */
    async stretch(clients, lengths = [Math.ceil(tokens / 2), Math.ceil(1.5 * tokens)]) {
      child.send({ clients, lengths, seconds, prompt_len, vocab_size });
      await heard(); // they have begun
      const before = performance.eventLoopUtilization();
      await heard(); // they have ended
      const { utilization } = performance.eventLoopUtilization(before);
      const { figures } = await heard();
      return { clients, event_loop: utilization, ...figures };
    },
    close: () => child.disconnect(),
  };
}

const mean = (values) => values.reduce((sum, each) => sum + each, 0) / values.length;
const rateOf = ({ tokens, seconds }) => tokens / seconds;
const round = (number, digits = 4) => Number(number.toPrecision(digits));

function row({ clients, answers, first_ms, gaps_ms, event_loop, ...rest }) {
  const times = (list) => ({ p50: round(quantile(list, 0.5)), p99: round(quantile(list, 0.99)) });
  return {
    clients,
    tokens_per_second: round(rateOf(rest)),
    first_token_ms: first_ms.length > 0 ? times(first_ms) : null,
    between_tokens_ms: times(gaps_ms),
    answers,
    event_loop_percent: round(100 * event_loop, 3),
  };
}

const node = await startBenchNode([directory, "--kv-cache-memory", "2GiB"]);
const clients = startClients(node.url);
const search = async () =>
  prompt_len *
  (await searchRate({
    url: node.url,
    round: { r_target: 1, seq_len: prompt_len },
    seconds: seconds / 4,
  }));
const rows = [];
// A model of any size says how fast the device's memory is read.
const { model: small } = await loadShape({ shape: "qwen3-tiny", dtype: "bfloat16" });
const bandwidths = [small.readBandwidth()];
for (const count of CLIENTS) {
  rows.push(await clients.stretch(count));
  if (count === 1) bandwidths.push(small.readBandwidth());
}
const searches = [await search()];
// Answers of one token: all that is computed is prompts.
const prompts = prompt_len * rateOf(await clients.stretch(8, [1, 1]));
searches.push(await search());
clients.close();
await node.close();
await small.close();
const [one] = rows;
const bandwidth = mean(bandwidths);
/** A lone client's, from token to token; several may come in one piece. */
const decode = 1000 / mean(one.gaps_ms);
console.log(
  JSON.stringify(
    {
      bench: "serve",
      machine: machine(),
      ...{ model, prompt_len, tokens },
      rows: rows.map((each) => ({ ...row(each), times_one: round(rateOf(each) / rateOf(one)) })),
      bandwidth_gb_per_second: round(bandwidth / 1e9),
      decode_percent_of_memory: round((100 * decode * weightBytes(config, "bfloat16")) / bandwidth),
      prompt_tokens_per_second: round(prompts),
      prompts_percent_of_search: round((100 * prompts) / mean(searches)),
    },
    null,
    2,
  ),
);
