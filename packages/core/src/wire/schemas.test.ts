import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { z } from "zod";
import { BODY, CONFIG, issuesOf } from "../test-support.ts";
import { MAX_ISSUES } from "./fields.ts";
import { parseWith } from "./issues.ts";
import { InitRequest, ProofBatch, Status, StatusPage, ValidateAnswer } from "./schemas.ts";

const schema = InitRequest({
  defaults: { batch_size: 32, seq_len: 256 },
  max_seq_len: 1024,
});
const parse = (body: unknown) => parseWith(schema, body, "body");
const PROOF = {
  public_key: "node1",
  block_hash: "abc123",
  block_height: 100,
  nonces: [0, 1, 2],
  dist: [0.3, 0.4, 0.5],
  node_id: 0,
};

const REFUSED: [fields: object, field: string, type: string, msg: string][] = [
  [{ block_hash: undefined }, "block_hash", "missing", "Field required"],
  [{ block_hash: 5 }, "block_hash", "string_type", "Input should be a valid string"],
  [{ block_hash: null }, "block_hash", "string_type", "Input should be a valid string"],
  [{ block_hash: "" }, "block_hash", "string_too_short", "String should have at least 1 character"],
  [
    { block_hash: "x".repeat(1025) },
    "block_hash",
    "string_too_long",
    "String should have at most 1024 characters",
  ],
  [
    { public_key: "é".repeat(513) },
    "public_key",
    "string_too_long",
    "String should have at most 1024 bytes",
  ],
  [
    { public_key: "a\ud800b" },
    "public_key",
    "string_unicode",
    "Input should be a valid string, unable to parse raw data as a unicode string",
  ],
  [{ block_height: "100" }, "block_height", "int_type", "Input should be a valid integer"],
  [{ block_height: true }, "block_height", "int_type", "Input should be a valid integer"],
  [{ block_height: null }, "block_height", "int_type", "Input should be a valid integer"],
  [
    { block_height: 1.5 },
    "block_height",
    "int_from_float",
    "Input should be a valid integer, got a number with a fractional part",
  ],
  [
    { block_height: -1 },
    "block_height",
    "greater_than_equal",
    "Input should be greater than or equal to 0",
  ],
  [
    { block_height: 2 ** 53 },
    "block_height",
    "less_than_equal",
    "Input should be less than or equal to 9007199254740991",
  ],
  [
    { block_height: Number.POSITIVE_INFINITY },
    "block_height",
    "finite_number",
    "Input should be a finite number",
  ],
  [{ r_target: "1.4" }, "r_target", "float_type", "Input should be a valid number"],
  [{ r_target: false }, "r_target", "float_type", "Input should be a valid number"],
  [
    { r_target: Number.POSITIVE_INFINITY },
    "r_target",
    "finite_number",
    "Input should be a finite number",
  ],
  [{ r_target: Number.NaN }, "r_target", "finite_number", "Input should be a finite number"],
  [
    { fraud_threshold: 1.01 },
    "fraud_threshold",
    "less_than_equal",
    "Input should be less than or equal to 1",
  ],
  [
    { fraud_threshold: -0.1 },
    "fraud_threshold",
    "greater_than_equal",
    "Input should be greater than or equal to 0",
  ],
  [{ fraud_threshold: null }, "fraud_threshold", "float_type", "Input should be a valid number"],
  [{ node_id: -2 }, "node_id", "greater_than_equal", "Input should be greater than or equal to -1"],
  [
    { node_count: 0 },
    "node_count",
    "value_error",
    "Value error, node_count must be -1 or at least 1",
  ],
  [
    { node_id: 3, node_count: 3 },
    "node_id",
    "value_error",
    "Value error, node_id must be less than node_count",
  ],
  [{ seq_len: 0 }, "seq_len", "greater_than_equal", "Input should be greater than or equal to 1"],
  [{ seq_len: 1025 }, "seq_len", "less_than_equal", "Input should be less than or equal to 1024"],
  [
    { seq_len: 2 ** 60 },
    "seq_len",
    "less_than_equal",
    "Input should be less than or equal to 1024",
  ],
  [{ seq_len: null }, "seq_len", "int_type", "Input should be a valid integer"],
  [
    { batch_size: 1025 },
    "batch_size",
    "less_than_equal",
    "Input should be less than or equal to 1024",
  ],
  [{ callback_url: 5 }, "callback_url", "string_type", "Input should be a valid string"],
  [{ callback_url: "nonsense" }, "callback_url", "url_parsing", "Input should be a valid URL"],
  [
    { callback_url: "ftp://a/" },
    "callback_url",
    "url_scheme",
    "URL scheme should be 'http' or 'https'",
  ],
  [
    { callback_url: "http://0xa9fea9fe/latest" },
    "callback_url",
    "value_error",
    "Value error, this address is never called",
  ],
  ...["http://user:pw@host/", "http://user@host/", "http://:pw@host/"].map(
    (callback_url): [object, string, string, string] => [
      { callback_url },
      "callback_url",
      "value_error",
      "Value error, credentials in an address are not sent: put a token into its query",
    ],
  ),
  [{ url: null }, "url", "string_type", "Input should be a valid string"],
  [{ url: "http://[fe80::1]/" }, "url", "value_error", "Value error, this address is never called"],
  [{ params: [] }, "params", "dict_type", "Input should be a valid dictionary"],
  [{ params: null }, "params", "dict_type", "Input should be a valid dictionary"],
];

