/** The node as a library. */
export { ListenError, type NodeOptions, type RunningNode, startNode } from "./node.ts";
export type { ServeConfig } from "./settings/config.ts";
export { parseConfig } from "./settings/read.ts";
