/** How fast token sessions are on this machine, beside what its memory and the search allow. */
import { PLAIN_SAMPLING, type Sampling } from "@proofmill/core";
import { loadShape, median, type RandomShapeOptions } from "./bench.ts";
import type { NativeModel } from "./binding.ts";
import { modelNeeds, PAGE_TOKENS } from "./model/memory.ts";
import type { ModelConfig } from "./model/model-config.ts";
import { shapeConfig } from "./model/shapes.ts";
import { NativeSessions } from "./sessions.ts";

export interface DecodeBenchOptions extends RandomShapeOptions {
  /** Tokens of a prompt, ≥ 1. */
  promptLen: number;
  /** Tokens of an answer, ≥ 2. */
  tokens: number;
  /** Sessions that run at once, beside one alone; 1 … 64. */
  clients: number;
  /** Measured runs, of which the median counts; ≥ 1. */
  repeats: number;
}

export interface DecodeBench {
  shape: string;
  arithmetic: string;
  device: string;
  /** Weights that a step reads, bytes. */
  weight_bytes: number;
  /** As the device's memory was read, in this run; bytes per second. */
  bandwidth: number;
  /** Tokens per second of one session, from its second token on. */
  one: number;
  /** The same in shares of `bandwidth / weight_bytes`, percent: the median of the runs. */
  percent_of_memory: number;
  clients: number;
  /** Tokens per second of all sessions together. */
  all: number;
  /** The median of the runs, each beside its own `one`. */
  times_one: number;
  /** Tokens of prompts per second, and of a search's sequences of the same length. */
  prefill: number;
  search: number;
  percent_of_search: number;
}

/** Measures decoding and prompts of one shape; what is compared takes turns, since machines drift. */
export async function benchDecode(options: DecodeBenchOptions): Promise<DecodeBench> {
  const { shape, promptLen, tokens, clients, repeats } = options;
  const max_len = promptLen + tokens;
  const context = shapeConfig(shape).max_position_embeddings;
  if (max_len > context) {
    throw new Error(
      `a prompt of ${promptLen} tokens and ${tokens} more are ${max_len}, the context of ${shape} is ${context}`,
    );
  }
  const { model, config } = await loadShape({ ...options, embedsTokens: true });
  try {
    const pages = clients * Math.ceil(max_len / PAGE_TOKENS) + 8;
    const limits = { max_sessions: clients, max_len };
    model.openSessions({ ...limits, pages, step_rows: model.stepRows });
    const kv_cache_tokens = pages * PAGE_TOKENS;
    const sessions = new NativeSessions(model, config, { ...limits, kv_cache_tokens });
    const bench = new SessionBench(sessions, {
      vocab: config.vocab_size,
      stepRows: model.stepRows,
    });
    const weight_bytes = weightBytes(config, options.dtype);
    const runs: Record<"bandwidth" | "one" | "memory" | "all" | "times", number[]> = {
      ...{ bandwidth: [], one: [], memory: [], all: [], times: [] },
    };
    const prompts: Record<"prefill" | "search" | "share", number[]> = {
      ...{ prefill: [], search: [], share: [] },
    };
    await bench.decode({ clients, promptLen, tokens });
    await searchRate(model, promptLen);
    for (let i = 0; i < repeats; i++) {
      const before = model.readBandwidth();
      const one = await bench.decode({ clients: 1, promptLen, tokens });
      const bandwidth = (before + model.readBandwidth()) / 2;
      const all = await bench.decode({ clients, promptLen, tokens });
      runs.bandwidth.push(bandwidth);
      runs.one.push(one);
      runs.memory.push((100 * one * weight_bytes) / bandwidth);
      runs.all.push(all);
      runs.times.push(all / one);
      const first = await searchRate(model, promptLen);
      const prefill = await bench.prefill({ prompts: clients, promptLen });
      const search = (first + (await searchRate(model, promptLen))) / 2;
      prompts.prefill.push(prefill);
      prompts.search.push(search);
      prompts.share.push((100 * prefill) / search);
    }
    return {
      shape,
      arithmetic: model.arithmetic,
      device: model.device,
      weight_bytes,
      bandwidth: median(runs.bandwidth),
      one: median(runs.one),
      percent_of_memory: median(runs.memory),
      clients,
      all: median(runs.all),
      times_one: median(runs.times),
      prefill: median(prompts.prefill),
      search: median(prompts.search),
      percent_of_search: median(prompts.share),
    };
  } finally {
    await model.close();
  }
}

/** Bytes of the weights that a step reads: all but the table of embeddings, where that is not the head. */
export function weightBytes(config: ModelConfig, dtype: RandomShapeOptions["dtype"]): number {
  const { elements, floats } = modelNeeds({ ...config, embeds_tokens: false }).weights;
  return elements * (dtype === "bfloat16" ? 2 : 4) + floats * 4;
}

const GREEDY: Sampling = { ...PLAIN_SAMPLING, temperature: 0 };

class SessionBench {
  readonly #sessions: NativeSessions;
  readonly #vocab: number;
  readonly #stepRows: number;
  #next = 0;

  constructor(sessions: NativeSessions, of: { vocab: number; stepRows: number }) {
    this.#sessions = sessions;
    this.#vocab = of.vocab;
    this.#stepRows = of.stepRows;
  }

  /** Tokens per second from when every session has its first to when every one has its last. */
  async decode(of: { clients: number; promptLen: number; tokens: number }): Promise<number> {
    let begun = 0;
    let started = 0;
    await Promise.all(
      Array.from({ length: of.clients }, () => {
        let isFirst = true;
        return this.#open(of.promptLen, of.tokens, () => {
          if (!isFirst) return;
          isFirst = false;
          begun++;
          if (begun === of.clients) started = performance.now();
        });
      }),
    );
    const seconds = (performance.now() - started) / 1000;
    // Those that began earlier had tokens before the clock ran: steps are what is counted.
    return (of.clients * (of.tokens - this.#ahead(of))) / seconds;
  }

  /** Tokens of prompts per second. */
  async prefill(of: { prompts: number; promptLen: number }): Promise<number> {
    const started = performance.now();
    await Promise.all(
      Array.from({ length: of.prompts }, () => this.#open(of.promptLen, 1, () => {})),
    );
    return (1000 * of.prompts * of.promptLen) / (performance.now() - started);
  }

  /** Steps before the last session has its first token, in which the first one decodes already. */
  #ahead({ clients, promptLen }: { clients: number; promptLen: number }): number {
    return Math.max(1, Math.ceil((clients * promptLen) / this.#stepRows));
  }

  async #open(promptLen: number, tokens: number, onToken: () => void): Promise<void> {
    const id = this.#next++;
    // Prompts differ from their first token on, so that none shares another's pages.
    const prompt = Uint32Array.from({ length: promptLen }, (_, i) => (id * 977 + i) % this.#vocab);
    const none = new Uint32Array();
    await this.#sessions.open(
      {
        ...{ id, caller: 0, prompt, max_tokens: tokens, stop_tokens: none, enforced_tokens: none },
        sampling: GREEDY,
      },
      onToken,
    );
  }
}

/** Tokens per second of a search's sequences, as many as the device takes together. */
async function searchRate(model: NativeModel, seqLen: number): Promise<number> {
  const batch = Math.max(1, Math.floor(model.preferredTokens / seqLen));
  const input_seeds = Uint32Array.from({ length: batch }, (_, i) => i);
  const started = performance.now();
  await model.run({ id: 0, seq_len: seqLen, input_seeds, output: { kind: "hidden" } });
  return (1000 * batch * seqLen) / (performance.now() - started);
}
