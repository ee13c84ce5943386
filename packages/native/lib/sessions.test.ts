/**
 * Token sessions: an answer is the same bits whatever runs beside it, and what a full recompute gives;
 * and it is the model's.
 */
import {
  PLAIN_SAMPLING,
  type Sampling,
  type SessionEnd,
  type SessionToken,
  type TokenSession,
} from "@proofmill/core";
import { describe, expect, onTestFinished, test } from "vitest";
import { Float64Model } from "./float64-model.ts";
import { type LoadModelOptions, loadModel } from "./index.ts";
import type { NativeRunner } from "./runner.ts";
import { goldenDirectory } from "./selftest/golden.ts";

/** Ids that each of the golden models has. */
const VOCAB = 300;
const LONGEST_PROMPT = 300;
const MOST_TOKENS = 20;
/** Pages of a cache in which one of the longest sessions fits, and hardly two. */
const FEW_PAGES = 7;

const LOADS = [
  { model: "qwen3-tiny-strong", dtype: "bfloat16" },
  { model: "llama-tiny-strong", dtype: "float32" },
  { model: "qwen2-tiny-strong", dtype: "bfloat16" },
] as const;

const GOLDEN_MODELS = ["qwen3-tiny", "llama-tiny", "qwen2-tiny"].flatMap((name) => [
  name,
  `${name}-strong`,
]);

type Load = Omit<LoadModelOptions, "directory"> & { model?: string };

async function load({ model = "qwen3-tiny-strong", ...rest }: Load = {}): Promise<NativeRunner> {
  const directory = goldenDirectory(model);
  const runner = await loadModel({ directory, device: "cpu", threads: 2, sessions: {}, ...rest });
  onTestFinished(() => runner.close());
  return runner;
}

/** Loaded with room for so many pages. */
async function loadWithPages(pages: number, { sessions, ...options }: Load): Promise<NativeRunner> {
  // How many fit into much more says how large one is, by less than a part in a hundred.
  const plenty = await load({ ...options, sessions: { kvCacheMemory: 2 ** 24 } });
  const pageBytes = (2 ** 24 * 64) / (plenty.sessionLimits?.kv_cache_tokens ?? 0);
  const kvCacheMemory = Math.floor(pages * pageBytes);
  const runner = await load({ ...options, sessions: { ...sessions, kvCacheMemory } });
  expect(runner.sessionLimits?.kv_cache_tokens).toBe(pages * 64);
  return runner;
}

/** Numbers in [0, n) that follow from the seed. */
function numbers(seed: number): (n: number) => number {
  let state = seed >>> 0;
  return (n) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 2 ** 32) * n);
  };
}

function promptOf(next: (n: number) => number, length: number): Uint32Array {
  return Uint32Array.from({ length }, () => next(VOCAB));
}

interface Answer extends SessionEnd {
  prompt: Uint32Array;
  tokens: SessionToken[];
}

type Question = Partial<Omit<TokenSession, "sampling" | "prompt">> & {
  prompt: Uint32Array;
  sampling?: Partial<Sampling>;
  onToken?: (id: number, tokens: SessionToken[]) => void;
};

let nextId = 0;

async function ask(runner: NativeRunner, question: Question): Promise<Answer> {
  const { onToken, sampling, ...session } = question;
  const id = nextId++;
  const tokens: SessionToken[] = [];
  const end = await runner.openSession(
    {
      id,
      caller: 0,
      max_tokens: 8,
      stop_tokens: new Uint32Array(),
      enforced_tokens: new Uint32Array(),
      ...session,
      sampling: { ...PLAIN_SAMPLING, top_logprobs: 128, ...sampling },
    },
    (token) => {
      tokens.push(token);
      onToken?.(id, tokens);
    },
  );
  return { ...end, prompt: question.prompt, tokens };
}

const idsOf = ({ tokens }: { tokens: SessionToken[] }) => Uint32Array.from(tokens, ({ id }) => id);

/** Prompt and the first `count` tokens of its answer. */
function continued({ prompt, tokens }: Answer, count: number): Uint32Array {
  return Uint32Array.of(...prompt, ...idsOf({ tokens: tokens.slice(0, count) }));
}

