/** What tests do at the page, and what they read there. */
import { join } from "node:path";
import type { Page } from "playwright-core";

/** The page asks every two seconds for what is not streamed; a machine that is busy takes its time. */
export const PATIENCE = { timeout: 15_000 };

/** Adds a node to the list. */
export async function add(page: Page, url: string): Promise<void> {
  await page.getByLabel("another node's address").fill(url);
  await page.getByRole("button", { name: "Add", exact: true }).click();
}

/** Has the page be about this node of the list. */
export async function choose(page: Page, url: string): Promise<void> {
  const row = page.locator(".nodes tbody tr").filter({ hasText: url });
  await row.getByRole("button").first().click();
  await page.locator("header").getByText(url).waitFor();
}

/** What stands beside a name in the page's lists of facts and figures. */
export async function shown(page: Page, card: string, name: string): Promise<string> {
  const fact = page.locator(`.${card} dl > div`, { has: page.locator(`dt:text-is("${name}")`) });
  return (await fact.locator("dd").textContent())?.trim() ?? "";
}

/** For people who want to look: PROOFMILL_SHOTS names a folder for pictures. */
export async function shoot(page: Page, name: string): Promise<void> {
  const folder = process.env.PROOFMILL_SHOTS;
  if (folder) await page.screenshot({ path: join(folder, `${name}.png`), fullPage: true });
}

/** What the page throws, and what its policy forbids. */
export function faultsOf(page: Page): string[] {
  const faults: string[] = [];
  page.on("pageerror", ({ message }) => faults.push(message));
  page.on("console", (message) => {
    if (message.type() === "error") faults.push(message.text());
  });
  return faults;
}
