/** The page beside a node of a later version: it shows what it knows, and words as they are. */

import { createPocClient } from "@proofmill/client";
import { skipped } from "@proofmill/core/testing";
import { describe, expect, test } from "vitest";
import { INIT, startFakeNode } from "../fake-node.ts";
import { NEWER, startNewerNode } from "../newer-node.ts";
import { openPage } from "./browser.ts";
import { noBrowser } from "./chromium.mjs";
import { add, choose, faultsOf, PATIENCE, shown } from "./look.ts";

describe.skipIf(skipped(noBrowser))("the page beside a newer node", () => {
  test("shows what it knows, and the words that it does not know as they are", async () => {
    const own = await startFakeNode();
    const newer = await startNewerNode();
    const node = createPocClient({ url: newer.node.url });
    const page = await openPage("about:blank");
    const faults = faultsOf(page);
    await page.goto(own.url);
    await add(page, newer.url);
    const row = page.locator(".nodes tbody tr").filter({ hasText: newer.url });
    await row.getByText(`IDLE${NEWER}`).waitFor();
    await choose(page, newer.url);
    await node.initGenerate(INIT);
    await page.locator(".state").getByText(`GENERATING${NEWER}`).waitFor();
    await page.locator(".finds .whole .row").first().waitFor();
    expect(newer.unknown()).toBeGreaterThan(0);
    // Whether it works in a state that nobody here knows: it may be stopped.
    await page.getByRole("button", { name: "Stop" }).click();
    await page.getByRole("dialog").getByRole("button", { name: "Stop it" }).click();
    await page.locator(".state").getByText(`STOPPED${NEWER}`).waitFor();
    const { total_valid, round_id } = await node.status({ limit: 1 });
    const found = `${total_valid.toLocaleString("en-GB")} found`;
    await page.locator(".finds .note").getByText(found).waitFor();
    expect(await shown(page, "round", "round id")).toBe(round_id);
    await expect.poll(() => shown(page, "inference", "gate"), PATIENCE).toBe(`open${NEWER}`);
    expect(await page.locator(".runners .pill").textContent()).toBe(`alive${NEWER}`);
    await page.locator(".card.events:not(.verdicts) li").first().waitFor();
    expect(await page.getByText("Try again").count()).toBe(0);
    expect(faults).toEqual([]);
  });
});
