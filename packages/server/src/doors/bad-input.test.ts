/** Malformed requests over the eight paths: each is answered exactly so, and changes nothing. */
import type { FastifyInstance, InjectOptions } from "fastify";
import { describe, expect, test } from "vitest";
import { INIT, INIT_GENERATE, PROOF, testServer } from "../test-support.ts";

const PREFIX = "/api/v1/pow";
const INITS = ["/init", "/init/generate", "/init/validate"];
const BODIES = [...INITS, "/validate"];
const BODYLESS = ["/phase/generate", "/phase/validate", "/stop"];

/** One entry of a 422: type, place below the body, message, what was sent. */
type Issue = [type: string, at: (string | number)[], msg: string, input: unknown];
type Answer = Issue[] | string;

const MISSING = "Field required";
const STRING = "Input should be a valid string";
const INTEGER = "Input should be a valid integer";
const NUMBER = "Input should be a valid number";
const FINITE = "Input should be a finite number";
const FRACTION = `${INTEGER}, got a number with a fractional part`;
const OBJECT = "Input should be a valid dictionary or object to extract fields from";
const UNICODE = `${STRING}, unable to parse raw data as a unicode string`;
const URL_FAULT = "Input should be a valid URL";
const SCHEME = "URL scheme should be 'http' or 'https'";
const NEVER_CALLED = "Value error, this address is never called";
const least = (minimum: number) => `Input should be greater than or equal to ${minimum}`;
const most = (maximum: number) => `Input should be less than or equal to ${maximum}`;
const SAFE = Number.MAX_SAFE_INTEGER;

type Method = NonNullable<InjectOptions["method"]>;

interface BadRequest {
  method?: Method;
  path: string;
  body?: string | Buffer;
  /** JSON's by default. */
  type?: string;
  status?: number;
  answer: Answer;
  /** Of the places in a 422. */
  root?: "query";
}

/** An init body with this JSON text in a field's place; null: without the field. */
function initWith(field: string, text: string | null, more = ""): string {
  return bodyWith(INIT_GENERATE, field, text, more);
}

/** A proof, likewise. */
function proofWith(field: string, text: string | null, more = ""): string {
  return bodyWith(PROOF, field, text, more);
}

function bodyWith(body: object, field: string, text: string | null, more: string): string {
  const fields = Object.entries(body)
    .filter(([name]) => name !== field)
    .map(([name, value]) => `${JSON.stringify(name)}: ${JSON.stringify(value)}`);
  if (text !== null) fields.push(`${JSON.stringify(field)}: ${text}`);
  return `{${fields.join(", ")}${more}}`;
}

/** Field, JSON text in its place (null: absent), and what is said of it. */
type FieldCase = [field: string, text: string | null, ...issue: [string, string, unknown]];

