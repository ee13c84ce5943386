import { describe, expect, it } from "vitest";
import { z } from "zod";
import { issuesOf } from "../test-support.ts";
import { invalidJson, parseWith } from "./issues.ts";

const schema = z.object({ name: z.string() });
const inputOf = (name: unknown) =>
  issuesOf(() => parseWith(z.object({ name: z.int() }), { name }, "body"))[0]?.input;

describe("parseWith", () => {
  it.each<[unknown, string, unknown]>([
    [undefined, "missing", null],
    [null, "missing", null],
    [[1, 2], "model_attributes_type", "[1,2]"],
    ["text", "model_attributes_type", "text"],
    [5, "model_attributes_type", 5],
    [true, "model_attributes_type", true],
  ])("refuses the body %j as a whole", (body, type, input) => {
    expect(issuesOf(() => parseWith(schema, body, "body"))).toMatchObject([
      { type, loc: ["body"], input },
    ]);
  });

  it("sends back what was sent, objects and arrays as JSON text", () => {
    expect(inputOf(1.5)).toBe(1.5);
    expect(inputOf(null)).toBe(null);
    expect(inputOf(undefined)).toBe(null);
    expect(inputOf(Number.POSITIVE_INFINITY)).toBe("Infinity");
    const value = { a: [1, "x\n", null, true, { b: -0.5 }], 'q"': {}, c: [] };
    expect(inputOf(value)).toBe(JSON.stringify(value));
  });

  it("cuts to 200 characters, never through a surrogate pair", () => {
    expect(inputOf("x".repeat(200))).toBe("x".repeat(200));
    expect(inputOf("x".repeat(201))).toBe("x".repeat(200));
    expect(inputOf("🧊".repeat(101))).toBe("🧊".repeat(100));
    expect(inputOf(`x${"🧊".repeat(101)}`)).toBe(`x${"🧊".repeat(99)}`);
    const long = new Array(1000).fill(7);
    expect(inputOf(long)).toBe(JSON.stringify(long).slice(0, 200));
    const inside = { key: "y".repeat(10_000) };
    expect(inputOf(inside)).toBe(JSON.stringify(inside).slice(0, 200));
  });

  it("does not overflow on a deep value", () => {
    const depth = 200_000;
    const deep = JSON.parse("[".repeat(depth) + "]".repeat(depth));
    expect(inputOf(deep)).toBe("[".repeat(200));
  });
});

describe("invalidJson", () => {
  it("is a 422 as FastAPI words it", () => {
    const error = invalidJson(`{"a": ${"1".repeat(300)}`);
    expect(error.status).toBe(422);
    expect(error.detail).toEqual([
      {
        type: "json_invalid",
        loc: ["body"],
        msg: "JSON decode error",
        input: `{"a": ${"1".repeat(194)}`,
      },
    ]);
  });
});
