/** The page beside nodes that lie, flood and never end: it says so, and goes on. */

import type { ServerResponse } from "node:http";
import { createPocClient } from "@proofmill/client";
import { skipped } from "@proofmill/core/testing";
import type { Page } from "playwright-core";
import { describe, expect, test } from "vitest";
import { INIT, startFakeNode } from "../fake-node.ts";
import { poll } from "../helpers.ts";
import { openPage } from "./browser.ts";
import { noBrowser } from "./chromium.mjs";
import { type HostileNodeOptions, startHostileNode, type Tell } from "./hostile-node.ts";
import { add, choose } from "./look.ts";

/** Milliseconds; at rest it is a frame, tests share their machine. */
const FROZEN = 3000;

/** HTML, what moves a terminal's cursor, what turns the order of letters, and a great length. */
const TEXT = `<img src=x onerror="document.title='owned'"><script>1</script>\u0007\u001b[2J\u009b1m\u202egnp\u2066\u0000`;
const LONG = TEXT + "long ".repeat(200_000);

/** What an honest node says, to be twisted. */
async function truth() {
  const { url } = await startFakeNode();
  const node = createPocClient({ url });
  await node.initGenerate(INIT);
  await poll(
    () => node.status(),
    ({ total_valid }) => total_valid > 5,
  );
  await node.stop();
  const { valid_nonces, valid_distances, ...status } = await node.status();
  const streamed = { ...status, inference_refused: 0, inference_aborted: 0 };
  const round = { type: "round", ...INIT, round_id: status.round_id };
  const nonces = { type: "nonces", round_id: status.round_id, block_hash: INIT.block_hash };
  return {
    status,
    streamed,
    round,
    finds: { ...nonces, from: 0, nonces: valid_nonces, distances: valid_distances },
    info: await node.nodeInfo(),
    history: await node.nodeHistory(),
    events: {
      events: [{ id: 1, at: Date.now(), kind: "callback", is_bad: true, text: "It happened" }],
    },
  };
}
type Truth = Awaited<ReturnType<typeof truth>>;

/** The same with each value that is no list and no object changed. */
function twist(
  value: unknown,
  change: (value: unknown, name: string) => unknown,
  name = "",
): unknown {
  if (Array.isArray(value)) return value.map((each) => twist(each, change, name));
  if (typeof value !== "object" || value === null) return change(value, name);
  const fields = Object.entries(value).map(([name, each]) => [name, twist(each, change, name)]);
  return Object.fromEntries(fields);
}

/** Names of what a schema has a list of. */
const WORDS = new Set(["state", "status", "type", "kind", "code", "gate", "scopes", "round_id"]);
const texts = (text: string) => (value: unknown, name: string) =>
  typeof value === "string" && !WORDS.has(name) ? text : value;
const numbers = (number: unknown) => (value: unknown) =>
  typeof value === "number" ? number : value;
const FRACTIONS = /^(r_target|distances|rate_per_second|elapsed_seconds|oldest_seconds)$/;
/** Numbers that need not be whole; below zero may be targets and distances alone. */
const fractions = (number: number) => (value: unknown, name: string) =>
  FRACTIONS.test(name) && (number > 0 || /^(r_t|d)/.test(name)) ? number : value;
const deep = JSON.parse(`${"[".repeat(3000)}1${"]".repeat(3000)}`);

const LIES: Record<string, (truth: Truth) => unknown> = {
  "texts that are HTML and turn letters around": (truth) => twist(truth, texts(TEXT)),
  "words that are HTML and turn letters around": (truth) =>
    twist(truth, (value, name) => (typeof value === "string" && WORDS.has(name) ? TEXT : value)),
  "texts of a million characters": (truth) => twist(truth, texts(LONG)),
  "numbers of 1e308": (truth) => twist(truth, numbers(1e308)),
  "fractions of 1e308": (truth) => twist(truth, fractions(1e308)),
  "fractions of -1e308": (truth) => twist(truth, fractions(-1e308)),
  "numbers of nine quadrillions": (truth) => twist(truth, numbers(Number.MAX_SAFE_INTEGER)),
  "numbers below zero": (truth) => twist(truth, numbers(-7)),
  "numbers that are null": (truth) => twist(truth, numbers(null)),
  "numbers that are texts": (truth) => twist(truth, numbers("7")),
  "objects instead of everything": (truth) => twist(truth, () => ({ a: { b: 1 } })),
  "lists in lists": (truth) => twist(truth, (value, name) => (WORDS.has(name) ? value : deep)),
  "nothing but null": (truth) => Object.fromEntries(Object.keys(truth).map((key) => [key, null])),
  "empty objects": (truth) => Object.fromEntries(Object.keys(truth).map((key) => [key, {}])),
  "lists that are long": ({ info, events, ...truth }) => ({
    ...truth,
    info: {
      ...info,
      runners: Array.from({ length: 20_000 }, (_, i) => ({ ...info.runners[0], id: `${i}` })),
      health: {
        reasons: Array(20_000).fill({ code: "STORE_FAILED", text: "It is full" }),
        warnings: [],
      },
      delivery: {
        ...info.delivery,
        failures: Object.fromEntries(Array.from({ length: 20_000 }, (_, i) => [`why ${i}`, 1])),
      },
    },
    events: {
      events: Array.from({ length: 20_000 }, (_, i) => ({ ...events.events[0], id: i + 1 })),
    },
  }),
};