const INIT_CASES: FieldCase[] = [
  // Absent and null.
  ["block_hash", null, "missing", MISSING, null],
  ["block_height", null, "missing", MISSING, null],
  ["public_key", null, "missing", MISSING, null],
  ["r_target", null, "missing", MISSING, null],
  ["block_hash", "null", "string_type", STRING, null],
  ["block_height", "null", "int_type", INTEGER, null],
  ["r_target", "null", "float_type", NUMBER, null],
  ["fraud_threshold", "null", "float_type", NUMBER, null],
  ["node_id", "null", "int_type", INTEGER, null],
  ["seq_len", "null", "int_type", INTEGER, null],
  ["url", "null", "string_type", STRING, null],
  // Types: nothing is coerced.
  ["block_hash", "7", "string_type", STRING, 7],
  ["block_hash", "true", "string_type", STRING, true],
  ["public_key", '["a"]', "string_type", STRING, '["a"]'],
  ["public_key", '{"a": 1}', "string_type", STRING, '{"a":1}'],
  ["block_height", '"100"', "int_type", INTEGER, "100"],
  ["block_height", "true", "int_type", INTEGER, true],
  ["block_height", "[100]", "int_type", INTEGER, "[100]"],
  ["r_target", '"0.5"', "float_type", NUMBER, "0.5"],
  ["r_target", "false", "float_type", NUMBER, false],
  ["r_target", "{}", "float_type", NUMBER, "{}"],
  ["fraud_threshold", '""', "float_type", NUMBER, ""],
  ["node_count", '"1"', "int_type", INTEGER, "1"],
  ["batch_size", "[]", "int_type", INTEGER, "[]"],
  ["callback_url", "7", "string_type", STRING, 7],
  ["params", "[]", "dict_type", "Input should be a valid dictionary", "[]"],
  ["params", '"x"', "dict_type", "Input should be a valid dictionary", "x"],
  ["params", "null", "dict_type", "Input should be a valid dictionary", null],
  // Fractions, exponents and huge numbers.
  ["block_height", "1.5", "int_from_float", FRACTION, 1.5],
  ["block_height", "1e-1", "int_from_float", FRACTION, 0.1],
  ["node_id", "-0.5", "int_from_float", FRACTION, -0.5],
  ["block_height", "1e400", "finite_number", FINITE, "Infinity"],
  ["r_target", "1e400", "finite_number", FINITE, "Infinity"],
  ["r_target", "-1e400", "finite_number", FINITE, "-Infinity"],
  ["fraud_threshold", "1e309", "finite_number", FINITE, "Infinity"],
  ["r_target", "9".repeat(400), "finite_number", FINITE, "Infinity"],
  ["block_height", "9007199254740992", "less_than_equal", most(SAFE), 2 ** 53],
  ["block_height", "1e21", "less_than_equal", most(SAFE), 1e21],
  ["block_height", "-9007199254740993", "greater_than_equal", least(0), -(2 ** 53)],
  ["seq_len", "9007199254740992", "less_than_equal", most(1024), 2 ** 53],
  ["block_hash", "1e400", "string_type", STRING, "Infinity"],
  // Ranges.
  ["block_height", "-1", "greater_than_equal", least(0), -1],
  ["fraud_threshold", "-0.01", "greater_than_equal", least(0), -0.01],
  ["fraud_threshold", "1.0000001", "less_than_equal", most(1), 1.0000001],
  ["node_id", "-2", "greater_than_equal", least(-1), -2],
  ["node_id", "1", "value_error", "Value error, node_id must be less than node_count", 1],
  ["node_count", "0", "value_error", "Value error, node_count must be -1 or at least 1", 0],
  ["node_count", "-2", "greater_than_equal", least(-1), -2],
  ["batch_size", "0", "greater_than_equal", least(1), 0],
  ["batch_size", "-0", "greater_than_equal", least(1), 0],
  ["batch_size", "1025", "less_than_equal", most(1024), 1025],
  ["seq_len", "0", "greater_than_equal", least(1), 0],
  ["seq_len", "1025", "less_than_equal", most(1024), 1025],
  // Strings.
  ["block_hash", '""', "string_too_short", "String should have at least 1 character", ""],
  [
    "block_hash",
    JSON.stringify("x".repeat(1025)),
    "string_too_long",
    "String should have at most 1024 characters",
    "x".repeat(200),
  ],
  [
    "public_key",
    JSON.stringify("é".repeat(513)),
    "string_too_long",
    "String should have at most 1024 bytes",
    "é".repeat(200),
  ],
  ["block_hash", '"\\ud800"', "string_unicode", UNICODE, "\ud800"],
  ["public_key", '"a\\udc00b"', "string_unicode", UNICODE, "a\udc00b"],
  ["public_key", '"\\udc00\\ud800"', "string_unicode", UNICODE, "\udc00\ud800"],
  // Addresses.
  ["callback_url", '""', "url_parsing", URL_FAULT, ""],
  ["callback_url", '"nowhere"', "url_parsing", URL_FAULT, "nowhere"],
  ["callback_url", '"http://"', "url_parsing", URL_FAULT, "http://"],
  ["callback_url", '"http://a:99999/"', "url_parsing", URL_FAULT, "http://a:99999/"],
  ["callback_url", '"ftp://a/b"', "url_scheme", SCHEME, "ftp://a/b"],
  ["url", '"file:///etc/passwd"', "url_scheme", SCHEME, "file:///etc/passwd"],
  ["url", '"javascript:alert(1)"', "url_scheme", SCHEME, "javascript:alert(1)"],
  [
    "callback_url",
    '"http://169.254.169.254/"',
    "value_error",
    NEVER_CALLED,
    "http://169.254.169.254/",
  ],
  ["url", '"http://0xa9fea9fe/"', "value_error", NEVER_CALLED, "http://0xa9fea9fe/"],
  [
    "url",
    '"http://0251.0376.0251.0376/"',
    "value_error",
    NEVER_CALLED,
    "http://0251.0376.0251.0376/",
  ],
  [
    "callback_url",
    '"http://[::ffff:a9fe:a9fe]/"',
    "value_error",
    NEVER_CALLED,
    "http://[::ffff:a9fe:a9fe]/",
  ],
  ["callback_url", '"http://[fe80::1]/"', "value_error", NEVER_CALLED, "http://[fe80::1]/"],
  ["callback_url", '"http://0/"', "value_error", NEVER_CALLED, "http://0/"],
  ["callback_url", '"http://224.0.0.1/"', "value_error", NEVER_CALLED, "http://224.0.0.1/"],
  ["callback_url", '"http://\\ud800/"', "url_parsing", URL_FAULT, "http://\ud800/"],
];

