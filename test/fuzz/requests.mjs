// What a stranger may send: requests as bytes, messages of WebSockets, and commands, all drawn by
// fast-check, so that a seed names them.
import fc from "fast-check";
import { askedOfModels } from "./asked-of-models.mjs";
import { asJson, text, value } from "./drawn.mjs";

/** Fields of the wire's objects, and names that objects of a language have by themselves. */
const NAMES = [
  ...["block_hash", "block_height", "public_key", "r_target", "fraud_threshold", "node_id"],
  ...["node_count", "batch_size", "seq_len", "callback_url", "url", "params", "nonces", "dist"],
  ...["__proto__", "constructor", "prototype", "toString", "hasOwnProperty", "then", "length"],
];
const object = fc
  .array(fc.tuple(fc.oneof(fc.constantFrom(...NAMES), text), value), { maxLength: 12 })
  .map(
    (entries) => `{${entries.map((pair) => pair.map((each) => asJson(each)).join(":")).join(",")}}`,
  );

/** Texts that are nearly JSON: bytes are lost, doubled or put in. */
const brokenJson = fc
  .tuple(object, fc.nat(), fc.constantFrom("", "{", "}", "[", '"', "\\u", ",", ":", "\xff", "\0"))
  .map(([json, at, put]) => {
    const place = at % (json.length + 1);
    return json.slice(0, place) + put + json.slice(place + 1);
  });
const nested = fc.integer({ min: 1, max: 3000 }).map((depth) => "[".repeat(depth));

const body = fc.oneof(
  { weight: 5, arbitrary: object },
  { weight: 2, arbitrary: brokenJson },
  { weight: 1, arbitrary: nested },
  { weight: 1, arbitrary: value.map(asJson) },
  {
    weight: 1,
    arbitrary: fc.uint8Array({ maxLength: 200 }).map((b) => Buffer.from(b).toString("latin1")),
  },
);

const POW = "/api/v1/pow";
/**
 * Paths with the methods by which nothing that is sent there can be a command: bodies of `init` are
 * broken, and those that take none are not POSTed to.
 */
const ASKED = [
  ...["/status", "/status?since=1&limit=2", "/status?since=-1", "/status?limit=x"].map(
    (p) => POW + p,
  ),
  ...[
    "/health",
    "/livez",
    "/readyz",
    "/version",
    "/metrics",
    "/openapi.json",
    "/docs",
    "/v1/models",
    "/api/v1/node/info",
    "/api/v1/node/history",
    "/api/v1/node/history?seconds=0",
    "/api/v1/node/events?since=1",
  ],
  ...[
    "/",
    "/%zz",
    "/..%2f..%2fetc",
    "//",
    "/trpc",
    "/trpc/",
    "/api/v1/pow/",
    "*",
    "/v1/chat/completions",
  ],
  ...["/trpc/pow.status", "/trpc/pow.status,pow.status?batch=1", "/trpc/node.info", "/trpc/nope"],
  ...["/trpc/pow.onStatus", "/trpc/pow.onValidNonces"],
  ...["/trpc/pow.stop", "/trpc/pow.init", "/trpc/pow.phaseGenerate", "/trpc/constructor.name"],
];
const queries = fc.oneof(
  fc.constant(""),
  body.map((b) => `?batch=1&input=${encodeURIComponent(b.replace(/[\ud800-\udfff]/g, "?"))}`),
  text.map((t) => `?${encodeURIComponent(t.replace(/[\ud800-\udfff]/g, "?"))}`),
);
const asked = fc
  .tuple(
    fc.constantFrom("GET", "HEAD", "OPTIONS", "TRACE", "BREW"),
    fc.constantFrom(...ASKED),
    queries,
  )
  .map(([method, path, query]) => ({
    method,
    path: path.includes("?") ? path : path + query,
    body: null,
  }));
const told = fc
  .tuple(
    fc.constantFrom("POST", "POST", "POST", "PUT", "PATCH", "DELETE"),
    fc.constantFrom(
      ...[`${POW}/init`, `${POW}/init/generate`, `${POW}/init/validate`, `${POW}/validate`],
      ...["/trpc/pow.init", "/trpc/pow.initGenerate", "/trpc/pow.validate", "/trpc/pow.status"],
      ...["/trpc/pow.init,pow.validate?batch=1", "/v1/chat/completions", "/nope"],
    ),
    body,
  )
  .map(([method, path, sent]) => ({ method, path, body: sent }));