describe.each(LOADS)("$model in $dtype", ({ model, dtype }) => {
  test("200 answers together, cancelled and preempted, are a full recompute's bits", async () => {
    const busy = await loadWithPages(FEW_PAGES, { model, dtype, sessions: { maxNumSeqs: 8 } });
    const alone = await loadWithPages(FEW_PAGES, { model, dtype, threads: 1 });
    const next = numbers(7);
    const begun: Promise<Answer>[] = [];
    for (const together of [1, 2, 8]) {
      const until = begun.length + (together === 8 ? 120 : 40);
      const lane = async () => {
        while (begun.length < until) {
          const lives = next(8) === 0 ? 1 + next(5) : Number.POSITIVE_INFINITY;
          const answer = ask(busy, {
            prompt: promptOf(next, 1 + next(LONGEST_PROMPT)),
            max_tokens: 1 + next(MOST_TOKENS),
            sampling: { temperature: next(3) / 2, seed: next(1000) },
            onToken: (id, { length }) => length >= lives && busy.cancelSession(id),
          });
          begun.push(answer);
          await answer;
        }
      };
      await Promise.all(Array.from({ length: together }, lane));
    }
    const answers = await Promise.all(begun);
    expect(answers).toHaveLength(200);
    expect(answers.some(({ finish_reason }) => finish_reason === "cancelled")).toBe(true);
    expect(busy.sessionStats?.preempted).toBeGreaterThan(0);

    const flush = () => ask(alone, { prompt: promptOf(next, FEW_PAGES * 64 - 1), max_tokens: 1 });
    for (const answer of answers) {
      if (answer.tokens.length === 0) continue;
      await flush(); // so that nothing of the last one's pages is shared
      const count = next(answer.tokens.length);
      const again = await ask(alone, {
        prompt: continued(answer, count),
        max_tokens: 1,
        sampling: { temperature: 0 },
      });
      expect(again.cached_tokens).toBe(0);
      const there = answer.tokens[count];
      expect(again.tokens[0]?.top_logprobs).toEqual(there?.top_logprobs);
      expect(there?.top_logprobs.every(({ logprob }) => Number.isFinite(logprob))).toBe(true);
    }
    for (const runner of [busy, alone]) expect(runner.sessionStats?.pages_in_use).toBe(0);
  });
});

/** As a search's logits: in float32 each of them, in bfloat16 their root mean square. */
const BOUNDS = [
  ["float32", { each: 5e-6, all: 5e-6 }],
  ["bfloat16", { each: 3e-2, all: 1.2e-2 }],
] as const;

describe.each(GOLDEN_MODELS)("%s beside a forward pass in float64", (model) => {
  /** The logits that each token of an answer was chosen by. */
  async function logitsOf(answer: Answer): Promise<Float64Array[]> {
    const { length } = answer.tokens;
    const float64 = await Float64Model.load(goldenDirectory(model));
    const logits = float64.logits(continued(answer, length - 1), length);
    const vocab = logits.length / length;
    return answer.tokens.map((_, i) => logits.subarray(i * vocab, (i + 1) * vocab));
  }

  test.each(BOUNDS)("has its logprobs, in %s", async (dtype, bound) => {
    const runner = await load({ model, dtype });
    const next = numbers(11);
    const shares: number[] = [];
    for (const length of [1, 2, 17, 64, 65, 130]) {
      const prompt = promptOf(next, length);
      const answer = await ask(runner, { prompt, max_tokens: 3, sampling: { temperature: 0 } });
      for (const [i, logits] of (await logitsOf(answer)).entries()) {
        const sum = Math.log(logits.reduce((all, logit) => all + Math.exp(logit), 0));
        const top = answer.tokens[i]?.top_logprobs ?? [];
        expect(top).toHaveLength(128);
        const errors = top.map(({ id, logprob }) => logprob - ((logits[id] ?? Number.NaN) - sum));
        shares.push(Math.hypot(...errors) / Math.hypot(...logits));
      }
    }
    expect(Math.max(...shares)).toBeLessThan(bound.each);
    expect(Math.hypot(...shares) / Math.sqrt(shares.length)).toBeLessThan(bound.all);
  });

  test.each(BOUNDS)(
    "has its text, of 300 greedy tokens in %s, but for ties",
    async (dtype, bound) => {
      const runner = await load({ model, dtype });
      const prompt = promptOf(numbers(13), 20);
      const answer = await ask(runner, { prompt, max_tokens: 300, sampling: { temperature: 0 } });
      expect(answer.tokens).toHaveLength(300);
      let equal = 0;
      for (const [i, logits] of (await logitsOf(answer)).entries()) {
        const lead = Math.max(...logits) - (logits[answer.tokens[i]?.id ?? -1] ?? Number.NaN);
        // Two logits that are closer to each other than their errors may change places.
        expect(lead / Math.hypot(...logits), `token ${i}`).toBeLessThan(2 * bound.each);
        if (lead === 0) equal++;
      }
      expect(equal).toBeGreaterThanOrEqual(dtype === "float32" ? 299 : 270);
    },
  );
});

