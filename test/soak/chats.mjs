// Whoever asks a node's own model: one request over HTTP, and what became of it.

/**
 * @typedef {object} Outcome
 * @property {"whole" | "refused" | "ended" | "left"} kind a whole answer; none, with a status and why;
 *   a stream that ended with an error; one that was left by whoever asked
 * @property {string} [code] of the error; `NOT_WHOLE` where an answer ended without a word
 * @property {number} [tokens] of a whole answer
 */

/**
 * @param {string} url of the node
 * @param {object} body of a completion
 * @param {{ signal?: AbortSignal, onBegun?: () => void }} [options] `onBegun` is called when a stream's
 *   first words have come
 * @returns {Promise<Outcome>}
 */
export async function complete(url, body, { signal, onBegun = () => {} } = {}) {
  try {
    const response = await fetch(`${url}/v1/completions`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ ignore_eos: true, return_token_ids: true, ...body }),
      signal,
    });
    if (response.status !== 200) {
      const { error } = await response.json();
      return { kind: "refused", code: error.code };
    }
    return await (body.stream ? readStream(response, onBegun) : readWhole(response));
  } catch (error) {
    if (signal?.aborted) return { kind: "left" };
    throw error;
  }
}

async function readWhole(response) {
  const { choices } = await response.json();
  return { kind: "whole", tokens: choices[0].token_ids.length };
}

async function readStream(response, onBegun) {
  let rest = "";
  let tokens = 0;
  let end = { kind: "ended", code: "NOT_WHOLE" };
  for await (const piece of response.body.pipeThrough(new TextDecoderStream())) {
    const events = (rest + piece).split("\n\n");
    rest = events.pop();
    for (const event of events) {
      const data = event.slice("data: ".length);
      if (data === "[DONE]") end = { kind: "whole", tokens };
      else {
        const { choices, error } = JSON.parse(data);
        if (error) end = { kind: "ended", code: error.code };
        else {
          tokens += choices[0].token_ids.length;
          onBegun();
        }
      }
    }
  }
  return end;
}

/** The node's figures of sessions and pages, as the runner told them last. */
export async function sessionFigures(url) {
  const text = await (await fetch(`${url}/metrics`)).text();
  const figure = (name) => {
    const line = text.split("\n").find((each) => each.startsWith(`${name} `));
    return Number(line?.slice(name.length + 1));
  };
  return {
    running: figure('proofmill_sessions{state="running"}'),
    waiting: figure('proofmill_sessions{state="waiting"}'),
    pages: figure('proofmill_kv_pages{state="in_use"}'),
  };
}
