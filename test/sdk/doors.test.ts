/** REST, tRPC over HTTP and tRPC over WebSocket are three doors to one service. */
import type { AppRouter } from "@proofmill/client/trpc";
import { OPERATIONS, type Operations, type OperationTable } from "@proofmill/core";
import { createTRPCClient, createWSClient, httpLink, TRPCClientError, wsLink } from "@trpc/client";
import { expect, onTestFinished, test } from "vitest";
import { WebSocket } from "ws";
import { INIT, PROOF, startFakeNode } from "../fake-node.ts";

/** The operations that every door has. */
type Procedure = {
  [Name in keyof Operations]: Operations[Name] extends { rest: string; procedure: string }
    ? Name
    : never;
}[keyof Operations];
const TABLE: OperationTable = OPERATIONS;
const PROCEDURES = Object.keys(TABLE).filter((name): name is Procedure =>
  Boolean(TABLE[name]?.rest && TABLE[name].procedure),
);

interface Call {
  procedure: Procedure;
  input?: unknown;
}

/** What one call led to, alike for every door. */
interface Outcome {
  status: number;
  answer?: unknown;
  detail?: unknown;
}

type Door = (call: Call) => Promise<Outcome>;

const rest =
  (url: string): Door =>
  async ({ procedure, input }) => {
    const query =
      procedure === "status" && input
        ? `?${new URLSearchParams(input as Record<string, string>)}`
        : "";
    const [method, named = ""] = OPERATIONS[procedure].rest.split(" ");
    const { request_id = "any" } = (input ?? {}) as { request_id?: string };
    const path = named.replace("{request_id}", request_id);
    const response = await fetch(`${url}${path}${query}`, {
      ...(method && { method }),
      ...(method === "GET" || input === undefined
        ? {}
        : { headers: { "content-type": "application/json" }, body: JSON.stringify(input) }),
    });
    const body = (await response.json()) as { detail?: unknown };
    return response.ok
      ? { status: 200, answer: body }
      : { status: response.status, detail: body.detail };
  };

/** A client, for procedures whose names are found at run time. */
type Untyped = Record<
  string,
  Record<string, Record<"query" | "mutate", (input: unknown) => Promise<unknown>>>
>;

function trpc(client: ReturnType<typeof createTRPCClient<AppRouter>>): Door {
  return async ({ procedure, input }) => {
    try {
      const [space, name] = OPERATIONS[procedure].procedure.split(".");
      const call = (client as unknown as Untyped)[space ?? ""]?.[name ?? ""];
      const isQuery = OPERATIONS[procedure].kind === "query";
      const answer = await call?.[isQuery ? "query" : "mutate"](input);
      return { status: 200, answer };
    } catch (error) {
      if (!(error instanceof TRPCClientError)) throw error;
      const { code, detail } = error.data.refusal;
      expect(OPERATIONS[procedure].refusals).toContain(code);
      return { status: error.data.httpStatus, detail };
    }
  };
}

function doors(url: string): Record<string, Door> {
  const socket = createWSClient({
    url: `${url.replace("http", "ws")}/trpc`,
    WebSocket: WebSocket as never,
  });
  onTestFinished(() => socket.close());
  return {
    REST: rest(url),
    "tRPC over HTTP": trpc(
      createTRPCClient<AppRouter>({ links: [httpLink({ url: `${url}/trpc` })] }),
    ),
    "tRPC over WebSocket": trpc(
      createTRPCClient<AppRouter>({ links: [wsLink({ client: socket })] }),
    ),
  };
}

/**
 * Ids and clocks are no two rounds'. Over REST a status has two fields more, of rounds of artifacts
 * (docs/protocol-v2.md §3).
 */
function comparable(outcome: Outcome): unknown {
  const text = JSON.stringify(outcome, (key, value) => {
    if ((key === "config" || key === "stats") && value === null) return undefined;
    if (key === "round_id") return value === null ? null : "an id";
    if (key === "elapsed_seconds" || key === "rate_per_second") return typeof value;
    return value;
  });
  return JSON.parse(text);
}

interface Case {
  name: string;
  /** Calls before the one that is compared. */
  before?: Call[];
  call: Call;
  status: number;
}

const generate: Call = { procedure: "initGenerate", input: INIT };
const validate: Call = { procedure: "initValidate", input: INIT };
const stop: Call = { procedure: "stop" };
const invalid = (change: object): unknown => ({ ...INIT, ...change });

