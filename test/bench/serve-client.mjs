// The other process of serve.mjs: clients of one node who ask for one completion after another, and note
// when its tokens come. Each message of its parent is a stretch: how many clients, for how long.
const [url] = process.argv.slice(2);

/** Numbers in [0, n) that follow from the seed. */
function numbers(seed) {
  let state = seed >>> 0;
  return (n) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 2 ** 32) * n);
  };
}

/**
 * One completion over server-sent events, whose prompt shares no page with another's.
 *
 * @param {(count: number) => void} onTokens called with how many have come, as they come
 */
async function complete({ next, prompt_len, vocab_size, tokens, signal }, onTokens) {
  const body = {
    ...{ prompt: Array.from({ length: prompt_len }, () => next(vocab_size)), max_tokens: tokens },
    ...{ stream: true, ignore_eos: true, return_token_ids: true, seed: next(2 ** 31) },
  };
  const response = await fetch(`${url}/v1/completions`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(body),
    signal,
  });
  if (!response.ok) throw new Error(`${response.status}: ${await response.text()}`);
  let rest = "";
  let isWhole = false;
  for await (const piece of response.body.pipeThrough(new TextDecoderStream())) {
    const events = (rest + piece).split("\n\n");
    rest = events.pop();
    for (const event of events) {
      const data = event.slice("data: ".length);
      if (data === "[DONE]") isWhole = true;
      else {
        const { choices, error } = JSON.parse(data);
        if (error) throw new Error(error.message);
        const count = choices[0].token_ids.length;
        if (count > 0) onTokens(count);
      }
    }
  }
  if (!isWhole) throw new Error("an answer ended before its end");
}

/**
 * So many clients, each with one request after another; the clock runs from when every one of them has
 * its first token, for so many seconds.
 */
async function stretch({ clients, seconds, ...asked }) {
  const figures = { tokens: 0, answers: 0, first_ms: [], gaps_ms: [] };
  const over = new AbortController();
  let answering = 0;
  let started = Number.POSITIVE_INFINITY;
  let ended = Number.NaN;
  const end = () => {
    ended = performance.now();
    process.send({ ended: true });
    over.abort();
  };
  const client = async (_, index) => {
    const next = numbers(1 + index);
    let isFirst = true;
    while (!over.signal.aborted) {
      const asked_at = performance.now();
      let last = null;
      // Lengths differ, or all would end at once and ask again together.
      const [least, most] = asked.lengths;
      const tokens = least + next(most - least + 1);
      await complete({ ...asked, tokens, next, signal: over.signal }, (count) => {
        const now = performance.now();
        if (now >= started) {
          figures.tokens += count;
          if (last === null) figures.first_ms.push(now - asked_at);
          else for (let i = 0; i < count; i++) figures.gaps_ms.push((now - last) / count);
        }
        last = now;
        if (isFirst && ++answering === clients) {
          started = now;
          process.send({ started: true });
          setTimeout(end, 1000 * seconds);
        }
        isFirst = false;
      });
      if (performance.now() >= started) figures.answers++;
    }
  };
  const untilOver = (work) => work.catch((error) => over.signal.aborted || Promise.reject(error));
  await Promise.all(Array.from({ length: clients }, (...of) => untilOver(client(...of))));
  return { ...figures, seconds: (ended - started) / 1000 };
}

process.on("message", async (asked) => process.send({ figures: await stretch(asked) }));
process.on("disconnect", () => process.exit(0));
