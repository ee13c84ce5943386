/** What a node remembers of its last day, for those who come late. Free of Node. */
import { z } from "zod";
import { integer } from "./fields.ts";
import { RoundState } from "./round-state.ts";

/** Points of time; the lists are equally long, the oldest point comes first. */
export const HistorySeries = z.object({
  at: z.array(z.int()).describe("The end of the time that a point is about, ms since 1970."),
  state: z.array(RoundState).describe("At that end."),
  checked: z.array(z.int().min(0)).describe("Nonces that were counted in that time."),
  valid: z.array(z.int().min(0)).describe("Those of them that were valid."),
  rate_per_second: z.array(z.number().min(0)).describe("checked for each second of that time."),
  generated_tokens: z
    .array(z.int().min(0))
    .describe("Tokens that the node's own model answered in that time."),
});
export type HistorySeries = z.output<typeof HistorySeries>;

/** How a node's searches went; empty where PoC is off. */
export const NodeHistory = z.object({
  ten_minutes: HistorySeries.describe("A point for each second."),
  day: HistorySeries.describe("A point for every ten seconds."),
});
export type NodeHistory = z.output<typeof NodeHistory>;

/** Which part of its history a node is asked for. */
export const HistoryPage = z.object({
  seconds: integer(1).optional().describe("Leave out points that are older."),
});
export type HistoryPage = z.output<typeof HistoryPage>;

/** Something that happened to a node. */
export const NodeEvent = z.object({
  id: z.int().min(1).describe("Greater than those before it; begins anew with the node."),
  at: z.int().describe("ms since 1970."),
  kind: z
    .enum(["round", "verdict", "runner", "callback", "store", "origin", "broker"])
    .describe("Of what."),
  is_bad: z.boolean().describe("Whether somebody should look at it."),
  text: z.string().describe("What happened, and why, in a sentence for people."),
});
export type NodeEvent = z.output<typeof NodeEvent>;

/** The last hundred things that happened to a node. */
export const NodeEvents = z.object({
  events: z.array(NodeEvent).describe("At most a hundred, the oldest first."),
});
export type NodeEvents = z.output<typeof NodeEvents>;

/** Which events a node is asked for. */
export const EventsPage = z.object({
  since: integer(0).optional().describe("Leave out events up to this id."),
});
export type EventsPage = z.output<typeof EventsPage>;
