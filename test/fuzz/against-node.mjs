// Plays drawn requests against a real node: strangers' bytes from all sides, and commands whose answers
// are held against the model of a round.
import { connect } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { POC_ERRORS } from "@proofmill/core";
import fc from "fast-check";
import { WebSocket } from "ws";
import { poll, startNode, withFolder } from "../soak/node.mjs";
import { command, connection, messages } from "./requests.mjs";
import { DEFAULT_SEQ_LEN, FRESH, MODEL, step } from "./round-model.mjs";

/** Strangers at one time. */
const STRANGERS = 16;
/** Commands for so many requests. */
const REQUESTS_A_COMMAND = 20;
/** At least so many, however slow the machine is. */
const LEAST_SHARE = 1 / 80;
/** A node that answers nothing is left after so long, milliseconds. */
const PATIENCE_MS = 1000;
/** So long after the last request every handle is free again, milliseconds. */
const HANDLES_BACK_MS = 10_000;
/** Connections of a flood, all made at once beside the counted ones, and the requests between two floods. */
const FLOOD = 500;
const REQUESTS_A_FLOOD = 10_000;
/** Drawn at a time. */
const CHUNK = 20;

/** Texts that a 503 may say. */
const UNAVAILABLE = [
  ...Object.values(POC_ERRORS).flatMap(({ status, text }) => (status === 503 ? [text] : [])),
  "PoC", // the gate in front of inference
  ...["No vLLM backend", "NVML not initialized"], // docs/mlnode.md
];

/**
 * @param {{ seed: number, count: number, onProgress?: (done: number) => void }} options `count` requests
 * @returns what was seen; `faults` are what must not be, in words
 */
export function fuzzNode({ seed, count, onProgress = () => {} }) {
  return withFolder(async (folder) => {
    const args = ["--poc-seq-len", `${DEFAULT_SEQ_LEN}`, "--poc-batch-size", "8"];
    const node = await startNode({ folder, args });
    const before = await node.measure();
    const faults = [];
    const statuses = {};
    let sent = 0;
    let commands = 0;
    let isOver = false;
    let floods = 0;
    const fault = (text) => {
      if (faults.length < 20) faults.push(text);
    };

    async function strange(number) {
      for (let chunk = 0; !isOver; chunk++) {
        const drawn = { seed: seed + number + STRANGERS * chunk, numRuns: CHUNK };
        const connections = fc.sample(connection, drawn);
        const sockets = fc.sample(messages, { ...drawn, numRuns: Math.ceil(CHUNK / 10) });
        for (const [i, each] of connections.entries()) {
          if (sent >= count) {
            isOver = true;
            return;
          }
          sent += each.requests;
          await meet(each);
          if (i % 10 === 0) {
            const said = sockets[i / 10];
            sent += said.length;
            await talk(node.url, said);
          }
          onProgress(sent);
        }
      }
    }

    async function meet(each) {
      for (const { status, text } of await exchange(node.url, each)) {
        statuses[status] = (statuses[status] ?? 0) + 1;
        // An answer to HEAD has no text.
        const isSaid =
          status === 503 &&
          (UNAVAILABLE.some((known) => text.includes(known)) || /\r\n\r\n$/.test(text));
        if (status >= 500 && !isSaid) fault(`${told(status, text)} for ${shown(each)}`);
      }
    }

    async function flood() {
      while (!isOver) {
        const all = fc.sample(connection, { seed: seed + floods, numRuns: FLOOD });
        await Promise.all(all.map(meet));
        floods++;
        while (!isOver && sent < floods * REQUESTS_A_FLOOD) await sleep(5);
      }
    }

    async function commandAll() {
      let expected = FRESH;
      let last = { number: 0, id: null };
      const isEnough = () => isOver && commands >= count * LEAST_SHARE;
      for (let chunk = 0; !isEnough(); chunk++) {
        for (const drawn of fc.sample(fc.array(command, { minLength: 1, maxLength: 3 }), {
          seed: seed + chunk,
          numRuns: CHUNK,
        })) {
          if (isEnough()) return;
          // Commands that come at once are carried out one after another, in some order.
          const answers = await Promise.all(drawn.map((each) => give(node.url, each)));
          commands += drawn.length;
          const { answer: round } = await ask(`${node.url}/api/v1/pow/status?limit=1`);
          const { answer: model } = await ask(`${node.url}/api/v1/state`);
          const now = { ...round, isDown: model.state === "STOPPED" };
          const outcome = orders(drawn.map((_, i) => i))
            .map((order) => playOut(expected, order, drawn))
            .find(
              ({ allowed, after }) =>
                allowed.every((statuses, i) => statuses.includes(answers[i])) &&
                matches(now, after, last),
            );
          if (!outcome) {
            fault(
              `${JSON.stringify(drawn)} in ${JSON.stringify(expected)} was answered ${answers}, then ${JSON.stringify(now)}`,
            );
            isOver = true;
            return;
          }
          expected = outcome.after;
          if (now.round_id !== null) last = { number: expected.number, id: now.round_id };
          while (!isOver && sent < commands * REQUESTS_A_COMMAND) await sleep(5);
        }
      }
    }

    await Promise.all([
      commandAll(),
      flood(),
      ...Array.from({ length: STRANGERS }, (_, i) => strange(i + 1)),
    ]);
    await ask(`${node.url}/api/v1/pow/stop`, { method: "POST" });
    const heldPages = async () =>
      /^proofmill_kv_pages\{state="in_use"\} (\d+)$/m.exec(await metricsOf(node.url))?.[1];
    const pages = await poll(heldPages, (count) => count === "0", HANDLES_BACK_MS);
    if (pages !== "0") fault(`${pages} pages of keys and values are held by nobody`);
    const { result } = (await ask(`${node.url}/trpc/node.info`)).answer;
    if (result.data.runners.some(({ restarts }) => restarts > 0))
      fault("a runner was started again");
    for (const { level, msg } of node.lines) if (level >= 50) fault(`the log has an error: ${msg}`);
    const isBack = (now) => now.handles <= before.handles && now.sockets <= before.sockets;
    const after = await poll(() => node.measure(), isBack, HANDLES_BACK_MS);
    if (!isBack(after)) fault(`handles are left: ${JSON.stringify({ before, after })}`);
    const code = await node.end("SIGTERM");
    if (code !== 0) fault(`the node ended with ${code}`);
    return { sent, commands, floods, statuses, before, after, faults };
  });
}

