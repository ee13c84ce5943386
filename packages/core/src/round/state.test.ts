import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { RoundConfig } from "../proof/scheme.ts";
import { CONFIG } from "../test-support.ts";
import type { InitRequest, RoundState } from "../wire/schemas.ts";
import { nextStep, type RoundCommand, type RoundView } from "./state.ts";
import type { NewRound } from "./store.ts";

const OTHER_HASH: InitRequest = { ...CONFIG, block_hash: "other" };
const OTHER_HEIGHT: InitRequest = { ...CONFIG, block_height: 101 };
const OTHER_FIELD: InitRequest = { ...CONFIG, r_target: 1 };
const NO_NODE: InitRequest = { ...CONFIG, node_id: -1, node_count: -1 };
const NO_ID: InitRequest = { ...CONFIG, node_id: -1 };
const NO_COUNT: InitRequest = { ...CONFIG, node_count: -1 };

const NEW = (state: RoundState, cutsSearch = false) => ({ state, begins: true, cutsSearch });
const SAME = (state: RoundState, cutsSearch = false) => ({ state, begins: false, cutsSearch });

function outcome(view: RoundView, command: RoundCommand) {
  const step = nextStep(view, command);
  return "refusal" in step ? step.refusal : { ...step, begins: step.begins !== null };
}

type Row = [kind: string, body: InitRequest | null, state: RoundState, expected: unknown];
const A_ROUND: Row[] = [
  ["init", CONFIG, "IDLE", NEW("IDLE")],
  ["init", CONFIG, "GENERATING", "ROUND_IN_PROGRESS"],
  ["init", OTHER_HASH, "GENERATING", "ROUND_IN_PROGRESS"],
  ["init", CONFIG, "VALIDATING", NEW("IDLE")],
  ["init", CONFIG, "STOPPED", NEW("IDLE")],
  ["init", NO_NODE, "IDLE", NEW("IDLE")],

  ["init/generate", CONFIG, "IDLE", NEW("GENERATING")],
  ["init/generate", CONFIG, "GENERATING", SAME("GENERATING")],
  ["init/generate", OTHER_HASH, "GENERATING", NEW("GENERATING", true)],
  ["init/generate", OTHER_HEIGHT, "GENERATING", NEW("GENERATING", true)],
  ["init/generate", OTHER_FIELD, "GENERATING", "ROUND_IN_PROGRESS"],
  ["init/generate", CONFIG, "VALIDATING", NEW("GENERATING")],
  ["init/generate", CONFIG, "STOPPED", NEW("GENERATING")],
  ["init/generate", NO_NODE, "IDLE", "NODE_ID_REQUIRED"],
  ["init/generate", NO_ID, "STOPPED", "NODE_ID_REQUIRED"],
  ["init/generate", NO_COUNT, "VALIDATING", "NODE_ID_REQUIRED"],
  ["init/generate", NO_NODE, "GENERATING", "NODE_ID_REQUIRED"],

  ["init/validate", CONFIG, "IDLE", NEW("VALIDATING")],
  ["init/validate", CONFIG, "GENERATING", SAME("VALIDATING", true)],
  ["init/validate", OTHER_HASH, "GENERATING", NEW("VALIDATING", true)],
  ["init/validate", OTHER_HEIGHT, "GENERATING", NEW("VALIDATING", true)],
  ["init/validate", OTHER_FIELD, "GENERATING", "ROUND_IN_PROGRESS"],
  ["init/validate", NO_NODE, "GENERATING", "ROUND_IN_PROGRESS"],
  ["init/validate", CONFIG, "VALIDATING", SAME("VALIDATING")],
  ["init/validate", OTHER_HASH, "VALIDATING", NEW("VALIDATING")],
  ["init/validate", OTHER_FIELD, "VALIDATING", NEW("VALIDATING")],
  ["init/validate", CONFIG, "STOPPED", NEW("VALIDATING")],
  ["init/validate", NO_NODE, "IDLE", NEW("VALIDATING")],

  ["phase/generate", null, "IDLE", SAME("GENERATING")],
  ["phase/generate", null, "GENERATING", SAME("GENERATING")],
  ["phase/generate", null, "VALIDATING", SAME("GENERATING")],
  ["phase/generate", null, "STOPPED", SAME("GENERATING")],

  ["phase/validate", null, "IDLE", SAME("VALIDATING")],
  ["phase/validate", null, "GENERATING", SAME("VALIDATING", true)],
  ["phase/validate", null, "VALIDATING", SAME("VALIDATING")],
  ["phase/validate", null, "STOPPED", SAME("VALIDATING")],

  ["stop", null, "IDLE", SAME("STOPPED")],
  ["stop", null, "GENERATING", SAME("STOPPED", true)],
  ["stop", null, "VALIDATING", SAME("STOPPED")],
  ["stop", null, "STOPPED", SAME("STOPPED")],
];
const NO_ROUND: Row[] = (["IDLE", "STOPPED"] as const).flatMap((state): Row[] => [
  ["init", CONFIG, state, NEW("IDLE")],
  ["init/generate", CONFIG, state, NEW("GENERATING")],
  ["init/generate", NO_ID, state, "NODE_ID_REQUIRED"],
  ["init/validate", CONFIG, state, NEW("VALIDATING")],
  ["phase/generate", null, state, "POC_NOT_INITIALIZED"],
  ["phase/validate", null, state, "POC_NOT_INITIALIZED"],
  ["stop", null, state, SAME("STOPPED")],
]);