test.each(LOADS)(
  "an answer of $model in $dtype, replayed by enforced_tokens, has its logprobs bit for bit",
  async (of) => {
    const runner = await load(of);
    const next = numbers(3);
    for (let i = 0; i < 10; i++) {
      const prompt = promptOf(next, 1 + next(150));
      const sampling = { temperature: 1.3, seed: i, top_k: 50, presence_penalty: 0.5 };
      const answer = await ask(runner, { prompt, max_tokens: 30, sampling });
      const replay = await ask(runner, {
        prompt,
        max_tokens: 100,
        enforced_tokens: idsOf(answer),
        sampling: { temperature: 0 },
      });
      expect(replay.tokens).toEqual(answer.tokens);
      expect(replay.finish_reason).toBe("length");
    }
  },
);

describe("an answer", () => {
  test("follows from its seed, alone and beside others", async () => {
    const runner = await load();
    const prompt = promptOf(numbers(5), 20);
    const sampling = { temperature: 1, top_p: 0.9, min_p: 0.001, seed: 2 ** 53 - 1 };
    const question = { prompt, max_tokens: 24, sampling };
    const alone = await ask(runner, question);
    const others = Array.from({ length: 12 }, (_, seed) =>
      ask(runner, { ...question, sampling: { ...sampling, seed } }),
    );
    const beside = await ask(runner, question);
    expect(beside.tokens).toEqual(alone.tokens);
    expect(beside.cached_tokens).toBe(0); // not a whole page
    const texts = (await Promise.all(others)).map((answer) => idsOf(answer).join());
    expect(new Set(texts).size).toBe(12);
  });

  test("shares the pages of prompts that begin likewise", async () => {
    const runner = await load();
    const prompt = promptOf(numbers(6), 200);
    const first = await ask(runner, { prompt, sampling: { temperature: 0 } });
    const second = await ask(runner, { prompt, sampling: { temperature: 0 } });
    expect([first.cached_tokens, second.cached_tokens]).toEqual([0, 192]);
    expect(second.tokens).toEqual(first.tokens);
    const whole = await ask(runner, { prompt: prompt.subarray(0, 192), max_tokens: 1 });
    expect(whole.cached_tokens).toBe(128); // its last token is computed, for its logits
    const other = await ask(runner, { prompt: prompt.subarray(64, 192), max_tokens: 1 });
    expect(other.cached_tokens).toBe(0); // the same tokens at other positions
  });

  test("ends at a stop token, and is told it", async () => {
    const runner = await load();
    const question = { prompt: promptOf(numbers(8), 10), sampling: { temperature: 0 } };
    const { tokens } = await ask(runner, question);
    const stop = tokens[3]?.id ?? 0;
    const at = tokens.findIndex(({ id }) => id === stop);
    const stopped = await ask(runner, { ...question, stop_tokens: Uint32Array.of(stop) });
    expect(stopped.finish_reason).toBe("stop");
    expect(stopped.tokens).toEqual(tokens.slice(0, at + 1));
  });
});