const PROOF_CASES: FieldCase[] = [
  ["public_key", null, "missing", MISSING, null],
  ["block_hash", null, "missing", MISSING, null],
  ["block_height", null, "missing", MISSING, null],
  ["nonces", null, "missing", MISSING, null],
  ["dist", null, "missing", MISSING, null],
  ["node_id", null, "missing", MISSING, null],
  ["public_key", "7", "string_type", STRING, 7],
  ["public_key", '""', "string_too_short", "String should have at least 1 character", ""],
  ["public_key", '"\\udfff"', "string_unicode", UNICODE, "\udfff"],
  ["block_height", '"100"', "int_type", INTEGER, "100"],
  ["block_height", "-1", "greater_than_equal", least(0), -1],
  ["node_id", "0.5", "int_from_float", FRACTION, 0.5],
  ["node_id", "-2", "greater_than_equal", least(-1), -2],
  ["nonces", "null", "list_type", "Input should be a valid list", null],
  ["nonces", "7", "list_type", "Input should be a valid list", 7],
  ["nonces", '"012"', "list_type", "Input should be a valid list", "012"],
  [
    "nonces",
    '{"0": 0, "length": 1}',
    "list_type",
    "Input should be a valid list",
    '{"0":0,"length":1}',
  ],
  ["dist", "{}", "list_type", "Input should be a valid list", "{}"],
  ["dist", "null", "list_type", "Input should be a valid list", null],
  ["dist", "[0.3, 0.4]", "value_error", "Value error, 3 nonces but 2 distances", "[0.3,0.4]"],
  ["nonces", "[]", "value_error", "Value error, 0 nonces but 3 distances", "[0.3,0.4,0.6]"],
];

/** In the lists, by the index of the item. */
const ITEM_CASES: ["nonces" | "dist", text: string, index: number, string, string, unknown][] = [
  ["nonces", '[0, "1", 2]', 1, "int_type", INTEGER, "1"],
  ["nonces", "[0, null, 2]", 1, "int_type", INTEGER, null],
  ["nonces", "[0, true, 2]", 1, "int_type", INTEGER, true],
  ["nonces", "[0, [1], 2]", 1, "int_type", INTEGER, "[1]"],
  ["nonces", "[0, 1.5, 2]", 1, "int_from_float", FRACTION, 1.5],
  ["nonces", "[0, 1, 1e400]", 2, "finite_number", FINITE, "Infinity"],
  ["nonces", "[-1, 1, 2]", 0, "greater_than_equal", least(0), -1],
  ["nonces", "[0, 1, 9007199254740992]", 2, "less_than_equal", most(SAFE), 2 ** 53],
  ["nonces", "[0, 1, 1e300]", 2, "less_than_equal", most(SAFE), 1e300],
  ["nonces", "[0, 1, 1]", 2, "value_error", "Value error, 1 is given twice", 1],
  ["nonces", "[0, 1, -0]", 2, "value_error", "Value error, 0 is given twice", 0],
  ["nonces", "[1, 2, 1.0]", 2, "value_error", "Value error, 1 is given twice", 1],
  ["dist", '[0.3, "0.4", 0.6]', 1, "float_type", NUMBER, "0.4"],
  ["dist", "[0.3, null, 0.6]", 1, "float_type", NUMBER, null],
  ["dist", "[0.3, false, 0.6]", 1, "float_type", NUMBER, false],
  ["dist", "[0.3, {}, 0.6]", 1, "float_type", NUMBER, "{}"],
  ["dist", "[0.3, 0.4, -1e400]", 2, "finite_number", FINITE, "-Infinity"],
];

