/** The system's Chromium, without a window, for tests of the page. */
import { existsSync } from "node:fs";
import { type Browser, type BrowserContextOptions, chromium, type Page } from "playwright-core";
import { afterAll, onTestFinished } from "vitest";

const PLACES = ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"];

const executablePath = [process.env.PROOFMILL_CHROMIUM, ...PLACES].find(
  (place) => place !== undefined && existsSync(place),
);

/** Why tests of the page cannot run here; null: they can. */
export const noBrowser =
  executablePath === undefined
    ? `there is no Chromium at ${PLACES.join(", ")}; PROOFMILL_CHROMIUM may name one`
    : null;
if (noBrowser) console.warn(`tests of the page are skipped: ${noBrowser}`);

let browser: Promise<Browser> | null = null;

afterAll(async () => {
  await (await browser)?.close();
});

/** Opens a page of its own, which is closed with the test. */
export async function openPage(url: string, options: BrowserContextOptions = {}): Promise<Page> {
  browser ??= chromium.launch({
    executablePath: executablePath as string, // tests are skipped without one
    args: ["--disable-gpu", ...(process.getuid?.() === 0 ? ["--no-sandbox"] : [])],
  });
  const context = await (await browser).newContext({ locale: "en-GB", ...options });
  onTestFinished(() => context.close());
  const page = await context.newPage();
  await page.goto(url);
  return page;
}
