/** What a reader does with the page and his browser: long texts, several tabs, back, sleep, paper. */

import { createServer } from "node:http";
import { createPocClient } from "@proofmill/client";
import { skipped } from "@proofmill/core/testing";
import type { Page } from "playwright-core";
import { describe, expect, test } from "vitest";
import { INIT, startFakeNode } from "../fake-node.ts";
import { listen } from "../helpers.ts";
import { openPage } from "./browser.ts";
import { noBrowser } from "./chromium.mjs";
import { startHostileNode } from "./hostile-node.ts";
import { add, choose, faultsOf, PATIENCE, shoot, shown } from "./look.ts";

/** Characters that are pasted; a browser that drew them all would stand still for a minute, or end. */
const PASTED = 50_000_000;

/** Pastes as a reader does: what a field takes no more of is left out. */
async function paste(page: Page, field: string): Promise<number> {
  await page.locator(field).waitFor();
  return page.evaluate(`(() => {
    const field = document.querySelector('${field}');
    field.focus();
    document.execCommand("insertText", false, "7".repeat(${PASTED}));
    return field.value.length;
  })()`);
}

/** Addresses in the list of nodes. */
const listed = (page: Page) => page.locator(".nodes tbody td:first-child").allInnerTexts();

describe.skipIf(skipped(noBrowser))("the page", () => {
  test("takes no more of what is pasted than belongs there", async () => {
    const { url } = await startFakeNode();
    await createPocClient({ url }).init(INIT);
    const page = await openPage(url);
    const faults = faultsOf(page);
    expect(await paste(page, ".add input")).toBe(2048);
    expect(await paste(page, ".copies input")).toBeLessThan(10);
    await page.getByRole("button", { name: "Begin a round" }).click();
    expect(await paste(page, "[name=block_hash]")).toBe(2048);
    expect(await paste(page, "[name=r_target]")).toBe(2048);
    const dialog = page.getByRole("dialog");
    await dialog.getByRole("button", { name: "Cancel" }).click();
    await page.getByRole("button", { name: "Check a proof" }).click();
    expect(await paste(page, "textarea")).toBe(2_000_000);
    await dialog.getByRole("button", { name: "Check it" }).click();
    await dialog.getByText("No proof is longer than 2,000,000 characters").waitFor();
    const locked = await startFakeNode({ apiKey: ["a-key-that-is-right"] });
    await page.goto(locked.url);
    await page.getByLabel("API key").waitFor();
    expect(await paste(page, "[type=password]")).toBe(2048);
    // A browser tells of the 401 itself.
    expect(faults.filter((each) => !/401/.test(each))).toEqual([]);
  });

  test("is one list of nodes in two tabs, and each tab's own node goes with back and reload", async () => {
    const { url } = await startFakeNode();
    const other = await startFakeNode({ allowOrigin: [url] });
    const third = await startFakeNode({ allowOrigin: [url] });
    const first = await openPage(url);
    const second = await first.context().newPage();
    await second.goto(url);
    await add(first, other.url);
    await expect.poll(() => listed(second), PATIENCE).toEqual([url, other.url]);
    await add(second, third.url);
    await expect.poll(() => listed(first), PATIENCE).toEqual([url, other.url, third.url]);
    await choose(first, third.url);
    const name = first.locator("header .note");
    expect(await first.getByRole("link", { name: "API" }).getAttribute("href")).toBe(
      `${third.url}/docs`,
    );
    await choose(first, other.url);
    await first.goBack();
    await name.getByText(third.url).waitFor();
    await first.reload();
    await name.getByText(third.url).waitFor();
    expect(await second.locator("header .note").textContent()).toBe(url);
    // What is removed in one tab is left in the other, also where that is about it.
    await second.getByRole("button", { name: `Remove ${third.url}` }).click();
    await name.getByText(url).waitFor();
    expect(await listed(first)).toEqual([url, other.url]);
    await first.reload();
    await expect.poll(() => listed(first), PATIENCE).toEqual([url, other.url]);
  });

  test("asks for what it has slept through, and follows a node whose clock is set back", async () => {
    const { url } = await startFakeNode();
    const node = createPocClient({ url });
    const truth = await node.nodeInfo();
    const { valid_nonces, valid_distances, ...status } = await node.status();
    /** Two points of a node whose clock says so, at so many nonces a second. */
    const past = (now: number, checked: number) => ({
      ...{ at: [now - 1000, now], state: ["IDLE", "IDLE"], checked: [checked, checked] },
      ...{ valid: [0, 0], rate_per_second: [checked, checked], generated_tokens: [0, 0] },
    });
    let isSetBack = false;
    const asked: (number | undefined)[] = [];
    const dated = await startHostileNode({
      answers: {
        "node.info": truth,
        "pow.status": { ...status, valid_nonces, valid_distances },
        "node.history": (response: import("node:http").ServerResponse) => {
          const points = isSetBack ? past(Date.now() - 3_600_000, 30) : past(Date.now(), 10);
          response.end(JSON.stringify({ result: { data: { ten_minutes: points, day: points } } }));
        },
        "node.events": { events: [] },
      },
      streams: {
        "pow.onStatus": (tell) => tell({ ...status, inference_refused: 0, inference_aborted: 0 }),
      },
    });
    const page = await openPage(url);
    page.on("request", (request) => {
      const { pathname, searchParams } = new URL(request.url());
      if (!request.url().startsWith(dated.url) || !pathname.endsWith("node.history")) return;
      asked.push(JSON.parse(searchParams.get("input") ?? "{}").seconds);
    });
    await add(page, dated.url);
    await choose(page, dated.url);
    const rate = () => shown(page, "rate", "nonces/s now");
    await expect.poll(rate, PATIENCE).toBe("10");
    // While a machine sleeps its own ticks stand still, and the time of day goes on.
    await page.evaluate("{ const now = Date.now; Date.now = () => now() + 3_600_000; }");
    await expect.poll(() => asked.some((seconds) => (seconds ?? 0) > 3600), PATIENCE).toBe(true);
    // Of a node that is chosen all is asked for once; before, only what is of now.
    expect(asked.filter((seconds) => seconds === undefined)).toHaveLength(1);
    isSetBack = true;
    await expect.poll(rate, PATIENCE).toBe("30");
  });

  test("says what may be wrong with an address that answers nothing it may read", async () => {
    const { url } = await startFakeNode();
    const html = await listen(createServer((_, response) => response.end("<html>")));
    const secret = html.replace("http:", "https:");
    const page = await openPage(url);
    for (const address of [html, secret]) await add(page, address);
    await choose(page, html);
    await page.getByText("not one that leads on to it").waitFor();
    await choose(page, secret);
    await page.getByText("There is no connection so far.").waitFor();
    await page.getByText("Whether this browser trusts its certificate").waitFor();
    expect(await page.locator(".card").count()).toBe(2);
  });

  test("on paper is what is seen, without what is clicked", async () => {
    const { url } = await startFakeNode();
    await createPocClient({ url }).init(INIT);
    const page = await openPage(url, { colorScheme: "dark" });
    await page.locator(".state").getByText("IDLE").waitFor();
    await page.emulateMedia({ media: "print" });
    expect(await page.locator("button:visible:not([aria-pressed]), input:visible").count()).toBe(0);
    await expect
      .poll(() =>
        page.evaluate("getComputedStyle(document.querySelector('.card')).backgroundColor"),
      )
      .toBe("rgb(255, 255, 255)");
    await shoot(page, "paper");
  });
});