describe("InitRequest", () => {
  it("fills in defaults and drops unknown fields", () => {
    const { node_id, node_count, ...rest } = BODY;
    expect(parse({ ...rest, model: "x", params: { dim: 4 } })).toEqual({
      ...CONFIG,
      node_id: -1,
      node_count: -1,
    });
    expect(parse({ ...BODY, node_id, node_count })).toEqual(CONFIG);
  });

  it("reads older callers' url and params.seq_len; the new names win", () => {
    const older = { url: "http://old/", params: { seq_len: 16 } };
    expect(parse({ ...BODY, ...older })).toMatchObject({
      callback_url: "http://old/",
      seq_len: 16,
    });
    const both = { ...older, callback_url: "http://new/", seq_len: 64 };
    expect(parse({ ...BODY, ...both })).toMatchObject({
      callback_url: "http://new/",
      seq_len: 64,
    });
    expect(parse({ ...BODY, ...older, callback_url: null })).toMatchObject({ callback_url: null });
    expect(parse({ ...BODY, ...both })).not.toHaveProperty("url");
  });

  it("checks both names where both are there", () => {
    const body = {
      ...BODY,
      url: 5,
      callback_url: "http://new/",
      seq_len: 64,
      params: { seq_len: 0 },
    };
    expect(issuesOf(() => parse(body)).map((issue) => [issue.loc, issue.type])).toEqual([
      [["body", "url"], "string_type"],
      [["body", "params", "seq_len"], "greater_than_equal"],
    ]);
  });

  it("accepts the ends of every range", () => {
    for (const fields of [
      { block_height: 0 },
      { block_height: Number.MAX_SAFE_INTEGER },
      { r_target: -1e308 },
      { fraud_threshold: 0 },
      { fraud_threshold: 1 },
      { node_id: -1, node_count: -1 },
      { node_id: 5, node_count: -1 },
      { node_id: -1, node_count: 1 },
      { node_id: 6, node_count: 7 },
      { seq_len: 1 },
      { seq_len: 1024 },
      { batch_size: 1 },
      { batch_size: 1024 },
      { block_hash: "x".repeat(1024) },
      { public_key: "é".repeat(512) },
      { public_key: "🧊".repeat(256) },
      { callback_url: null },
      { callback_url: "https://aggregator:9000/pow?x=1" },
      { callback_url: "http://127.0.0.1:1/" },
    ]) {
      expect(parse({ ...BODY, ...fields })).toMatchObject(fields);
    }
  });

  it("takes −0 as 0", () => {
    const parsed = parse({ ...BODY, block_height: -0, r_target: -0, node_id: -0 });
    expect([parsed.block_height, parsed.r_target, parsed.node_id]).toEqual([0, 0, 0]);
  });

  it.each(REFUSED.map(([fields, field, type, msg]) => [field, type, msg, fields] as const))(
    "refuses %s with %s: %s",
    (field, type, msg, fields) => {
      expect(issuesOf(() => parse({ ...BODY, ...fields }))).toMatchObject([
        { type, msg, loc: ["body", field] },
      ]);
    },
  );

  it("reports every field of a body, in order", () => {
    expect(
      issuesOf(() => parse({})).map((issue) => [issue.loc[1], issue.type, issue.input]),
    ).toEqual(
      ["block_hash", "block_height", "public_key", "r_target"].map((name) => [
        name,
        "missing",
        null,
      ]),
    );
  });

  it("is unharmed by keys of the prototype", () => {
    const body = JSON.parse(
      `{"__proto__": {"block_hash": "evil"}, "constructor": 1, "toString": 2, "block_height": 1}`,
    );
    expect(issuesOf(() => parse(body)).map((issue) => issue.loc[1])).toEqual([
      "block_hash",
      "public_key",
      "r_target",
    ]);
    expect(parse({ ...body, ...BODY })).toEqual(CONFIG);
    expect(({} as Record<string, unknown>).block_hash).toBeUndefined();
  });

  it("has no bound on seq_len without a model", () => {
    const open = InitRequest({ defaults: { batch_size: 8, seq_len: 16 } });
    expect(open.parse({ ...BODY, seq_len: 1e6 })).toMatchObject({ seq_len: 1e6, batch_size: 8 });
  });
});

