// One bundle without workspace packages and without tRPC: what coordinators install is this, ws and zod.

import { execFileSync } from "node:child_process";
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
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

// The types are core's own: its declarations come along, and ours name them where they then are.
const wire = dirname(fileURLToPath(import.meta.resolve("@proofmill/core/wire")));
mkdirSync(`${here}dist/wire`);
for (const [from, to] of [
  [wire, `${here}dist/wire`],
  [`${here}dist`, `${here}dist`],
]) {
  for (const name of readdirSync(from).filter((each) => each.endsWith(".d.ts"))) {
    const text = readFileSync(`${from}/${name}`, "utf8")
      .replaceAll('"@proofmill/core/wire"', '"./wire/index.ts"')
      // An operation's summary is what editors show beside the method.
      .replaceAll(
        /^( {4}readonly \w+: \{\n(?: {8}.*\n)*? {8}readonly summary: "(.*)";)$/gm,
        "    /** $2. */\n$1",
      );
    writeFileSync(`${to}/${name}`, text);
  }
}
