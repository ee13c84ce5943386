/**
 * What zod finds wrong, said as FastAPI and pydantic say it (docs/protocol.md §3): callers of the
 * older service parse that shape. Free of Node.
 */
import type { z } from "zod";
import { PocError, type ValidationIssue } from "./errors.ts";
import { INTEGER_EXPECTED, MAX_ISSUES } from "./fields.ts";

/** `input` is cut to so many UTF-16 units. */
const MAX_INPUT = 200;

/**
 * Parses what a caller sent.
 *
 * @param root where it was: the first entry of every `loc`
 * @throws PocError INVALID_BODY with at most `MAX_ISSUES` issues, one per place
 */
export function parseWith<T>(schema: z.ZodType<T>, value: unknown, root: "body" | "query"): T {
  const parsed = schema.safeParse(value);
  if (parsed.success) return parsed.data;
  throw new PocError("INVALID_BODY", { detail: toIssues(parsed.error.issues, value, root) });
}

/**
 * The refusal of a body that is not JSON.
 *
 * @param text the body as it came
 */
export function invalidJson(text: string): PocError {
  const issue = { type: "json_invalid", loc: ["body"], msg: "JSON decode error" };
  return new PocError("INVALID_BODY", { detail: [{ ...issue, input: shortened(text) }] });
}

function toIssues(
  issues: readonly z.core.$ZodIssue[],
  value: unknown,
  root: "body" | "query",
): ValidationIssue[] {
  const byPlace = new Map<string, ValidationIssue>();
  for (const issue of issues.flatMap(withKeys)) {
    const path = issue.path.map((key) => (typeof key === "number" ? key : String(key)));
    const input = lookUp(value, path);
    // A number can be out of two ranges at once; the field's own range is checked last.
    byPlace.set(JSON.stringify(path), {
      ...describe(issue, input, root),
      loc: [root, ...path],
      input: shortened(input),
    });
    if (byPlace.size === MAX_ISSUES) break;
  }
  return [...byPlace.values()];
}

/** Of fields that are not allowed each is an issue of its own, at its place. */
function withKeys(issue: z.core.$ZodIssue): z.core.$ZodIssue[] {
  if (issue.code !== "unrecognized_keys") return [issue];
  return issue.keys
    .slice(0, MAX_ISSUES)
    .map((key) => ({ ...issue, keys: [key], path: [...issue.path, key] }));
}

function lookUp(value: unknown, path: readonly (string | number)[]): unknown {
  let at: unknown = value;
  for (const key of path) {
    if (typeof at !== "object" || at === null || !Object.hasOwn(at, key)) return undefined;
    at = (at as Record<string | number, unknown>)[key];
  }
  return at;
}

function describe(
  issue: z.core.$ZodIssue,
  input: unknown,
  root: "body" | "query",
): { type: string; msg: string } {
  switch (issue.code) {
    case "invalid_type":
      return describeType(issue, input, root);
    case "too_small":
      return issue.origin === "string"
        ? { type: "string_too_short", msg: "String should have at least 1 character" }
        : {
            type: "greater_than_equal",
            msg: `Input should be greater than or equal to ${issue.minimum}`,
          };
    case "too_big":
      return issue.origin === "string"
        ? {
            type: "string_too_long",
            msg: `String should have at most ${issue.maximum} characters`,
          }
        : {
            type: "less_than_equal",
            msg: `Input should be less than or equal to ${issue.maximum}`,
          };
    case "unrecognized_keys":
      return { type: "extra_forbidden", msg: "Extra inputs are not permitted" };
    case "custom":
      return { type: String(issue.params?.type ?? "value_error"), msg: issue.message };
    default:
      return { type: "value_error", msg: issue.message };
  }
}

function describeType(
  issue: z.core.$ZodIssueInvalidType,
  input: unknown,
  root: "body" | "query",
): { type: string; msg: string } {
  const isRoot = issue.path.length === 0;
  if (input === undefined || (isRoot && input === null)) {
    return { type: "missing", msg: "Field required" };
  }
  const isNumeric = issue.expected === "number" || issue.expected === "int";
  if (isNumeric && typeof input === "number" && !Number.isFinite(input)) {
    return { type: "finite_number", msg: "Input should be a finite number" };
  }
  switch (issue.expected) {
    case "string":
      return { type: "string_type", msg: "Input should be a valid string" };
    case "int":
      return {
        type: "int_from_float",
        msg: `${INTEGER_EXPECTED}, got a number with a fractional part`,
      };
    case "number":
      if (issue.message !== INTEGER_EXPECTED) {
        return { type: "float_type", msg: "Input should be a valid number" };
      }
      return root === "query" && typeof input === "string"
        ? {
            type: "int_parsing",
            msg: `${INTEGER_EXPECTED}, unable to parse string as an integer`,
          }
        : { type: "int_type", msg: INTEGER_EXPECTED };
    case "object":
      return isRoot
        ? {
            type: "model_attributes_type",
            msg: "Input should be a valid dictionary or object to extract fields from",
          }
        : { type: "dict_type", msg: "Input should be a valid dictionary" };
    default:
      return { type: "value_error", msg: issue.message };
  }
}

/** What was sent, short enough to send back: strings, and objects as JSON text, are cut. */
function shortened(value: unknown): unknown {
  if (value === undefined) return null;
  if (typeof value === "string") return cut(value);
  if (typeof value === "object" && value !== null) return cut(jsonStart(value));
  if (typeof value === "number" && !Number.isFinite(value)) return String(value);
  return value;
}

/** Never leaves half of a surrogate pair at the end. */
function cut(text: string): string {
  if (text.length <= MAX_INPUT) return text;
  const last = text.charCodeAt(MAX_INPUT - 1);
  return text.slice(0, last >= 0xd800 && last <= 0xdbff ? MAX_INPUT - 1 : MAX_INPUT);
}

/**
 * The beginning of a value's JSON text. JSON.stringify would write out megabytes for the sake of
 * 200 characters and overflow the stack on a deep value; each level here writes at least one
 * character, so the depth is bounded by the length.
 */
function jsonStart(value: unknown): string {
  let text = "";
  const isFull = () => text.length > MAX_INPUT;
  const write = (part: unknown): void => {
    if (isFull()) return;
    if (typeof part === "string") {
      text += JSON.stringify(part.slice(0, MAX_INPUT + 1));
    } else if (Array.isArray(part)) {
      text += "[";
      for (let i = 0; i < part.length && !isFull(); i++) {
        if (i > 0) text += ",";
        write(part[i]);
      }
      text += "]";
    } else if (typeof part === "object" && part !== null) {
      text += "{";
      let isFirst = true;
      for (const key in part) {
        if (isFull()) break;
        if (!Object.hasOwn(part, key)) continue;
        if (!isFirst) text += ",";
        isFirst = false;
        write(key);
        text += ":";
        write((part as Record<string, unknown>)[key]);
      }
      text += "}";
    } else {
      text += JSON.stringify(part) ?? "null";
    }
  };
  write(value);
  return text;
}