describe("ProofBatch", () => {
  const parseProof = (fields: object) => parseWith(ProofBatch, { ...PROOF, ...fields }, "body");

  it("accepts a proof, an empty one and the greatest nonce", () => {
    expect(parseProof({})).toEqual(PROOF);
    expect(parseProof({ nonces: [], dist: [] })).toMatchObject({ nonces: [] });
    expect(parseProof({ nonces: [Number.MAX_SAFE_INTEGER], dist: [-0] })).toMatchObject({
      nonces: [9007199254740991],
      dist: [0],
    });
  });

  it.each<[object, (string | number)[], string]>([
    [{ nonces: undefined }, ["nonces"], "missing"],
    [{ nonces: {} }, ["nonces"], "list_type"],
    [{ nonces: null }, ["nonces"], "list_type"],
    [{ nonces: [0, "1", 2] }, ["nonces", 1], "int_type"],
    [{ nonces: [0, 1, true] }, ["nonces", 2], "int_type"],
    [{ nonces: [0.5, 1, 2] }, ["nonces", 0], "int_from_float"],
    [{ nonces: [-1, 1, 2] }, ["nonces", 0], "greater_than_equal"],
    [{ nonces: [2 ** 53, 1, 2] }, ["nonces", 0], "less_than_equal"],
    [{ nonces: [0, 1, 0] }, ["nonces", 2], "value_error"],
    [{ nonces: [0, 1, -0] }, ["nonces", 2], "value_error"],
    [{ nonces: [0, 1] }, ["dist"], "value_error"],
    [{ dist: [0, 1, null] }, ["dist", 2], "float_type"],
    [{ dist: [0, 1, Number.POSITIVE_INFINITY] }, ["dist", 2], "finite_number"],
    [{ node_id: undefined }, ["node_id"], "missing"],
  ])("refuses %j", (fields, path, type) => {
    expect(issuesOf(() => parseProof(fields))).toMatchObject([{ type, loc: ["body", ...path] }]);
  });

  it("refuses millions of wrong items at no great cost", () => {
    const nonces = new Array<unknown>(5_000_000).fill("x");
    const before = performance.now();
    const issues = issuesOf(() => parseProof({ nonces }));
    expect(issues).toHaveLength(MAX_ISSUES);
    expect(performance.now() - before).toBeLessThan(200);
  });
});

describe("StatusPage", () => {
  it("takes since and limit", () => {
    expect(StatusPage.parse({ since: 0, limit: 1, other: "x" })).toEqual({ since: 0, limit: 1 });
  });
});

describe("JSON Schema", () => {
  it("can be made of every object, with ranges, defaults and examples", () => {
    const make = (of: z.ZodType, io: "input" | "output") =>
      z.toJSONSchema(of, { io, unrepresentable: "any" });
    expect(make(schema, "input")).toMatchObject({
      required: ["block_hash", "block_height", "public_key", "r_target"],
      properties: {
        block_hash: { type: "string", minLength: 1, maxLength: 1024 },
        seq_len: { type: "integer", minimum: 1, maximum: 1024, default: 256 },
        node_id: { type: "integer", minimum: -1, default: -1 },
      },
    });
    expect(make(ProofBatch, "input")).toMatchObject({
      properties: {
        nonces: { type: "array", items: { type: "integer", minimum: 0 } },
        dist: { type: "array", items: { type: "number" } },
      },
    });
    expect(make(Status, "output")).toMatchObject({ properties: { state: { type: "string" } } });
    expect(make(ValidateAnswer, "output")).toMatchObject({
      properties: { valid: { type: "array" } },
    });
  });
});

describe("schemas.ts", () => {
  it("is free of Node, with everything it imports", () => {
    const seen = new Set<string>();
    const visit = (file: string) => {
      if (seen.has(file)) return;
      seen.add(file);
      const source = readFileSync(new URL(file, import.meta.url), "utf8");
      for (const [, imported = ""] of source.matchAll(/^(?:import|export) .*from "(.+)";$/gm)) {
        if (imported.startsWith(".")) visit(imported);
        else expect(imported).toBe("zod");
      }
    };
    for (const file of ["./schemas.ts", "./errors.ts", "./issues.ts"]) visit(file);
    expect(seen).toContain("./address.ts");
  });
});