const DEEP = 100_000;
const deep = (open: string, close: string) => open.repeat(DEEP) + close.repeat(DEEP);

/** No body that any of the four paths reads: name, bytes, type, message, what comes back of them. */
const WHOLE_CASES: [string, string | Buffer | undefined, string, string, unknown][] = [
  ["no body", undefined, "missing", MISSING, null],
  ["an empty body", "", "missing", MISSING, null],
  ["null", "null", "missing", MISSING, null],
  ["white space", " \n", "json_invalid", "JSON decode error", " \n"],
  ["a list", "[]", "model_attributes_type", OBJECT, "[]"],
  ["a string", '"x"', "model_attributes_type", OBJECT, "x"],
  ["a number", "7", "model_attributes_type", OBJECT, 7],
  ["a huge number", "1e400", "model_attributes_type", OBJECT, "Infinity"],
  ["true", "true", "model_attributes_type", OBJECT, true],
  [
    "an object that is cut",
    '{"block_hash": "a"',
    "json_invalid",
    "JSON decode error",
    '{"block_hash": "a"',
  ],
  ["two values", "{}{}", "json_invalid", "JSON decode error", "{}{}"],
  ["a comma at the end", '{"a": 1,}', "json_invalid", "JSON decode error", '{"a": 1,}'],
  ["single quotes", "{'a': 1}", "json_invalid", "JSON decode error", "{'a': 1}"],
  ["a comment", "{} // x", "json_invalid", "JSON decode error", "{} // x"],
  ["NaN", '{"r_target": NaN}', "json_invalid", "JSON decode error", '{"r_target": NaN}'],
  [
    "Infinity",
    '{"r_target": -Infinity}',
    "json_invalid",
    "JSON decode error",
    '{"r_target": -Infinity}',
  ],
  [
    "hexadecimal",
    '{"block_height": 0x64}',
    "json_invalid",
    "JSON decode error",
    '{"block_height": 0x64}',
  ],
  [
    "a leading zero",
    '{"block_height": 0100}',
    "json_invalid",
    "JSON decode error",
    '{"block_height": 0100}',
  ],
  [
    "a plus sign",
    '{"block_height": +1}',
    "json_invalid",
    "JSON decode error",
    '{"block_height": +1}',
  ],
  ["a bare point", '{"r_target": .5}', "json_invalid", "JSON decode error", '{"r_target": .5}'],
  [
    "a control character",
    '{"a": "\u0001"}',
    "json_invalid",
    "JSON decode error",
    '{"a": "\u0001"}',
  ],
  ["a broken escape", '{"a": "\\u12"}', "json_invalid", "JSON decode error", '{"a": "\\u12"}'],
  ["a NUL behind it", "{}\0", "json_invalid", "JSON decode error", "{}\0"],
  ["two byte order marks", "\ufeff\ufeff{}", "json_invalid", "JSON decode error", "\ufeff{}"],
  [
    "bytes that are no UTF-8",
    Buffer.from('{"a": "\xff"}', "latin1"),
    "json_invalid",
    "JSON decode error",
    '{"a": "\ufffd"}',
  ],
  [
    "a surrogate as UTF-8",
    Buffer.from('{"a": "\xed\xa0\x80"}', "latin1"),
    "json_invalid",
    "JSON decode error",
    '{"a": "\ufffd\ufffd\ufffd"}',
  ],
  ["UTF-16", Buffer.from("{}", "utf16le"), "json_invalid", "JSON decode error", "{\0}\0"],
  [
    "gzip",
    Buffer.from("\x1f\x8b\x08\x00", "latin1"),
    "json_invalid",
    "JSON decode error",
    "\x1f\ufffd\x08\0",
  ],
  ["deep lists", deep("[", "]"), "model_attributes_type", OBJECT, "[".repeat(200)],
  [
    "deep lists that do not end",
    "[".repeat(DEEP),
    "json_invalid",
    "JSON decode error",
    "[".repeat(200),
  ],
  [
    "deep objects that do not end",
    '{"a":'.repeat(DEEP),
    "json_invalid",
    "JSON decode error",
    '{"a":'.repeat(40),
  ],
];