const types = fc.constantFrom(
  ...["application/json", "application/json", "text/plain", "application/x-www-form-urlencoded"],
  ...["application/json; charset=utf-16", "", "nonsense"],
);
const headers = fc.array(
  fc.constantFrom(
    ...[
      "Origin: https://evil.example",
      "Host: evil.example",
      "X-Request-Id: a\tb",
      "Expect: 100-continue",
    ],
    ...[
      "Upgrade: h2c",
      "Transfer-Encoding: gzip",
      "Content-Length: 5",
      "Last-Event-Id: x:1",
      "Cookie: a",
    ],
    ...[
      "Accept: text/event-stream",
      "X-Forwarded-For: 1.2.3.4",
      "trpc-accept: application/jsonl",
      "A B: c",
    ],
  ),
  { maxLength: 2 },
);

/** How a request's bytes are sent. */
const manner = fc.record({
  /** Bytes of the head that come alone; the rest comes later. */
  cut: fc.option(fc.nat(200), { nil: null }),
  /** How many bytes the length says more, or less, than there are. */
  lie: fc.oneof(
    { weight: 8, arbitrary: fc.constant(0) },
    { weight: 1, arbitrary: fc.integer({ min: -3, max: 50 }) },
  ),
  chunked: fc.boolean(),
  /** What becomes of the connection when all is sent. */
  end: fc.constantFrom("wait", "wait", "wait", "half-close", "destroy"),
});

/** One connection's bytes: one request, or some of them behind one another. */
export const connection = fc
  .tuple(
    fc.array(fc.tuple(fc.oneof(asked, told, askedOfModels), types, headers), {
      minLength: 1,
      maxLength: 4,
    }),
    manner,
  )
  .map(([requests, how]) => ({
    requests: requests.length,
    bytes: Buffer.concat(requests.map((each, i) => bytesOf(each, how, i === requests.length - 1))),
    cut: how.cut,
    end: how.end,
  }));

function bytesOf([{ method, path, body: sent }, type, more], { lie, chunked }, isLast) {
  const payload = sent === null ? null : Buffer.from(sent);
  const lines = [`${method} ${path} HTTP/1.1`, "Host: 127.0.0.1", ...more];
  if (isLast) lines.push("Connection: close");
  if (payload === null) return Buffer.from(`${lines.join("\r\n")}\r\n\r\n`);
  if (type !== "") lines.push(`Content-Type: ${type}`);
  if (chunked) {
    const size = (payload.length + Math.min(0, lie)).toString(16);
    const head = `${lines.join("\r\n")}\r\nTransfer-Encoding: chunked\r\n\r\n${size}\r\n`;
    return Buffer.concat([Buffer.from(head), payload, Buffer.from("\r\n0\r\n\r\n")]);
  }
  lines.push(`Content-Length: ${Math.max(0, payload.length + lie)}`);
  return Buffer.concat([Buffer.from(`${lines.join("\r\n")}\r\n\r\n`), payload]);
}

const call = fc
  .record({
    id: fc.oneof(fc.nat(100), fc.constant(null), text, fc.constant({})),
    jsonrpc: fc.constantFrom("2.0", undefined, 1),
    method: fc.constantFrom(
      "query",
      "mutation",
      "subscription",
      "subscription.stop",
      "nope",
      1,
      null,
    ),
    params: fc.oneof(
      fc.record({
        path: fc.constantFrom(
          "pow.status",
          "node.info",
          "pow.onStatus",
          "pow.onValidNonces",
          "nope",
          "__proto__.a",
        ),
        input: value,
        lastEventId: text,
      }),
      value,
    ),
  })
  .map((message) => JSON.stringify(message));

/** One WebSocket's messages. */
export const messages = fc.array(
  fc.oneof(
    { weight: 4, arbitrary: call },
    {
      weight: 1,
      arbitrary: fc.array(call, { maxLength: 40 }).map((calls) => `[${calls.join(",")}]`),
    },
    { weight: 1, arbitrary: body },
    { weight: 1, arbitrary: fc.constantFrom("PING", "PONG", "", "[]", "null") },
  ),
  { minLength: 1, maxLength: 6 },
);