/** An answer and a connection, in short. */
export const told = (status, text) => `${status} ${text.slice(0, 200)}`;
export const shown = ({ bytes }) => JSON.stringify(bytes.toString("latin1")).slice(0, 400);

/** Sends a connection's bytes; resolves with what was answered. */
export function exchange(url, { requests, bytes, cut, end }) {
  return new Promise((resolve) => {
    const socket = connect({
      port: Number(new URL(url).port),
      host: "127.0.0.1",
      allowHalfOpen: true,
    });
    let text = "";
    const done = () => {
      clearTimeout(timer);
      socket.destroy();
      resolve(answersIn(text));
    };
    const timer = setTimeout(done, end === "wait" ? PATIENCE_MS : 300);
    socket.setEncoding("latin1");
    socket.on("data", (more) => {
      // A stream of events goes on for ever.
      if (text.length < 65_536) text += more;
      // Of a stream whose caller says no more, more is read until the time is over.
      if (/content-type: text\/event-stream/i.test(text)) {
        if (end !== "half-close") done();
      } else if (answersIn(text).filter(({ status }) => status >= 200).length >= requests) {
        setImmediate(done);
      }
    });
    socket.on("end", done);
    socket.on("error", done);
    socket.on("close", done);
    const rest = () => {
      if (cut !== null) socket.write(bytes.subarray(cut));
      if (end === "half-close") socket.end();
      if (end === "destroy") done();
    };
    socket.write(cut === null ? bytes : bytes.subarray(0, cut), () => setImmediate(rest));
  });
}

function answersIn(text) {
  // Bodies end without a line's end: the next answer may begin anywhere.
  const parts = text.split(/(?=HTTP\/1\.1 \d{3} )/);
  return parts.flatMap((part) => {
    const [, status] = /^HTTP\/1\.1 (\d{3})/.exec(part) ?? [];
    return status === undefined ? [] : [{ status: Number(status), text: part }];
  });
}