describe("sampling", () => {
  const prompt = promptOf(numbers(9), 12);
  const likeliest = async (runner: NativeRunner) =>
    (await ask(runner, { prompt, max_tokens: 1 })).tokens[0]?.top_logprobs ?? [];

  test("draws tokens as often as they are likely", async () => {
    const runner = await load();
    const top = await likeliest(runner);
    const counts = new Map<number, number>();
    const draws = 3000;
    const ask1 = (seed: number) =>
      ask(runner, { prompt, max_tokens: 1, sampling: { seed, top_k: 5, top_logprobs: null } });
    for (let seed = 0; seed < draws; seed += 500) {
      const some = Array.from({ length: 500 }, (_, i) => ask1(seed + i));
      for (const { tokens } of await Promise.all(some)) {
        const id = tokens[0]?.id ?? -1;
        counts.set(id, (counts.get(id) ?? 0) + 1);
        expect(tokens[0]?.logprob).toBeNaN();
      }
    }
    const five = top.slice(0, 5);
    const all = five.reduce((sum, { logprob }) => sum + Math.exp(logprob), 0);
    expect([...counts.keys()].sort()).toEqual(five.map(({ id }) => id).sort());
    for (const { id, logprob } of five) {
      const p = Math.exp(logprob) / all;
      const deviation = Math.sqrt(draws * p * (1 - p));
      expect(Math.abs((counts.get(id) ?? 0) - draws * p)).toBeLessThan(5 * deviation);
    }
  });

  test("heeds bias, penalties, top_p and min_p", async () => {
    const runner = await load();
    const [first, second] = await likeliest(runner);
    const greedy = async (sampling: Partial<Sampling>, max_tokens = 1) =>
      idsOf(await ask(runner, { prompt, max_tokens, sampling: { temperature: 0, ...sampling } }));
    expect(await greedy({})).toEqual(Uint32Array.of(first?.id ?? 0));
    expect(await greedy({ logit_bias: [[first?.id ?? 0, -100]] })).toEqual(
      Uint32Array.of(second?.id ?? 0),
    );
    const wanted = 77;
    const bias = { logit_bias: [[wanted, 50]] as [number, number][] };
    expect(await greedy(bias, 4)).toEqual(new Uint32Array(4).fill(wanted));
    for (const penalty of [{ presence_penalty: 100 }, { frequency_penalty: 100 }]) {
      const answer = [...(await greedy({ ...bias, ...penalty }, 4))];
      expect(answer.filter((id) => id === wanted).length, JSON.stringify(penalty)).toBeLessThan(4);
    }
    const fresh = await greedy({ repetition_penalty: 1e6 }, 8);
    expect(new Set([...prompt, ...fresh]).size).toBe(prompt.length + 8);
    // What is left is the likeliest alone, whatever is drawn.
    for (const left of [{ top_p: 1e-6 }, { min_p: 1 }, { top_k: 1 }]) {
      const drawn = await ask(runner, { prompt, max_tokens: 1, sampling: { ...left, seed: 12 } });
      expect(drawn.tokens[0]?.id).toBe(first?.id);
    }
  });
});

