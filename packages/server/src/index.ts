/** The node as a library: the server and what it is made of. */

export { readConfig, type ServeConfig } from "./config.ts";
export { type RunningNode, startNode } from "./node.ts";
export type { AppRouter } from "./router.ts";
export { createServer, type ServerDeps } from "./server.ts";