const commandOf = (kind: string, config: InitRequest | null) =>
  ({ kind, scheme: "distance", ...(config ? { config: { ...config } } : {}) }) as RoundCommand;
/** A view with a round of distances. */
const viewOf = (state: RoundState, config: InitRequest | null): RoundView => ({
  state,
  round: config && { scheme: "distance", config },
});

describe("rounds of two protocols", () => {
  const OTHER: NewRound = { scheme: "artifact", config: CONFIG };
  const begin = (config: RoundConfig): RoundCommand => ({
    kind: "begin",
    scheme: "artifact",
    config,
  });

  it.each([
    ["IDLE", NEW("GENERATING")],
    ["VALIDATING", NEW("GENERATING")],
    ["STOPPED", NEW("GENERATING")],
    ["GENERATING", "ALREADY_GENERATING"],
  ] as const)("begin while %s with a round of the other protocol", (state, expected) => {
    expect(outcome(viewOf(state, CONFIG), begin(CONFIG))).toEqual(expected);
  });

  it("begin goes on with an equal round, and with no other", () => {
    const view: RoundView = { state: "STOPPED", round: OTHER };
    expect(outcome(view, begin({ ...CONFIG }))).toEqual(SAME("GENERATING"));
    expect(outcome(view, begin(OTHER_HASH))).toEqual(NEW("GENERATING"));
    const busy: RoundView = { state: "GENERATING", round: OTHER };
    expect(outcome(busy, begin({ ...CONFIG }))).toBe("ALREADY_GENERATING");
    expect(outcome(busy, begin(OTHER_HASH))).toBe("ALREADY_GENERATING");
  });

  it("no init ends the other protocol's search, also of another block", () => {
    const view: RoundView = { state: "GENERATING", round: OTHER };
    for (const kind of ["init", "init/generate", "init/validate"]) {
      for (const body of [CONFIG, OTHER_HASH, OTHER_HEIGHT]) {
        expect(outcome(view, commandOf(kind, body))).toBe("ROUND_IN_PROGRESS");
      }
    }
    expect(outcome(view, commandOf("stop", null))).toEqual(SAME("STOPPED", true));
  });

  it("a stopped one is as none", () => {
    const view: RoundView = { state: "STOPPED", round: OTHER };
    expect(outcome(view, commandOf("init/generate", CONFIG))).toEqual(NEW("GENERATING"));
    expect(outcome(view, commandOf("phase/generate", null))).toBe("POC_NOT_INITIALIZED");
    expect(outcome(view, commandOf("phase/validate", null))).toBe("POC_NOT_INITIALIZED");
  });
});