describe("a runner's sessions", () => {
  test("leave no page behind, after 10,000 of them", async () => {
    const runner = await load({ threads: 1, sessions: { maxNumSeqs: 64 } });
    const next = numbers(10);
    let ended = 0;
    const lane = async () => {
      while (ended++ < 10_000) {
        const leaves = next(10) === 0;
        await ask(runner, {
          prompt: promptOf(next, 1 + next(4)),
          max_tokens: 1 + next(2),
          sampling: { top_logprobs: null },
          onToken: (id) => leaves && runner.cancelSession(id),
        });
      }
    };
    await Promise.all(Array.from({ length: 100 }, lane));
    expect(runner.sessionStats).toMatchObject({ pages_in_use: 0, running: 0, waiting: 0 });
  });

  test("run beside a search, whose numbers stay the same", async () => {
    const runner = await load();
    const job = {
      ...{ id: 0, seq_len: 40, input_seeds: Uint32Array.from({ length: 300 }, (_, i) => i) },
      output: { kind: "hidden" },
    } as const;
    const question = { prompt: promptOf(numbers(12), 100), max_tokens: 40 };
    const quiet = { job: await runner.run(job), answer: await ask(runner, question) };
    const answers = Array.from({ length: 4 }, () => ask(runner, question));
    expect(await runner.run(job)).toEqual(quiet.job);
    for (const answer of await Promise.all(answers)) {
      expect(answer.tokens).toEqual(quiet.answer.tokens);
    }
  });

  describe("of several callers", () => {
    /** What ends, in its order. */
    const order = (runner: NativeRunner) => {
      const ended: string[] = [];
      const asks: Promise<unknown>[] = [];
      const begin = (name: string, question: Question) => {
        asks.push(ask(runner, question).then(() => ended.push(name)));
      };
      return { begin, ended: () => Promise.all(asks).then(() => ended) };
    };

    test("begin by turns, those of one caller as they came", async () => {
      const runner = await load({ sessions: { maxNumSeqs: 1 } });
      const { begin, ended } = order(runner);
      const prompt = Uint32Array.of(1);
      // All others come while the first is answered.
      await new Promise<void>((begun) => {
        begin("A0", { caller: 1, prompt, max_tokens: 400, onToken: () => begun() });
      });
      for (let i = 1; i <= 40; i++) begin(`A${i}`, { caller: 1, prompt, max_tokens: 1 });
      for (let i = 1; i <= 3; i++) begin(`B${i}`, { caller: 2, prompt, max_tokens: 1 });
      begin("C1", { caller: 0, prompt, max_tokens: 1 });
      const rest = Array.from({ length: 37 }, (_, i) => `A${i + 4}`);
      expect(await ended()).toEqual([...["A0", "A1", "B1", "C1", "A2", "B2", "A3", "B3"], ...rest]);
    });

    test("have their prompts read side by side", async () => {
      const runner = await load();
      const { begin, ended } = order(runner);
      const next = numbers(14);
      const long = () => ({ caller: 1, prompt: promptOf(next, 4000), max_tokens: 1 });
      for (const name of ["A1", "A2", "A3"]) begin(name, long());
      begin("B1", { caller: 2, prompt: promptOf(next, 600), max_tokens: 1 });
      begin("B2", { caller: 2, prompt: promptOf(next, 600), max_tokens: 1 });
      expect(await ended()).toEqual(["B1", "B2", "A1", "A2", "A3"]);
    });

    test("that lose their pages are the first to go on", async () => {
      const runner = await loadWithPages(FEW_PAGES, { sessions: { maxNumSeqs: 8 } });
      const { begin, ended } = order(runner);
      const next = numbers(15);
      // Three pages each: the two fit when they begin, and the younger one's are soon taken from it.
      const growing = () => ({ prompt: promptOf(next, 160), max_tokens: 120 });
      begin("A1", { caller: 1, ...growing() });
      // Both have begun when the other caller comes, who else would have his turn before the second.
      await new Promise<void>((begun) => {
        begin("A2", { caller: 1, ...growing(), onToken: () => begun() });
      });
      begin("B1", { caller: 2, prompt: promptOf(next, 400), max_tokens: 1 });
      expect(await ended()).toEqual(["A1", "A2", "B1"]);
      expect(runner.sessionStats?.preempted).toBeGreaterThan(0);
    });
  });

  test("are refused by name where they are not possible", async () => {
    const runner = await load({ maxModelLen: 64 });
    const prompt = Uint32Array.of(1, 2, 3);
    const refusals: [Question, string][] = [
      [{ prompt: new Uint32Array() }, "prompt is empty"],
      [{ prompt: Uint32Array.of(512) }, "prompt holds token 512, expected ids 0 … 511"],
      [{ prompt, caller: -1 }, "session caller is -1, expected an integer ≥ 0"],
      [{ prompt, max_tokens: 0 }, "max_tokens is 0"],
      [
        { prompt, max_tokens: 62 },
        "a prompt of 3 tokens and 62 more are 65 tokens, expected at most 64",
      ],
      [{ prompt, sampling: { temperature: Number.NaN } }, "temperature is NaN"],
      [{ prompt, sampling: { top_p: 0 } }, "top_p is 0, expected more than 0 … 1"],
      [{ prompt, sampling: { seed: 0.5 } }, "seed is 0.5, expected an integer"],
      [{ prompt, sampling: { logit_bias: [[-1, 0]] } }, "logit_bias names token -1"],
      [{ prompt, sampling: { top_logprobs: 129 } }, "top_logprobs is 129, expected 0 … 128"],
    ];
    for (const [question, message] of refusals) {
      await expect(ask(runner, question)).rejects.toThrow(message);
    }
    expect((await ask(runner, { prompt })).tokens).toHaveLength(8);
    const without = await load({ sessions: undefined } as never);
    await expect(ask(without, { prompt })).rejects.toThrow("without room for token sessions");
  });

  test("end with the model, each with its tokens so far", async () => {
    const runner = await load();
    let answer: Promise<Answer> | undefined;
    await new Promise<void>((begun) => {
      const prompt = Uint32Array.of(1);
      answer = ask(runner, { prompt, max_tokens: 30_000, onToken: () => begun() });
    });
    await runner.close();
    const { finish_reason, tokens } = await (answer as Promise<Answer>);
    expect(finish_reason).toBe("cancelled");
    expect(tokens.length).toBeGreaterThan(0);
    await expect(ask(runner, { prompt: Uint32Array.of(1) })).rejects.toThrow("the model is closed");
  });
});