/** Says all messages on one WebSocket, and leaves it. */
function talk(url, said) {
  return new Promise((resolve) => {
    const socket = new WebSocket(`${url.replace("http", "ws")}/trpc`);
    const done = () => {
      clearTimeout(timer);
      socket.terminate();
      resolve();
    };
    const timer = setTimeout(done, PATIENCE_MS);
    socket.on("error", done);
    socket.on("close", done);
    socket.on("open", () => {
      for (const each of said) socket.send(each);
      socket.send(
        JSON.stringify({
          id: 1,
          method: "query",
          params: { path: "pow.status", input: { limit: 1 } },
        }),
      );
    });
    socket.on("message", (data) => {
      if (String(data).includes('"state"')) done();
    });
  });
}

const PROCEDURES = {
  ...{ init: "init", "init/generate": "initGenerate", "init/validate": "initValidate" },
  ...{ "phase/generate": "phaseGenerate", "phase/validate": "phaseValidate", stop: "stop" },
};
/** Paths of commands by their doors, where they are others than those of a round of distances. */
const PATHS = {
  rest: { begin: "/api/v1/pow/init/generate", job: "/api/v1/pow/generate" },
  trpc: { begin: "/trpc/artifacts.initGenerate", job: "/trpc/artifacts.generate" },
  mlnode: {
    begin: "/api/v1/inference/pow/init/generate",
    job: "/v3.0.13/api/v1/inference/pow/generate",
    stop: "/api/v1/inference/pow/stop",
    up: "/api/v1/inference/up",
    down: "/v3.0.13/api/v1/inference/down",
    chat: "/v1/chat/completions",
  },
};
/** What is sent with commands that are always the same. */
const BODIES = {
  up: { model: MODEL, dtype: "auto" },
  chat: { messages: [{ role: "user", content: "a" }], max_tokens: 2 },
};

/** @returns the answer's status */
export async function give(url, { door, command: { kind, body = BODIES[kind] } }, more = {}) {
  const ofDistances = door === "rest" ? `/api/v1/pow/${kind}` : `/trpc/pow.${PROCEDURES[kind]}`;
  const path = PATHS[door][kind] ?? ofDistances;
  const sends = body === undefined ? {} : { body: JSON.stringify(body) };
  const { status } = await ask(url + path, {
    method: "POST",
    ...(body === undefined && door === "trpc" ? { body: "{}" } : sends),
    headers: more,
  });
  return status;
}

/** One call, over a connection of its own, so that none of ours counts as a handle that is left. */
export async function ask(url, init = {}) {
  const headers = { ...init.headers, "content-type": "application/json", connection: "close" };
  const response = await fetch(url, { ...init, headers });
  return { status: response.status, answer: await response.json() };
}

async function metricsOf(url) {
  const response = await fetch(`${url}/metrics`, { headers: { connection: "close" } });
  return await response.text();
}

function orders(all) {
  if (all.length < 2) return [all];
  return all.flatMap((first) =>
    orders(all.filter((each) => each !== first)).map((rest) => [first, ...rest]),
  );
}

/**
 * What follows where the commands are carried out in this order, and by which statuses each may be
 * answered. A chat is let in or not when it comes, whichever command is then half carried out.
 */
function playOut(before, order, drawn) {
  const states = [before];
  const allowed = [];
  for (const i of order) {
    const { door, command } = drawn[i];
    const { status, after } = step(states.at(-1), command, door);
    allowed[i] = [status];
    states.push(after);
  }
  for (const [i, { door, command }] of drawn.entries()) {
    if (command.kind !== "chat") continue;
    allowed[i] = states.map((state) => step(state, command, door).status);
  }
  return { allowed, after: states.at(-1) };
}

/** Whether a status is what the model expects; `last` is the last round of distances that was shown. */
function matches(now, { state, round, number, isDown }, last) {
  if (now.state !== state || now.isDown !== isDown) return false;
  if (round?.proof !== "distance") {
    const shown = state === "GENERATING" ? { ...round, ...round.params } : null;
    const fields = ["block_hash", "block_height", "public_key", "node_id", "node_count", "seq_len"];
    const isShown = fields.every((field) => now.config?.[field] === shown?.[field]);
    return now.round_id === null && isShown;
  }
  const fields = ["block_hash", "block_height", "public_key", "r_target", "node_id", "node_count"];
  if (fields.some((field) => now[field] !== round[field])) return false;
  return (now.round_id === last.id) === (number === last.number);
}
