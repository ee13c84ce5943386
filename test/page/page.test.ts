/** The page in a browser, against whole nodes. */
import { createPocClient } from "@proofmill/client";
import type { Page } from "playwright-core";
import { describe, expect, test } from "vitest";
import { INIT, startFakeNode } from "../fake-node.ts";
import { poll } from "../helpers.ts";
import { noBrowser, openPage } from "./browser.ts";

/** What stands beside a name in the page's lists of facts and figures. */
async function shown(page: Page, card: string, name: string): Promise<string> {
  const fact = page.locator(`.${card} dl > div`, { has: page.locator(`dt:text-is("${name}")`) });
  return (await fact.locator("dd").innerText()).trim();
}

/** What the page throws, and what its policy forbids. */
function faultsOf(page: Page): string[] {
  const faults: string[] = [];
  page.on("pageerror", ({ message }) => faults.push(message));
  page.on("console", (message) => {
    if (message.type() === "error") faults.push(message.text());
  });
  return faults;
}

describe.skipIf(noBrowser)("the page", () => {
  test("shows what the status says, once the node rests", async () => {
    const { url } = await startFakeNode();
    const node = createPocClient({ url });
    await node.initGenerate(INIT);
    const page = await openPage("about:blank");
    const faults = faultsOf(page);
    await page.goto(url);
    await page.locator(".state").getByText("GENERATING").waitFor();
    await poll(
      () => node.status(),
      ({ total_valid }) => total_valid > 20,
    );
    await node.stop();
    await page.locator(".state").getByText("STOPPED").waitFor();
    const status = await node.status();
    const whole = (x: number) => x.toLocaleString("en-GB");
    await page
      .locator(".finds .note")
      .getByText(`${whole(status.total_valid)} found`)
      .waitFor();
    expect(await shown(page, "rate", "nonces checked")).toBe(whole(status.total_checked));
    expect(await shown(page, "round", "block hash")).toBe(status.block_hash);
    expect(await shown(page, "round", "round id")).toBe(status.round_id);
    expect(await shown(page, "round", "public key")).toBe(status.public_key);
    expect(await shown(page, "round", "target (r_target)")).toBe("0.5");
    const rows = await page.locator(".finds .whole .row").allInnerTexts();
    const [found, nonce, distance] = rows[0]?.split(/\s+/) ?? [];
    expect([found, nonce]).toEqual([
      whole(status.total_valid),
      whole(status.valid_nonces.at(-1) ?? Number.NaN),
    ]);
    expect(Number(distance)).toBeCloseTo(status.valid_distances.at(-1) ?? Number.NaN, 6);
    expect(faults).toEqual([]);
    if (process.env.SHOTS)
      await page.screenshot({ path: `${process.env.SHOTS}/rest.png`, fullPage: true });
  });
});
