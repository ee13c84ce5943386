// Eleven honest clients of a node under attack, each of another kind. Every answer must come, and whole:
//   honest.mjs <url> [kind,kind…]
// Reports "ready" when each has had its first answer; "end" makes it report what each has seen.
import { setTimeout as sleep } from "node:timers/promises";
import { createPocClient } from "@proofmill/client";
import { createTRPCClient, createWSClient, httpBatchLink, wsLink } from "@trpc/client";
import { WebSocket } from "ws";

/** Milliseconds between an answer and the next question, and in which an answer must come. */
const PAUSE = 100;
const PATIENCE = 30_000;

const [url, only] = process.argv.slice(2);
const api = `${url}/api/v1/pow`;
const end = new AbortController();
const json = { "content-type": "application/json" };

/** Each asks one question and throws unless the answer is whole. */
const QUESTIONS = {
  status: async () => checkStatus(await ask(`${api}/status`)),
  "status on a connection of its own": async () =>
    checkStatus(await ask(`${api}/status`, { headers: { connection: "close" } })),
  page: async () => {
    const { valid_nonces, valid_distances, total_valid } = await ask(
      `${api}/status?since=10&limit=20`,
    );
    const expected = Math.min(20, Math.max(0, total_valid - 10));
    check(valid_nonces.length === expected && valid_distances.length === expected, "a page");
  },
  batch: batchQuestion(),
  "WebSocket call": socketQuestion(),
  proof: proofQuestion(),
  chat: async () => {
    const messages = [{ role: "user", content: "a" }];
    const body = JSON.stringify({ messages, max_tokens: 4, ignore_eos: true });
    const answer = await askAgain(`${url}/v1/chat/completions`, body);
    // A round that holds the device is an answer too.
    check(answer.usage?.completion_tokens === 4 || answer.detail === "PoC in progress", "a chat");
  },
  command: async () => {
    const { pow_status } = await ask(`${api}/phase/${await phase()}`, { method: "POST" });
    checkStatus(pow_status);
  },
  documents: async () => {
    const { paths } = await ask(`${url}/openapi.json`);
    check(Object.keys(paths).length > 8, "the API document");
    const page = await (await get(`${url}/docs`)).text();
    check(page.startsWith("<!doctype html>") && /<\/html>\s*$/.test(page), "the page");
  },
};

/** Each reads the finds as they come and checks that none is missing. */
const STREAMS = {
  subscriber: async (count) => {
    for await (const event of createPocClient({ url }).watchValidNonces({ signal: end.signal })) {
      count(event);
    }
  },
  "server-sent events": async (count) => {
    const { body } = await fetch(`${url}/trpc/pow.onValidNonces`, { signal: end.signal });
    let text = "";
    for await (const chunk of body.pipeThrough(new TextDecoderStream())) {
      const blocks = (text + chunk).split("\n\n");
      text = blocks.pop();
      for (const block of blocks) {
        const data = /^data: (.*)$/m.exec(block)?.[1];
        if (data?.includes('"type"')) count(JSON.parse(data));
      }
    }
    check(end.signal.aborted, "a stream that goes on");
  },
};

function batchQuestion() {
  const { pow, node } = createTRPCClient({ links: [httpBatchLink({ url: `${url}/trpc` })] });
  return async () => {
    const answers = Promise.all([pow.status.query(), pow.status.query(), node.info.query()]);
    const [first, second, info] = await inTime(answers);
    checkStatus(first);
    checkStatus(second);
    check(typeof info.version === "string", "the node's description");
  };
}

function socketQuestion() {
  const client = createWSClient({ url: `${url.replace("http", "ws")}/trpc`, WebSocket });
  const { pow } = createTRPCClient({ links: [wsLink({ client })] });
  return async () => checkStatus(await inTime(pow.status.query()));
}

/** A proof of four nonces, whose distances must be the same each time. */
function proofQuestion() {
  let known = null;
  const proof = { nonces: [1, 2, 3, 4], dist: [1, 1, 1, 1], public_key: "honest", node_id: 0 };
  return async () => {
    const { block_hash, block_height } = await ask(`${api}/status?limit=1`);
    const body = JSON.stringify({ ...proof, block_hash, block_height });
    const { distances } = await askAgain(`${api}/validate`, body);
    known ??= distances;
    check(distances.length === 4 && `${distances}` === `${known}`, "distances");
  };
}