/** Under these a body is text and no object. */
const OTHER_TYPES = [
  "text/plain",
  "application/x-www-form-urlencoded",
  "multipart/form-data",
  "application/jsonp",
  "application/xml",
  ";;;",
  "json",
];

const QUERY_CASES: [string, ...Issue][] = [
  ["since=-1", "greater_than_equal", ["since"], least(0), -1],
  ["since=x", "int_parsing", ["since"], `${INTEGER}, unable to parse string as an integer`, "x"],
  ["since=", "int_parsing", ["since"], `${INTEGER}, unable to parse string as an integer`, ""],
  [
    "since=1.5",
    "int_parsing",
    ["since"],
    `${INTEGER}, unable to parse string as an integer`,
    "1.5",
  ],
  [
    "since=1e3",
    "int_parsing",
    ["since"],
    `${INTEGER}, unable to parse string as an integer`,
    "1e3",
  ],
  [
    "since=%2B1",
    "int_parsing",
    ["since"],
    `${INTEGER}, unable to parse string as an integer`,
    "+1",
  ],
  ["since=9007199254740992", "less_than_equal", ["since"], most(SAFE), 2 ** 53],
  ["since=1&since=2", "int_type", ["since"], INTEGER, '["1","2"]'],
  ["limit=0", "greater_than_equal", ["limit"], least(1), 0],
  ["limit=-0", "greater_than_equal", ["limit"], least(1), 0],
  ["limit=%00", "int_parsing", ["limit"], `${INTEGER}, unable to parse string as an integer`, "\0"],
  [
    "limit=%ff",
    "int_parsing",
    ["limit"],
    `${INTEGER}, unable to parse string as an integer`,
    "%ff",
  ],
];