const CASES: Case[] = [
  { name: "status without a round", call: { procedure: "status" }, status: 200 },
  { name: "what the node is", call: { procedure: "nodeInfo" }, status: 200 },
  { name: "stop without a round", call: stop, status: 200 },
  { name: "init", call: { procedure: "init", input: INIT }, status: 200 },
  { name: "init/generate", call: generate, status: 200 },
  { name: "init/generate again", before: [generate], call: generate, status: 200 },
  {
    name: "init/generate with another field",
    before: [generate],
    call: { procedure: "initGenerate", input: invalid({ r_target: 0.25 }) },
    status: 400,
  },
  {
    name: "init/generate for the next block",
    before: [generate],
    call: { procedure: "initGenerate", input: invalid({ block_hash: "next" }) },
    status: 200,
  },
  {
    name: "init while generating",
    before: [generate],
    call: { procedure: "init", input: INIT },
    status: 400,
  },
  { name: "init/validate", call: validate, status: 200 },
  { name: "phase/generate without a round", call: { procedure: "phaseGenerate" }, status: 400 },
  { name: "phase/validate without a round", call: { procedure: "phaseValidate" }, status: 400 },
  { name: "phase/generate", before: [validate], call: { procedure: "phaseGenerate" }, status: 200 },
  { name: "phase/validate", before: [generate], call: { procedure: "phaseValidate" }, status: 200 },
  { name: "stop while generating", before: [generate], call: stop, status: 200 },
  {
    name: "init/generate without a node",
    call: { procedure: "initGenerate", input: invalid({ node_id: -1 }) },
    status: 400,
  },
  { name: "no body", call: { procedure: "init" }, status: 422 },
  { name: "a text", call: { procedure: "init", input: "text" }, status: 422 },
  { name: "an empty object", call: { procedure: "init", input: {} }, status: 422 },
  {
    name: "a text for a number",
    call: { procedure: "init", input: invalid({ block_height: "1" }) },
    status: 422,
  },
  {
    name: "a number out of range",
    call: { procedure: "init", input: invalid({ seq_len: 0 }) },
    status: 422,
  },
  {
    name: "node_id past node_count",
    call: { procedure: "init", input: invalid({ node_id: 1 }) },
    status: 422,
  },
  {
    name: "a callback that is never called",
    call: { procedure: "init", input: invalid({ callback_url: "http://169.254.169.254" }) },
    status: 422,
  },
  {
    name: "the older names",
    call: { procedure: "init", input: invalid({ url: "http://a:1", params: { seq_len: 8 } }) },
    status: 200,
  },
  { name: "a proof without a round", call: { procedure: "validate", input: PROOF }, status: 400 },
  {
    name: "a proof",
    before: [validate],
    call: { procedure: "validate", input: PROOF },
    status: 200,
  },
  {
    name: "an empty proof",
    before: [validate],
    call: { procedure: "validate", input: { ...PROOF, nonces: [], dist: [] } },
    status: 200,
  },
  {
    name: "a proof of another block",
    before: [validate],
    call: { procedure: "validate", input: { ...PROOF, block_hash: "other" } },
    status: 400,
  },
  {
    name: "a proof with a nonce twice",
    before: [validate],
    call: { procedure: "validate", input: { ...PROOF, nonces: [1, 1, 2] } },
    status: 422,
  },
  {
    name: "a proof that is too long",
    before: [validate],
    call: {
      procedure: "validate",
      input: { ...PROOF, nonces: [...Array(5000).keys()], dist: Array(5000).fill(0.1) },
    },
    status: 413,
  },
  {
    name: "a page of the finds",
    before: [generate, stop],
    call: { procedure: "status", input: { since: 1, limit: 2 } },
    status: 200,
  },
  {
    name: "a page that is none",
    call: { procedure: "status", input: { since: -1 } },
    status: 422,
  },
];

test.each(CASES)("$name", async ({ before = [], call, status }) => {
  // A node of its own for each, in the same state.
  const outcomeAt = async (name: string) => {
    const { url, runner } = await startFakeNode({ dataDir: null }); // where finds are kept is no door's
    runner.hold(); // what is found must not depend on the moment
    const door = doors(url)[name];
    if (!door) throw new Error(`no door ${name}`);
    for (const earlier of before) await door(earlier);
    if (call.procedure === "validate") runner.release();
    const outcome = await door(call);
    expect(outcome.status).toBe(status);
    return comparable(outcome);
  };
  const [first, ...others] = await Promise.all(
    ["REST", "tRPC over HTTP", "tRPC over WebSocket"].map(outcomeAt),
  );
  for (const other of others) expect(other).toEqual(first);
});

test("PoC switched off comes before anything else, at each door", async () => {
  const { url } = await startFakeNode({ enablePoc: false });
  const those = PROCEDURES.filter((name) => TABLE[name]?.refusals.includes("POC_NOT_ENABLED"));
  for (const door of Object.values(doors(url))) {
    for (const procedure of those) {
      const outcome = await door({ procedure, input: procedure === "status" ? undefined : "text" });
      expect(outcome).toEqual({ status: 503, detail: "PoC not enabled" });
    }
  }
});