/** Asks until nobody says "come back later" any more, which is an answer if it does not go on for ever. */
async function askAgain(address, body) {
  const begin = performance.now();
  for (;;) {
    const response = await get(address, { method: "POST", headers: json, body });
    const answer = await response.json();
    const pause = response.headers.get("retry-after");
    const isGate = answer.detail === "PoC in progress";
    if (response.ok || isGate) return answer;
    const isLater = pause !== null && performance.now() - begin < PATIENCE;
    check(isLater, `${address}: ${response.status} ${JSON.stringify(answer).slice(0, 200)}`);
    await sleep(Number(pause) * 1000);
  }
}

/** The phase that the round is in, whose command changes nothing. */
async function phase() {
  const { state } = await ask(`${api}/status?limit=1`);
  return state === "GENERATING" ? "generate" : "validate";
}

async function get(address, options = {}) {
  return fetch(address, { ...options, signal: AbortSignal.timeout(PATIENCE) });
}

async function ask(address, options) {
  const response = await get(address, options);
  const text = await response.text();
  check(response.ok, `${address}: ${response.status} ${text.slice(0, 200)}`);
  return JSON.parse(text);
}

async function inTime(promise) {
  const late = sleep(PATIENCE, null, { ref: false }).then(() => check(false, "in time"));
  return Promise.race([promise, late]);
}

function check(isRight, what) {
  if (!isRight) throw new Error(`expected ${what}`);
}

/** Both lists whole, and in the order of the search. */
function checkStatus({ valid_nonces, valid_distances, total_valid }) {
  check(valid_nonces.length === total_valid, `${total_valid} nonces, got ${valid_nonces.length}`);
  check(valid_distances.length === total_valid, `as many distances as nonces`);
  check(
    valid_nonces.every((nonce, i) => i === 0 || nonce > valid_nonces[i - 1]),
    "nonces in their order",
  );
}

const reports = {};
const firstAnswers = [];
const works = [];

/** Runs one client to the end; `work` is told what to call with each answer and its milliseconds. */
function start(kind, work) {
  if (only && !only.split(",").includes(kind)) return;
  const report = { answers: 0, worst_ms: 0, faults: [] };
  reports[kind] = report;
  firstAnswers.push(
    new Promise((resolve) => {
      const answered = (milliseconds = 0) => {
        report.answers++;
        report.worst_ms = Math.max(report.worst_ms, Math.round(milliseconds));
        resolve();
      };
      const failed = (error) => {
        report.faults.push(`${error.message} ${error.cause?.message ?? ""}`.trim());
        resolve();
      };
      works.push(work(answered, failed));
    }),
  );
}

for (const [kind, question] of Object.entries(QUESTIONS)) {
  start(kind, async (answered, failed) => {
    while (!end.signal.aborted) {
      const begin = performance.now();
      await question().then(() => answered(performance.now() - begin), failed);
      await sleep(PAUSE);
    }
  });
}
for (const [kind, read] of Object.entries(STREAMS)) {
  start(kind, async (answered, failed) => {
    let next = 0;
    const count = (event) => {
      if (event.type === "nonces") {
        if (event.from !== next) failed(new Error(`from ${event.from}, expected ${next}`));
        next = event.from + event.nonces.length;
        if (event.distances.length !== event.nonces.length) failed(new Error("a torn event"));
      }
      answered();
    };
    await read(count).catch((error) => end.signal.aborted || failed(error));
    reports[kind].finds = next;
  });
}

await Promise.all(firstAnswers);
process.send("ready");
process.on("disconnect", () => process.exit(0));
process.on("message", async () => {
  const { total_valid } = await ask(`${api}/status?limit=1`);
  await sleep(1000); // finds reach a subscriber within a tenth of that
  end.abort();
  await Promise.all(works);
  for (const [kind, { finds, faults }] of Object.entries(reports)) {
    if (kind in STREAMS && finds < total_valid) {
      faults.push(`${finds} finds read of ${total_valid}`);
    }
  }
  process.send(reports, () => process.exit(0));
});
