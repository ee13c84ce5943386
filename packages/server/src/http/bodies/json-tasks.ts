/** What the thread for large JSON does; it knows no sockets and no round. */
import {
  type CheckOutcome,
  checkBody,
  fieldsOf,
  type InitLimits,
  isArtifactRound,
  OPERATIONS,
  type Operation,
  outcomeOf,
  type SchemaName,
} from "@proofmill/core";
import { readBody } from "./json-body.ts";

/** A body of REST's. */
interface RestTask {
  readonly door: "rest";
  readonly schema: SchemaName;
  readonly contentType: string | undefined;
}

/** The inputs of procedures that are called over HTTP. */
interface CallsTask {
  readonly door: "calls";
  readonly paths: readonly string[];
  readonly isBatch: boolean;
}

/** A WebSocket's message: one call or several. */
interface MessageTask {
  readonly door: "message";
  /** Calls that a message may hold. */
  readonly maxCalls: number;
  /** When it holds more, so many of them are kept, to be refused. */
  readonly maxRefused: number;
}

export type JsonTask = (RestTask | CallsTask | MessageTask) & {
  readonly limits: InitLimits;
  /** The body with number n is replaced by the string `${mark}${n}`. */
  readonly mark: string;
};

/** A body that was checked. */
interface Checked {
  readonly schema: SchemaName;
  readonly outcome: CheckOutcome;
}

export interface JsonResult {
  readonly checked: readonly Checked[];
  /** JSON that is left to read, short and with marks; null when what came was no JSON. */
  readonly rest: string | null;
}

const TABLE: readonly Operation[] = Object.values(OPERATIONS);
/** Procedures with a body, and its schema. */
const BODIES = new Map<string, SchemaName>(
  TABLE.flatMap(({ procedure, body }) => (procedure && body ? [[procedure, body]] : [])),
);
/** The inputs of others are a few short fields. */
const SHORT_FIELDS = TABLE.flatMap(({ query }) => (query ? fieldsOf(query) : []));
const CALL_FIELDS = ["id", "jsonrpc", "method"];

/** Parses and checks; never throws for what a caller sent. */
export function performJsonTask(task: JsonTask, bytes: Uint8Array): JsonResult {
  const checked: Checked[] = [];
  const check = (named: SchemaName, read: () => unknown): string => {
    // A round of distances or of artifacts, as the body itself says.
    let schema = named === "EitherRound" ? "InitRequest" : named;
    const outcome = outcomeOf(() => {
      const value = read();
      if (named === "EitherRound" && isArtifactRound(value)) schema = "ArtifactRound";
      return checkBody(schema, value, task.limits);
    });
    return `${task.mark}${checked.push({ schema, outcome }) - 1}`;
  };
  if (task.door === "rest") {
    const { schema, contentType } = task;
    return { rest: JSON.stringify(check(schema, () => readBody(bytes, contentType))), checked };
  }
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder().decode(bytes));
  } catch {
    return { rest: null, checked };
  }
  const input = (path: unknown, sent: unknown): unknown => {
    const schema = typeof path === "string" ? BODIES.get(path) : undefined;
    return schema === undefined ? short(sent) : check(schema, () => sent);
  };
  const rest = task.door === "calls" ? calls(task) : message(task);
  return { rest: JSON.stringify(rest), checked };

  function calls({ paths, isBatch }: CallsTask): unknown {
    if (!isBatch) return input(paths[0], value);
    if (!isObject(value)) return short(value);
    const inputs: Record<string, unknown> = {};
    for (const [i, path] of paths.entries()) {
      if (Object.hasOwn(value, i)) inputs[i] = input(path, value[i]);
    }
    return inputs;
  }

  function message({ maxCalls, maxRefused }: MessageTask): unknown {
    if (!Array.isArray(value)) return call(value);
    if (value.length <= maxCalls) return value.map(call);
    return value
      .slice(0, maxRefused)
      .map((each) => (isObject(each) ? pick(each, CALL_FIELDS) : short(each)));
  }

  function call(sent: unknown): unknown {
    if (!isObject(sent)) return short(sent);
    const { params } = sent;
    if (!isObject(params)) return { ...pick(sent, CALL_FIELDS), params: short(params) };
    const { path } = params;
    return {
      ...pick(sent, CALL_FIELDS),
      params: {
        ...pick(params, ["path", "lastEventId"]),
        ...(Object.hasOwn(params, "input") ? { input: input(path, params.input) } : {}),
      },
    };
  }
}

/** What is kept of a value: its kind, and of an object the short fields that somebody may read. */
function short(value: unknown): unknown {
  if (Array.isArray(value)) return [];
  return isObject(value) ? pick(value, SHORT_FIELDS) : value;
}

function pick(value: Record<string, unknown>, names: readonly string[]): Record<string, unknown> {
  return Object.fromEntries(
    names.filter((name) => Object.hasOwn(value, name)).map((name) => [name, short(value[name])]),
  );
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
