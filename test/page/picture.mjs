// Makes docs/page.png, the picture of the page in the README: `node test/page/picture.mjs`, after a build.
// A node with the demo model searches for half a minute; Chromium is the system's.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { setTimeout as pause } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { chromium } from "playwright-core";
import { LAUNCH } from "./chromium.mjs";

const BIN = fileURLToPath(new URL("../../packages/server/bin/proofmill.mjs", import.meta.url));
const PICTURE = fileURLToPath(new URL("../../docs/page.png", import.meta.url));
const SEARCH_MS = 30_000;
const ROUND = {
  ...{ block_hash: "b1f7c0de", block_height: 1_204_118, public_key: "node1", r_target: 1.36 },
  ...{ node_id: 0, node_count: 1 },
};

const folder = mkdtempSync(join(tmpdir(), "proofmill-picture-"));
const args = ["serve", "--enable-poc", "--port", "0", "--poc-seq-len", "32", "--data-dir", folder];
const node = spawn(process.execPath, [BIN, ...args], { stdio: ["ignore", "pipe", "inherit"] });
try {
  const lines = createInterface({ input: node.stdout });
  let url = "";
  for await (const line of lines) {
    const { msg = "" } = JSON.parse(line);
    if (msg.startsWith("listening on ")) url = msg.slice("listening on ".length);
    if (msg.startsWith("model loaded")) break;
  }
  node.stdout.resume();
  const answer = await fetch(`${url}/api/v1/pow/init/generate`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(ROUND),
  });
  if (!answer.ok) throw new Error(await answer.text());
  await pause(SEARCH_MS);
  const browser = await chromium.launch(LAUNCH);
  const page = await browser.newPage({
    viewport: { width: 1240, height: 830 },
    locale: "en-GB",
  });
  await page.goto(url);
  await page.locator(".finds .whole .row").first().waitFor();
  await page.locator(".rate canvas").waitFor();
  await page.screenshot({ path: PICTURE });
  await browser.close();
} finally {
  node.kill("SIGTERM");
  await once(node, "exit");
  rmSync(folder, { recursive: true, force: true });
}
