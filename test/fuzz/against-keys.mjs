// Plays drawn requests against a node that wants keys: without one, with a wrong one, and with one that
// may only read. Whatever is sent, nothing is answered that the key does not allow.
import { createHash } from "node:crypto";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import fc from "fast-check";
import { startNode, withFolder } from "../soak/node.mjs";
import { ask, exchange, give, shown, told } from "./against-node.mjs";
import { command, connection } from "./requests.mjs";

const KEYS = { admin: "a-key-that-may-do-all", read: "a-key-that-may-only-read" };
const bearer = (key) => ({ authorization: `Bearer ${key}` });
/** What strangers show; null: no header. */
const SHOWN = fc.constantFrom(
  ...[null, "Bearer", "Bearer ", "Bearer wrong", "Basic YTpi", "bearer a-key-that-may-do-al"],
  ...[`Bearer ${KEYS.admin}x`, `Token ${KEYS.admin}`, `Bearer Bearer ${KEYS.read}`],
);
/** Said of bytes that are no request, before anybody knows whose they are. */
const NO_REQUEST = [400, 408, 413, 417, 431];
// The router takes `*` for `/`.
const OPEN = /\/(health|livez|readyz)\b| [/*](\?\S*)? HTTP/;
/** Connections that are under way together. */
const AT_ONCE = 16;

/**
 * @param {{ seed: number, count: number }} options `count` requests, half of them with a key that may read
 * @returns what was seen; `faults` are what must not be, in words
 */
export function fuzzKeys({ seed, count }) {
  return withFolder(async (folder) => {
    const file = join(folder, "keys");
    writeFileSync(file, Object.entries(KEYS).map(lineOf).join(""));
    const node = await startNode({ folder, args: ["--api-key-file", file] });
    const faults = [];
    const fault = (text) => {
      if (faults.length < 20) faults.push(text);
    };
    const statuses = {};
    let sent = 0;
    let commands = 0;

    /** One connection, each of whose requests shows `authorization`. */
    async function meet(drawn, authorization) {
      sent += drawn.requests;
      const each = authorization === null ? drawn : withHeader(drawn, authorization);
      for (const { status, text } of await exchange(node.url, each)) {
        statuses[status] = (statuses[status] ?? 0) + 1;
        const mayRead = authorization === `Bearer ${KEYS.read}`;
        if (mayRead ? status === 401 : !isNothing(status, text, each)) {
          fault(`${told(status, text)} for ${shown(each)}`);
        }
      }
    }

    for (let chunk = 0; sent < count; chunk++) {
      const drawn = { seed: seed + chunk, numRuns: AT_ONCE };
      const connections = fc.sample(connection, drawn);
      const strangers = fc.sample(SHOWN, drawn);
      await Promise.all(connections.map((each, i) => meet(each, strangers[i])));
      await Promise.all(connections.map((each) => meet(each, `Bearer ${KEYS.read}`)));
      for (const each of fc.sample(command, { ...drawn, numRuns: 2 })) {
        commands++;
        const answers = await Promise.all([
          give(node.url, each),
          give(node.url, each, bearer(KEYS.read)),
        ]);
        if (`${answers}` !== "401,403") fault(`${JSON.stringify(each)} was answered ${answers}`);
      }
    }
    const { answer } = await ask(`${node.url}/api/v1/pow/status`, { headers: bearer(KEYS.admin) });
    if (answer.state !== "IDLE" || answer.round_id !== null) {
      fault(`somebody has commanded it: ${JSON.stringify(answer)}`);
    }
    for (const { level, msg } of node.lines) if (level >= 50) fault(`the log has an error: ${msg}`);
    const code = await node.end("SIGTERM");
    if (code !== 0) fault(`the node ended with ${code}`);
    return { sent, commands, statuses, faults };
  });
}

/** A status alone, or the page, which asks its reader for the key. */
const SAYS_NOTHING = /^\{"status":"\w+"\}$|^<!doctype html>/;

/** Whether an answer gives away nothing: a refusal, an open path's status, or the page. */
function isNothing(status, text, { bytes }) {
  if (status === 401 || status < 200 || NO_REQUEST.includes(status)) return true;
  if (!OPEN.test(bytes.toString("latin1"))) return false;
  const body = text.slice(text.indexOf("\r\n\r\n") + 4);
  // Another host or method is refused before anything is looked at.
  return status === 403 || status === 405 || body === "" || SAYS_NOTHING.test(body);
}

/** The same requests, each with this header before its own. */
function withHeader({ bytes, ...rest }, authorization) {
  const text = bytes.toString("latin1");
  const line = `Authorization: ${authorization}\r\n`;
  return { ...rest, bytes: Buffer.from(text.replace(/ HTTP\/1\.1\r\n/g, `$&${line}`), "latin1") };
}

function lineOf([scope, key]) {
  return `${scope} ${scope} sha256:${createHash("sha256").update(key).digest("hex")}\n`;
}