function answersOf({ status, info, history, events }: Truth) {
  return {
    "pow.status": { ...(status as object), valid_nonces: [], valid_distances: [] },
    "node.info": info,
    "node.history": history,
    "node.events": events,
  };
}

function nodeSaying(told: Truth): HostileNodeOptions {
  return {
    answers: answersOf(told),
    streams: {
      "pow.onStatus": (tell) => tell(told.streamed),
      "pow.onValidNonces": (tell) => {
        tell(told.round);
        tell(told.finds);
      },
    },
  };
}

/** What the page throws, and what its policy forbids; a node that does not answer is no fault of its. */
function faultsOf(page: Page): string[] {
  const faults: string[] = [];
  page.on("pageerror", ({ message }) => faults.push(message));
  page.on("console", (message) => {
    if (message.type() === "error" && /policy|directive/i.test(message.text())) {
      faults.push(message.text());
    }
  });
  return faults;
}

/** Opens the page of an honest node, which is told of this one too and is about it. */
async function look(options: HostileNodeOptions) {
  const own = await startFakeNode();
  const other = await startHostileNode(options);
  const page = await openPage("about:blank");
  const faults = faultsOf(page);
  await page.goto(own.url);
  await add(page, other.url);
  await choose(page, other.url);
  return { page, own, other, faults };
}

/** The longest time without a frame, of so many milliseconds. */
function longestFrame(page: Page, milliseconds: number): Promise<number> {
  return page.evaluate(`new Promise((resolve) => {
    const began = performance.now();
    let last = began;
    let longest = 0;
    const step = () => {
      const now = performance.now();
      longest = Math.max(longest, now - last);
      last = now;
      if (now - began < ${milliseconds}) requestAnimationFrame(step);
      else resolve(longest);
    };
    requestAnimationFrame(step);
  })`);
}

