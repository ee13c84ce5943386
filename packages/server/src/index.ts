/** The node as a library: the server and what it is made of. */

export { parseConfig, type ServeConfig } from "./config.ts";
export { ListenError, type NodeOptions, type RunningNode, startNode } from "./node.ts";
export type { AppRouter } from "./router.ts";
export { createServer, type ServerDeps } from "./server.ts";
