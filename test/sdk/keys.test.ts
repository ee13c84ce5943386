/** What the SDK makes of a node's keys. */
import { createPocClient, ForbiddenError, UnavailableError } from "@proofmill/client";
import { expect, test } from "vitest";
import { startFakeNode } from "../fake-node.ts";

const KEY = "a-key-of-the-operator";

test("a key is shown over HTTP and WebSocket; what is refused is typed, with the request's id", async () => {
  const { url } = await startFakeNode({ apiKey: [KEY] });
  const client = createPocClient({ url, apiKey: KEY });
  expect((await client.status()).state).toBe("IDLE");
  for await (const { state } of client.watchStatus()) {
    expect(state).toBe("IDLE");
    break;
  }
  const error = await createPocClient({ url })
    .status()
    .catch((refused) => refused);
  expect(error).toBeInstanceOf(ForbiddenError);
  expect(error).toMatchObject({ code: "UNAUTHORIZED", status: 401 });
  expect(error.requestId).toMatch(/^[0-9A-Z]{26}$/);
});

test("a key that no header can hold is refused at once, and not quoted", () => {
  const make = () => createPocClient({ url: "http://127.0.0.1:1", apiKey: "secret\nof two lines" });
  expect(make).toThrow(/^apiKey: expected the key alone/);
  expect(make).not.toThrow(/secret/);
});

test("who asks too often is told so, and asks again when it may", async () => {
  const { url } = await startFakeNode({ apiKey: [KEY], maxRequestsPerSecond: 2 });
  const impatient = createPocClient({ url, apiKey: KEY, retries: 0 });
  const outcomes = await Promise.allSettled([1, 2, 3, 4].map(() => impatient.status()));
  const refused = outcomes.filter((each) => each.status === "rejected");
  expect(refused.length).toBeGreaterThan(0);
  for (const { reason } of refused) {
    expect(reason).toBeInstanceOf(UnavailableError);
    expect(reason).toMatchObject({ code: "TOO_MANY_REQUESTS", status: 429, retryAfter: 1 });
  }
  await createPocClient({ url, apiKey: KEY }).status();
});