/** Bodies of a round: so few that the same one comes again, and another of the same block. */
const round = fc
  .record({
    block_hash: fc.constantFrom("a", "b"),
    block_height: fc.constantFrom(1, 2),
    public_key: fc.constantFrom("k"),
    r_target: fc.constantFrom(1.35, 1.4),
    place: fc.constantFrom(null, [-1, -1], [0, 2], [1, 2]),
    length: fc.constantFrom("none", "new", "older"),
    more: fc.constantFrom(null, "__proto__", "unknown"),
  })
  .map(({ place, length, more, ...body }) => ({
    ...body,
    ...(place && { node_id: place[0], node_count: place[1] }),
    ...(length === "new" && { seq_len: 8 }),
    ...(length === "older" && { params: { seq_len: 8 } }),
    ...(more && JSON.parse(`{"${more}":{"state":"GENERATING"}}`)),
  }));
const spoilt = fc
  .tuple(
    round,
    fc.constantFrom("block_hash", "block_height", "public_key", "r_target"),
    fc.constantFrom(null, [], {}, true, undefined),
  )
  .map(([whole, field, put]) => ({ ...whole, [field]: put }));

/** Likewise of artifacts, the model's name among the fields that may be wrong. */
const artifactRound = fc.record({
  block_hash: fc.constantFrom("a", "b"),
  block_height: fc.constantFrom(1, 2),
  public_key: fc.constantFrom("k"),
  node_id: fc.constantFrom(0, 1),
  node_count: fc.constantFrom(2),
  batch_size: fc.constantFrom(1, 32),
  params: fc
    .constantFrom("proofmill-demo", "proofmill-demo", "proofmill-demo", "another")
    .map((model) => ({ model, seq_len: 4, k_dim: 12 })),
});
const spoiltArtifacts = fc
  .tuple(
    artifactRound,
    fc.constantFrom("block_hash", "block_height", "public_key", "node_count"),
    fc.constantFrom(null, [], {}, true, undefined),
  )
  .map(([whole, field, put]) => ({ ...whole, [field]: put }));
const ofArtifacts = (kind, beside) =>
  fc.oneof(
    {
      weight: 4,
      arbitrary: artifactRound.map((body) => ({
        kind,
        body: { ...body, ...beside },
        isValid: true,
      })),
    },
    {
      weight: 1,
      arbitrary: spoiltArtifacts.map((body) => ({
        kind,
        body: { ...body, ...beside },
        isValid: false,
      })),
    },
  );

/** A command to a round of distances, by one of the doors. */
const ofDistances = fc.record({
  door: fc.constantFrom("rest", "trpc"),
  command: fc.oneof(
    {
      weight: 3,
      arbitrary: fc
        .constantFrom("phase/generate", "phase/validate", "stop")
        .map((kind) => ({ kind })),
    },
    {
      weight: 4,
      arbitrary: fc
        .tuple(fc.constantFrom("init", "init/generate", "init/validate"), round)
        .map(([kind, sent]) => ({ kind, body: sent, isValid: true })),
    },
    {
      weight: 1,
      arbitrary: fc
        .tuple(fc.constantFrom("init", "init/generate", "init/validate"), spoilt)
        .map(([kind, sent]) => ({ kind, body: sent, isValid: false })),
    },
  ),
});

/** A command by one of the doors, to a round of either protocol, or to the model beside it. */
export const command = fc.oneof(
  { weight: 3, arbitrary: ofDistances },
  {
    weight: 2,
    arbitrary: fc.record({
      door: fc.constantFrom("rest", "trpc", "mlnode"),
      command: fc.oneof(
        { weight: 3, arbitrary: ofArtifacts("begin", {}) },
        { weight: 1, arbitrary: ofArtifacts("job", { nonces: [1, 2] }) },
      ),
    }),
  },
  {
    weight: 4,
    arbitrary: fc.record({
      door: fc.constant("mlnode"),
      command: fc.constantFrom(
        { kind: "stop" },
        { kind: "down" },
        { kind: "up" },
        { kind: "chat" },
      ),
    }),
  },
);
