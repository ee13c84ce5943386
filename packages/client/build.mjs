// One bundle without workspace packages and without tRPC: what coordinators install is this, ws and zod.

import { execFileSync } from "node:child_process";
import { rmSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const here = fileURLToPath(new URL(".", import.meta.url));
rmSync(`${here}dist`, { recursive: true, force: true });
await build({
  absWorkingDir: here,
  entryPoints: ["index", "receiver", "websocket", "websocket.node"].map((name) => `src/${name}.ts`),
  outdir: "dist",
  bundle: true,
  splitting: true,
  format: "esm",
  target: "es2022",
  platform: "neutral",
  mainFields: ["module", "main"],
  conditions: ["import"],
  // The package's own condition chooses the WebSocket.
  external: ["#websocket", "ws", "zod", "node:*", "fastify"],
  sourcemap: true,
  logLevel: "warning",
});
execFileSync(
  process.execPath,
  [
    fileURLToPath(new URL("../../node_modules/typescript/bin/tsc", import.meta.url)),
    ...["-p", `${here}tsconfig.build.json`],
  ],
  { stdio: "inherit" },
);
