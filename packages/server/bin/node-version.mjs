import { readFileSync } from "node:fs";

/**
 * Ends the process with one line where Node is older than what package.json asks for. Called before
 * anything else is imported: an old Node fails inside an import, with a stack that does not say why.
 */
export function refuseOldNode() {
  const { engines } = JSON.parse(readFileSync(new URL("../package.json", import.meta.url), "utf8"));
  const numbers = (version) => version.match(/\d+/g).map(Number);
  const [major, minor] = numbers(engines.node);
  const [ourMajor, ourMinor] = numbers(process.version);
  if (ourMajor > major || (ourMajor === major && ourMinor >= minor)) return;
  const needed = engines.node.replace(">=", "");
  console.error(
    `proofmill: Node ${process.version} is too old; install Node ${needed} or later and try again`,
  );
  process.exit(1);
}
