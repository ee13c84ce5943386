/** Plays request/response cases of the network's broker against a node, byte for byte as it sends them. */
import { once } from "node:events";
import { connect } from "node:net";
import { setTimeout as pause } from "node:timers/promises";
import { type Check, fault, resolve } from "./checks.ts";
import type { Receiver } from "./receiver.ts";

export interface Case {
  id: string;
  group: string;
  title: string;
  /** States to reach first: `up`, `stopped`, `generating`. */
  given: string[];
  request: { method: string; path: string; headers: Record<string, string>; body: string | null };
  expect: {
    status: number[];
    json?: Check[];
    text?: string[];
    callback?: {
      path: string;
      match?: Check[];
      json?: Check[];
      headers?: Record<string, string>;
    };
  };
  /** What later cases use, by name. */
  capture?: Record<string, string>;
  /** Names whose case is played again first. */
  fresh?: string[];
}

interface Answer {
  status: number;
  text: string;
}

export interface Replayed {
  url: string;
  model: string;
  seqLen: number;
  receiver: Receiver;
  cases: Case[];
}

export class Replay {
  readonly #node: Replayed;
  readonly #captured: Record<string, unknown> = {};

  constructor(node: Replayed) {
    this.#node = node;
  }

  /** What is wrong with the node's answer; nothing where it is right. */
  async play(one: Case): Promise<string[]> {
    for (const name of one.fresh ?? []) await this.play(this.#producerOf(name));
    for (const [, name = ""] of JSON.stringify(one).matchAll(/captured(?:_pe)?:(\w+)/g)) {
      if (name !== "RID_TAIL" && !(name in this.#captured)) await this.play(this.#producerOf(name));
    }
    const compared = one.expect.json?.find(({ op }) => op === "eq_captured_by_nonce");
    if (compared && !(String(compared.value) in this.#captured)) {
      await this.play(this.#producerOf(String(compared.value)));
    }
    for (const state of one.given) await this.#reach(state);
    const { receiver } = this.#node;
    const mark = receiver.received.length;
    const { method, path, headers, body } = one.request;
    const answer = await this.#send(method, this.#filled(path), {
      headers,
      body: body === null ? null : this.#filled(body),
    });
    const { expect } = one;
    if (!expect.status.includes(answer.status)) {
      return [`status ${answer.status}, not ${expect.status}: ${answer.text.slice(0, 200)}`];
    }
    const faults = (expect.text ?? [])
      .filter((piece) => !answer.text.includes(piece))
      .map((piece) => `lacks ${piece}`);
    if (expect.json || one.capture) {
      const json: unknown = JSON.parse(answer.text);
      faults.push(...this.#faults(json, expect.json));
      for (const [name, pointer] of Object.entries(one.capture ?? {})) {
        this.#captured[name] = resolve(json, pointer);
      }
    }
    if (expect.callback && faults.length === 0) await this.#awaitCallback(expect.callback, mark);
    return faults;
  }

  /** Resolves when one has come that is as it should be; the test's own limit ends the waiting. */
  async #awaitCallback(
    { path, match = [], json, headers = {} }: NonNullable<Case["expect"]["callback"]>,
    mark: number,
  ): Promise<void> {
    const { receiver } = this.#node;
    const wanted = this.#filled(path);
    await receiver.until(mark, (one) => {
      const isIt = one.path === wanted && this.#faults(one.body, match).length === 0;
      const hasHeaders = Object.entries(headers).every(([name, value]) =>
        String(one.headers[name]).startsWith(value),
      );
      return isIt && hasHeaders && this.#faults(one.body, json).length === 0;
    });
  }

  async #reach(state: string): Promise<void> {
    const service = JSON.parse((await this.#send("GET", "/api/v1/state")).text).state;
    const pow = async () =>
      JSON.parse((await this.#send("GET", "/api/v1/inference/pow/status")).text).status;
    const post = (path: string, body: string | null) =>
      this.#send("POST", `/api/v1${path}`, { headers: {}, body });
    if (state === "stopped") {
      if (service !== "STOPPED") await post("/stop", null);
      return;
    }
    if (service === "STOPPED") {
      const { model } = this.#node;
      await post("/inference/up", JSON.stringify({ model, dtype: "auto", additional_args: [] }));
    }
    const now = await pow();
    if (state === "up" && now !== "IDLE") await post("/inference/pow/stop", "{}");
    if (state === "generating" && now !== "GENERATING") {
      const first = this.#node.cases.find(({ id }) => id === "gen-1");
      await post("/inference/pow/init/generate", this.#filled(first?.request.body ?? ""));
      while ((await pow()) !== "GENERATING") await pause(20);
    }
  }

  #producerOf(name: string): Case {
    const found = this.#node.cases.find(({ capture }) => capture && name in capture);
    if (!found) throw new Error(`no case captures ${name}`);
    return found;
  }

  #faults(json: unknown, checks: Check[] = []): string[] {
    const filled = checks.map((check) => ({
      ...check,
      value: typeof check.value === "string" ? this.#filled(check.value) : check.value,
    }));
    const { receiver } = this.#node;
    return filled
      .map((check) => fault(json, check, { captured: this.#captured, delivered: receiver.nonces }))
      .filter((each) => each !== null);
  }

  #filled(text: string): string {
    const { model, seqLen, receiver, url } = this.#node;
    const known: Record<string, string> = {
      MODEL_JSON: JSON.stringify(model),
      MODEL_PE2: encodeURIComponent(encodeURIComponent(model)),
      MODEL: model,
      SEQ: String(seqLen),
      CALLBACK: receiver.url,
      PORT: new URL(url).port,
    };
    return text
      .replace(/\{\{([A-Z0-9_]+)\}\}/g, (mark, name: string) => known[name] ?? mark)
      .replace(/\{\{captured(_pe)?:([^}]+)\}\}/g, (_, escaped, name: string) => {
        const value = this.#capturedValue(name);
        const written = typeof value === "string" ? value : JSON.stringify(value);
        return escaped ? encodeURIComponent(written) : written;
      });
  }

  #capturedValue(name: string): unknown {
    if (name === "RID_TAIL") return String(this.#captured.RID).split(":")[1];
    const [root = "", ...rest] = name.split("/");
    return resolve(this.#captured[root], rest.length > 0 ? `/${rest.join("/")}` : "");
  }

  /** A socket of its own, so that no header is added that the case does not name. */
  async #send(
    method: string,
    path: string,
    { headers, body }: { headers: Record<string, string>; body: string | null } = {
      headers: {},
      body: null,
    },
  ): Promise<Answer> {
    const { hostname, port, host } = new URL(this.#node.url);
    const bytes = Buffer.from(body ?? "");
    const { "Accept-Encoding": _, ...others } = headers;
    const sent: Record<string, string> = { Host: host, ...others, Connection: "close" };
    if (body !== null || method === "POST") sent["Content-Length"] = String(bytes.length);
    const socket = connect({ host: hostname, port: Number(port) });
    const lines = Object.entries(sent).map(([name, value]) => `${name}: ${value}\r\n`);
    socket.write(`${method} ${path} HTTP/1.1\r\n${lines.join("")}\r\n`);
    socket.write(bytes);
    let text = "";
    socket.setEncoding("utf8").on("data", (chunk) => {
      text += chunk;
    });
    await once(socket, "end");
    socket.destroy();
    const [head = "", ...rest] = text.split("\r\n\r\n");
    return { status: Number(head.split(" ")[1]), text: rest.join("\r\n\r\n") };
  }
}
