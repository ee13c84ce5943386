/** The states of a node's round (docs/protocol.md §2). Free of Node. */
import { z } from "zod";

export const RoundState = z.enum(["IDLE", "GENERATING", "VALIDATING", "STOPPED"]);
export type RoundState = z.output<typeof RoundState>;