describe("nextStep", () => {
  it.each(A_ROUND)("%s %j while %s", (kind, body, state, expected) => {
    expect(outcome(viewOf(state, CONFIG), commandOf(kind, body))).toEqual(expected);
  });

  it.each(NO_ROUND)("%s %j while %s without a round", (kind, body, state, expected) => {
    expect(outcome(viewOf(state, null), commandOf(kind, body))).toEqual(expected);
  });

  it.each(["IDLE", "VALIDATING", "STOPPED"] as const)(
    "phase/generate while %s needs a node",
    (state) => {
      for (const config of [NO_NODE, NO_ID, NO_COUNT]) {
        expect(outcome(viewOf(state, config), commandOf("phase/generate", null))).toBe(
          "NODE_ID_REQUIRED",
        );
      }
    },
  );

  it("takes any changed field for another body", () => {
    const changes: Partial<InitRequest>[] = [
      { public_key: "x" },
      { r_target: 2 },
      { fraud_threshold: 0.5 },
      { node_id: 1, node_count: 2 },
      { node_count: 2 },
      { batch_size: 1 },
      { seq_len: 1 },
      { callback_url: "http://x/" },
    ];
    const view = viewOf("GENERATING", CONFIG);
    for (const change of changes) {
      const config = { ...CONFIG, ...change };
      expect(outcome(view, { kind: "init/generate", scheme: "distance", config })).toBe(
        "ROUND_IN_PROGRESS",
      );
    }
  });

  it("agrees with the table in ten lines, whatever the commands", () => {
    /** [state, number of the round, body], or null for a refusal. */
    type Model = { state: RoundState; round: number; body: InitRequest | null };
    const model = (m: Model, kind: string, body: InitRequest | null): Model | null => {
      const config = body ?? m.body;
      if (kind === "stop") return { ...m, state: "STOPPED" };
      if (!config) return null;
      if (kind.endsWith("generate") && (config.node_id < 0 || config.node_count < 0)) return null;
      const next = { init: "IDLE", generate: "GENERATING", validate: "VALIDATING" } as const;
      const state = next[(kind.split("/")[1] ?? "init") as keyof typeof next];
      const busy = m.state === "GENERATING";
      if (busy && kind === "init") return null;
      const same = !body || JSON.stringify(body) === JSON.stringify(m.body);
      if (same && (!body || busy || (m.state === state && state === "VALIDATING")))
        return { ...m, state };
      if (
        busy &&
        body?.block_hash === m.body?.block_hash &&
        body?.block_height === m.body?.block_height
      )
        return null;
      return { state, round: m.round + 1, body };
    };
    const bodies = [CONFIG, OTHER_HASH, OTHER_HEIGHT, OTHER_FIELD, NO_NODE, NO_ID];
    const commands = fc.oneof(
      fc.tuple(
        fc.constantFrom("init", "init/generate", "init/validate"),
        fc.constantFrom(...bodies),
      ),
      fc.tuple(fc.constantFrom("phase/generate", "phase/validate", "stop"), fc.constant(null)),
    );
    fc.assert(
      fc.property(fc.array(commands, { maxLength: 30 }), (script) => {
        let expected: Model = { state: "IDLE", round: 0, body: null };
        let view = viewOf("IDLE", null);
        let round = 0;
        for (const [kind, body] of script) {
          const step = nextStep(view, commandOf(kind, body));
          const wanted = model(expected, kind, body);
          expect("refusal" in step, kind).toBe(wanted === null);
          if ("refusal" in step || !wanted) continue;
          if (step.begins) round++;
          const leaves = step.begins !== null || step.state !== "GENERATING";
          expect(step.cutsSearch).toBe(view.state === "GENERATING" && leaves);
          view = { state: step.state, round: step.begins ?? view.round };
          expected = wanted;
          expect({ ...viewOf(wanted.state, wanted.body), number: wanted.round }).toEqual({
            ...view,
            number: round,
          });
        }
      }),
      { numRuns: 500 },
    );
  });
});