const over = Array.from({ length: 4097 }, (_, i) => i);
const TABLE: [string, BadRequest][] = [
  ...INITS.flatMap((path) =>
    INIT_CASES.map(([field, text, type, msg, input]): [string, BadRequest] => [
      `${path} ${field} ${text?.slice(0, 60) ?? "absent"}`,
      { path, body: initWith(field, text), answer: [[type, [field], msg, input]] },
    ]),
  ),
  ...PROOF_CASES.map(([field, text, type, msg, input]): [string, BadRequest] => [
    `/validate ${field} ${text ?? "absent"}`,
    {
      path: "/validate",
      body: proofWith(field, text),
      // Lengths that differ are said of the distances.
      answer: [[type, [type === "value_error" ? "dist" : field], msg, input]],
    },
  ]),
  ...ITEM_CASES.map(([field, text, index, type, msg, input]): [string, BadRequest] => [
    `/validate ${field} ${text}`,
    {
      path: "/validate",
      body: proofWith(field, text),
      answer: [[type, [field, index], msg, input]],
    },
  ]),
  ...BODIES.flatMap((path) =>
    WHOLE_CASES.map(([name, body, type, msg, input]): [string, BadRequest] => [
      `${path} ${name}`,
      { path, ...(body === undefined ? {} : { body }), answer: [[type, [], msg, input]] },
    ]),
  ),
  ...BODIES.flatMap((path) =>
    OTHER_TYPES.map((type): [string, BadRequest] => {
      const body = JSON.stringify(path === "/validate" ? PROOF : INIT_GENERATE);
      return [
        `${path} as ${type}`,
        { path, body, type, answer: [["model_attributes_type", [], OBJECT, body]] },
      ];
    }),
  ),
  ...QUERY_CASES.map(([query, ...issue]): [string, BadRequest] => [
    `/status?${query}`,
    { method: "GET", path: `/status?${query}`, answer: [issue], root: "query" },
  ]),
  // Several faults at once, in the order of the fields; at most 20 of a list.
  [
    "/init with everything wrong",
    {
      path: "/init",
      body: '{"block_height": "x", "r_target": null, "params": {"seq_len": 0}, "__proto__": 1}',
      answer: [
        ["missing", ["block_hash"], MISSING, null],
        ["int_type", ["block_height"], INTEGER, "x"],
        ["missing", ["public_key"], MISSING, null],
        ["float_type", ["r_target"], NUMBER, null],
        ["greater_than_equal", ["params", "seq_len"], least(1), 0],
      ],
    },
  ],
  [
    "/init with a good url behind a bad callback_url",
    {
      path: "/init",
      body: initWith("callback_url", '"x"', ', "url": "http://a/"'),
      answer: [["url_parsing", ["callback_url"], URL_FAULT, "x"]],
    },
  ],
  [
    "/init with a bad url behind a good callback_url",
    {
      path: "/init",
      body: initWith("callback_url", '"http://a/"', ', "url": "x"'),
      answer: [["url_parsing", ["url"], URL_FAULT, "x"]],
    },
  ],
  [
    "/init whose last of two equal keys is bad",
    {
      path: "/init",
      body: initWith("block_height", "100", ', "block_height": -1'),
      answer: [["greater_than_equal", ["block_height"], least(0), -1]],
    },
  ],
  [
    "/validate whose last of two equal keys is bad",
    {
      path: "/validate",
      body: proofWith("nonces", "[0, 1, 2]", ', "nonces": [7, 7, 7]'),
      answer: [
        ["value_error", ["nonces", 1], "Value error, 7 is given twice", 7],
        ["value_error", ["nonces", 2], "Value error, 7 is given twice", 7],
      ],
    },
  ],
  [
    "/validate with a thousand bad nonces",
    {
      path: "/validate",
      body: proofWith("nonces", `[${Array(1000).fill("-1").join()}]`),
      answer: Array.from({ length: 20 }, (_, i) => [
        "greater_than_equal",
        ["nonces", i],
        least(0),
        -1,
      ]),
    },
  ],
  // Sizes.
  ...BODIES.map((path): [string, BadRequest] => [
    `${path} over a mebibyte`,
    { path, body: `"${"x".repeat(2 ** 20)}"`, status: 413, answer: "Request body is too large" },
  ]),
  [
    "/validate with a nonce too many",
    {
      path: "/validate",
      body: JSON.stringify({ ...PROOF, nonces: over, dist: over }),
      status: 413,
      answer: "Too many nonces: 4097, at most 4096",
    },
  ],
  // Methods and paths.
  ...(["PUT", "PATCH", "DELETE", "OPTIONS"] as const).flatMap((method) =>
    [...BODIES, ...BODYLESS, "/status"].map((path): [string, BadRequest] => [
      `${method} ${path}`,
      { method, path, body: "{", status: 405, answer: "Method Not Allowed" },
    ]),
  ),
  ...[...BODIES, ...BODYLESS].map((path): [string, BadRequest] => [
    `GET ${path}`,
    { method: "GET", path, status: 405, answer: "Method Not Allowed" },
  ]),
  ["POST /status", { path: "/status", body: "{}", status: 405, answer: "Method Not Allowed" }],
  ...[
    "/",
    "/init/",
    "/INIT",
    "/init/nothing",
    "/phase",
    "/stop/../init/x",
    "/%zz",
    "/stop%00",
    "//init",
  ].map((path): [string, BadRequest] => [
    `POST ${path}`,
    { path, body: "{", status: 404, answer: "Not Found" },
  ]),
  // What a round forbids.
  [
    "another round of the same block",
    {
      path: "/init/generate",
      body: initWith("r_target", "0.25"),
      status: 400,
      answer: "Round already in progress",
    },
  ],
  [
    "/init during a search",
    { path: "/init", body: JSON.stringify(INIT), status: 400, answer: "Round already in progress" },
  ],
  [
    "a proof of another block",
    {
      path: "/validate",
      body: proofWith("block_hash", '"x"'),
      status: 400,
      answer: "Block hash mismatch",
    },
  ],
  [
    "a search without node_id",
    {
      path: "/init/generate",
      body: initWith("node_id", null),
      status: 400,
      answer: "Node ID and node count must be set",
    },
  ],
  [
    "a search without node_count",
    {
      path: "/init/generate",
      body: initWith("node_count", "-1"),
      status: 400,
      answer: "Node ID and node count must be set",
    },
  ],
];

