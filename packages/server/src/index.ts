/** The node as a library: the server and what it is made of. */
export { ListenError, type NodeOptions, type RunningNode, startNode } from "./node.ts";
export { createServer, type ServerDeps } from "./server.ts";
export type { ServeConfig } from "./settings/config.ts";
export { parseConfig } from "./settings/read.ts";
