/**
 * What nodes tell, as this page reads it: the wire's schemas, in which a word may be any word. Nodes are
 * upgraded one after the other, and a newer one has further states, kinds and codes, which are shown as
 * they are. Its further fields every schema drops, and its further kinds of events the SDK.
 */
import * as wire from "@proofmill/core/wire";
import { z } from "zod";

/** What the wire has a list of. It is shown as it is, so it is nothing but a word. */
const word = () => z.string().regex(/^[\w.:-]{1,64}$/, { error: "expected a word" });

/** Where to begin with a round's finds. */
export const FindsSoFar = wire.StatusSummary.pick({ round_id: true, total_valid: true });

export const StatusEvent = wire.StatusEvent.extend({ state: word(), status: word() });
export type StatusEvent = z.output<typeof StatusEvent>;

const HealthNotes = z.array(wire.HealthNote.extend({ code: word() }));

export const NodeInfo = wire.NodeInfo.extend({
  health: z.object({ reasons: HealthNotes, warnings: HealthNotes }),
  runners: z.array(wire.RunnerInfo.extend({ state: word() })),
  inference: wire.InferenceInfo.extend({ gate: word() }),
  scopes: z.array(word()),
});
export type NodeInfo = z.output<typeof NodeInfo>;

const HistorySeries = wire.HistorySeries.extend({ state: z.array(word()) });
export type HistorySeries = z.output<typeof HistorySeries>;

export const NodeHistory = z.object({ ten_minutes: HistorySeries, day: HistorySeries });

const NodeEvent = wire.NodeEvent.extend({ kind: word() });
export type NodeEvent = z.output<typeof NodeEvent>;

export const NodeEvents = z.object({ events: z.array(NodeEvent) });