async function send(app: FastifyInstance, request: BadRequest) {
  const { method = "POST", path, body, type = "application/json" } = request;
  const response = await app.inject({
    method,
    url: `${PREFIX}${path}`,
    ...(body === undefined ? {} : { payload: body, headers: { "content-type": type } }),
  });
  const { hint: _, ...answer } = response.json();
  return { status: response.statusCode, body: answer };
}

/** What the caller must get. */
function expected({ status = 422, answer, root = undefined }: BadRequest) {
  const detail =
    typeof answer === "string"
      ? answer
      : answer.map(([type, at, msg, input]) => ({
          type,
          loc: [root ?? "body", ...at],
          msg,
          input,
        }));
  return { status, body: { detail } };
}

test("the table is one of many", () => {
  expect(TABLE.length).toBeGreaterThan(400);
  expect(new Set(TABLE.map(([name]) => name)).size).toBe(TABLE.length);
});

test("in the middle of a search each is answered as the table says, and the round goes on", async () => {
  const server = await testServer();
  server.runner.hold();
  await server.post("/init/generate", INIT_GENERATE);
  await server.runner.started(0);
  const roundNow = () => {
    // The clock goes on.
    const { elapsed_seconds, rate_per_second, ...round } = server.service.status();
    return { ...round, jobs: server.runner.jobs.length, cancelled: server.runner.cancelled.length };
  };
  const before = roundNow();
  const got: Record<string, object> = {};
  for (const [name, request] of TABLE) {
    got[name] = { ...(await send(server.app, request)), round: roundNow() };
  }
  expect(got).toEqual(
    Object.fromEntries(
      TABLE.map(([name, request]) => [name, { ...expected(request), round: before }]),
    ),
  );
});

describe("without a round", () => {
  test.each([
    ["/validate", JSON.stringify(PROOF), 400, "No round configured"],
    ["/phase/generate", undefined, 400, "PoC not initialized"],
    ["/phase/validate", "{broken", 400, "PoC not initialized"],
    ["/init/generate", JSON.stringify(INIT), 400, "Node ID and node count must be set"],
  ])("%s", async (path, body, status, answer) => {
    const { app, service } = await testServer();
    const request = { path, status, answer, ...(body === undefined ? {} : { body }) };
    expect(await send(app, request)).toEqual(expected(request));
    expect(service.status().round_id).toBeNull();
  });
});

describe("what only looks wrong", () => {
  test.each([
    ["−0", initWith("block_height", "-0"), { block_height: 0 }],
    ["an exponent", initWith("block_height", "1e2"), { block_height: 100 }],
    ["a point and a zero", initWith("block_height", "100.0"), { block_height: 100 }],
    ["the greatest integer", initWith("block_height", String(SAFE)), { block_height: SAFE }],
    ["a number too small for a double", initWith("r_target", "1e-400"), { r_target: 0 }],
    ["a negative target", initWith("r_target", "-1"), { r_target: -1 }],
    [
      "two equal keys, the last of them good",
      initWith("block_height", '"x"', ', "block_height": 7'),
      { block_height: 7 },
    ],
    ["a byte order mark", `\ufeff${initWith("block_hash", '"b"')}`, { block_hash: "b" }],
    ["a surrogate pair", initWith("block_hash", '"\\ud83d\\ude00"'), { block_hash: "😀" }],
    [
      "1,024 bytes",
      initWith("block_hash", JSON.stringify("é".repeat(512))),
      { block_hash: "é".repeat(512) },
    ],
    ["a NUL in a string", initWith("block_hash", '"\\u0000"'), { block_hash: "\0" }],
    ["unknown fields", initWith("extra", deep("[", "]")), { block_hash: "hash1" }],
    [
      "a field of the prototype",
      initWith("__proto__", '{"block_hash": "x"}'),
      { block_hash: "hash1" },
    ],
  ])("%s", async (_name, body, round) => {
    const { app } = await testServer();
    const { status, body: answer } = await send(app, { path: "/init", body, answer: [] });
    expect(status).toBe(200);
    expect(answer.pow_status).toMatchObject(round);
  });
});