describe.skipIf(skipped(noBrowser))("the page of a node that", () => {
  test("tells lies of any kind", async () => {
    const honest = await truth();
    const liars = Object.entries(LIES).map(
      async ([name, lie]) =>
        [name, await startHostileNode(nodeSaying(lie(honest) as Truth))] as const,
    );
    const own = await startFakeNode();
    const page = await openPage("about:blank");
    const faults = faultsOf(page);
    await page.goto(own.url);
    for (const [name, liar] of await Promise.all(liars)) {
      await add(page, liar.url);
      await choose(page, liar.url);
      // It has told everything, or is not asked any more.
      await expect
        .poll(
          async () =>
            liar.asked("node.events") > 0 || (await page.getByText("Try again").count()) > 0,
          { timeout: 15_000 },
        )
        .toBe(true);
      expect(await longestFrame(page, 200), name).toBeLessThan(FROZEN);
      expect(faults, name).toEqual([]);
      expect(await page.title(), name).toBe("proofmill");
      expect(await page.locator("img, #page script").count(), name).toBe(0);
      const shown = (await page.locator("#page").textContent()) ?? "";
      expect(shown.length, name).toBeLessThan(100_000);
      const cards = await page.locator(".card:not(.nodes)").allInnerTexts();
      expect(cards.join("\n"), name).not.toMatch(/NaN|undefined|\[object|Infinity|∞/);
      expect(shown, name).not.toMatch(/(?![\n\t])[\p{Cc}\p{Bidi_Control}]/u);
      expect(await page.locator("#page *").count(), name).toBeLessThan(5000);
    }
    await choose(page, own.url);
    await page.locator(".state").getByText("IDLE").waitFor();
  });

  test("answers commands with what is no answer, and refuses with what is no refusal", async () => {
    const told = await truth();
    const shape = { message: LONG, code: -32600, data: { code: "X", httpStatus: 422 } };
    const refusal = { code: "INVALID_BODY", detail: [null, 1, { loc: 1 }, { msg: {} }] };
    const error = { ...shape, data: { ...shape.data, refusal, request_id: 7 } };
    const { page, faults } = await look({
      ...nodeSaying(told),
      answers: {
        ...answersOf(told),
        "pow.validate": { nonces: 7, n_invalid: "many" },
        "pow.phaseGenerate": (response: ServerResponse) => {
          response.statusCode = 422;
          response.end(JSON.stringify({ error }));
        },
      },
    });
    const dialog = page.getByRole("dialog");
    await page.getByRole("button", { name: "Check a proof" }).click();
    const pasted: [string, RegExp][] = [
      ["{", /JSON/],
      [`${"[".repeat(100_000)}${"]".repeat(100_000)}`, /call stack|does not answer as/],
      ["null", /does not answer as/],
      [JSON.stringify({ nonces: "x".repeat(1_500_000) }), /does not answer as/],
    ];
    for (const [text, why] of pasted) {
      await page.getByLabel("A ProofBatch as JSON").fill(text);
      await dialog.getByRole("button", { name: "Check it" }).click();
      await dialog.locator(".fault").getByText(why).waitFor();
    }
    await dialog.getByRole("button", { name: "Cancel" }).click();
    await page.getByRole("button", { name: "Search …" }).click();
    await dialog.getByRole("button", { name: "Search", exact: true }).click();
    await dialog.locator(".fault").waitFor();
    expect(((await dialog.textContent()) ?? "").length).toBeLessThan(5000);
    expect(await dialog.getByRole("button", { name: "Search", exact: true }).isEnabled()).toBe(
      true,
    );
    expect(faults).toEqual([]);
  });

  test("floods it with finds and statuses", async () => {
    const told = await truth();
    const flood = (event: (i: number) => unknown) => (tell: Tell) => {
      let i = 0;
      const timer = setInterval(() => {
        for (let many = 0; many < 50; many++, i++) {
          if (!tell(event(i))) return clearInterval(timer);
        }
      }, 20);
    };
    const { page, own, faults } = await look({
      answers: answersOf(told),
      streams: {
        "pow.onStatus": flood((i) => ({ ...told.streamed, total_valid: i, total_checked: i })),
        "pow.onValidNonces": flood((i) =>
          i === 0 ? told.round : { ...told.finds, from: i - 1, nonces: [i], distances: [0.25] },
        ),
      },
    });
    await page.locator(".finds .whole .row").first().waitFor();
    const longest = await longestFrame(page, 1000);
    console.info(`the longest frame of a flood took ${Math.round(longest)} ms`);
    expect(longest).toBeLessThan(FROZEN);
    await choose(page, own.url);
    await page.locator(".state").getByText("IDLE").waitFor();
    expect(faults).toEqual([]);
  });

  test("answers without end", async () => {
    const told = await truth();
    let sent = 0;
    const endless = (response: ServerResponse) => {
      response.write('{"result":{"data":"');
      const piece = "x".repeat(1 << 20);
      const more = () => {
        while (!response.destroyed && sent < 2 ** 31) {
          sent += piece.length;
          if (!response.write(piece)) return response.once("drain", more);
        }
      };
      more();
    };
    const { page, own } = await look({
      ...nodeSaying(told),
      answers: { ...answersOf(told), "node.info": endless },
    });
    const before = await poll(
      () => sent,
      (bytes) => bytes > 2 ** 25,
    );
    await longestFrame(page, 1000);
    console.info(`an answer without end was read for ${sent >> 20} MiB (${before >> 20})`);
    expect(sent).toBeLessThan(2 ** 28);
    await choose(page, own.url);
    await page.locator(".state").getByText("IDLE").waitFor();
  });

  test("closes each connection as soon as it is made", async () => {
    const told = await truth();
    const { page, other } = await look({
      answers: answersOf(told),
      onSocket: (socket) => socket.close(1000),
    });
    const before = other.sockets();
    await longestFrame(page, 1000);
    const made = other.sockets() - before;
    console.info(`${made} connections in a second`);
    expect(made).toBeLessThan(20);
  });
});
