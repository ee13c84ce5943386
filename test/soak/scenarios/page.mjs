// The page stays open beside rounds that come and go: what it holds must not grow.
import { setTimeout as sleep } from "node:timers/promises";
import { chromium } from "playwright-core";
import { LAUNCH, noBrowser } from "../../page/chromium.mjs";
import { startNode, withFolder } from "../node.mjs";

export const about = "the page in a browser, open for long beside rounds with many finds";

export const bounds = noBrowser
  ? {}
  : {
      page_faults: { most: 0 },
      finds: { least: 1 },
      heap_growth_percent: { most: 10 },
    };

const SECONDS = 600;
const ROUNDS = 10;
/** When the page has what it needs: at the end of the second minute, or once its code is compiled. */
const WARM = 0.2;
const WARM_SECONDS = 12;
/** Code that is compiled again and again, the better it is known, counts as memory and is none of the page's. */
const INTERPRETED = "--js-flags=--no-opt --no-maglev --no-sparkplug";

export const play = ({ share }) => {
  if (!noBrowser) return withFolder((folder) => follow(folder, SECONDS * share));
  console.warn(`page: ${noBrowser}`);
  return Promise.resolve({});
};

async function follow(folder, seconds) {
  const node = await startNode({ folder, args: ["--poc-seq-len", "8"] });
  const browser = await chromium.launch({ ...LAUNCH, args: [...LAUNCH.args, INTERPRETED] });
  try {
    const page = await browser.newPage();
    const faults = [];
    page.on("pageerror", ({ message }) => faults.push(message));
    await page.goto(node.url);
    const devtools = await page.context().newCDPSession(page);
    const heap = async () => {
      await devtools.send("HeapProfiler.collectGarbage");
      return (await devtools.send("Runtime.getHeapUsage")).usedSize;
    };
    const samples = [];
    let finds = 0;
    for (let i = 0; i < ROUNDS; i++) {
      await node.client.initGenerate({
        ...{ block_hash: `page-${i}`, block_height: i, public_key: "soak", r_target: 1.42 },
        ...{ node_id: 0, node_count: 1 },
      });
      await sleep((1000 * seconds) / ROUNDS);
      await node.client.stop();
      const { total_valid } = await node.client.status({ limit: 1 });
      finds += total_valid;
      // It has them all before its memory is looked at.
      await page
        .locator(".expected dd")
        .first()
        .getByText(total_valid.toLocaleString("en-US"), { exact: true })
        .waitFor();
      samples.push(await heap());
    }
    for (const fault of new Set(faults)) console.error(`page: ${fault}`);
    const warm = samples[Math.ceil(ROUNDS * Math.max(WARM, WARM_SECONDS / seconds)) - 1];
    await node.end("SIGTERM");
    return {
      page_faults: faults.length,
      finds,
      heap_mb: samples.at(-1) / 1e6,
      heap_growth_percent: 100 * (samples.at(-1) / warm - 1),
    };
  } finally {
    await browser.close();
  }
}
