import { gzipSync } from "node:zlib";
import { expect, test } from "vitest";
import { digestOf } from "./access/keys.ts";
import { testServer } from "./test-support.ts";

/** Bytes of JavaScript, packed as they are sent. */
const MOST_JAVASCRIPT = 150_000;

/** What the page's HTML names. */
async function assetsOf(app: Awaited<ReturnType<typeof testServer>>["app"]): Promise<string[]> {
  const { body } = await app.inject("/");
  return [...body.matchAll(/(?:src|href)="\.(\/assets\/[^"]+)"/g)].map(([, path = ""]) => path);
}

test("the page needs no key, all else does, and nothing in it is inline or from elsewhere", async () => {
  const { app } = await testServer({
    keys: [{ label: "a", scopes: ["admin"], digest: digestOf("a-key-that-is-long") }],
  });
  const page = await app.inject("/");
  expect(page.statusCode).toBe(200);
  expect(page.headers["content-type"]).toBe("text/html; charset=utf-8");
  const policy = String(page.headers["content-security-policy"]).split("; ");
  expect(policy).toContain("default-src 'self'");
  expect(policy).toContain("connect-src 'self' http: https: ws: wss:");
  expect(policy).toContain("require-trusted-types-for 'script'");
  expect(policy.join()).not.toMatch(/unsafe|data:|blob:|\*/);
  expect(page.body).not.toMatch(/<style|\sstyle=|\son\w+=|<script(?![^>]*\ssrc=)|https?:\/\//);
  const assets = await assetsOf(app);
  expect(assets.map((path) => path.replace(/.*\./, "")).sort()).toEqual(["css", "js", "svg"]);
  for (const path of assets) expect((await app.inject(path)).statusCode).toBe(200);
  expect((await app.inject("/api/v1/pow/status")).statusCode).toBe(401);
  expect((await app.inject("/assets/nothing.js")).statusCode).toBe(401);
});

test("files under a name of their contents are kept for good, the page itself is asked for again", async () => {
  const { app } = await testServer();
  const page = await app.inject("/");
  expect(page.headers["cache-control"]).toBe("no-cache");
  const headers = { "if-none-match": String(page.headers.etag) };
  expect(await app.inject({ url: "/", headers })).toMatchObject({ statusCode: 304, body: "" });
  for (const path of await assetsOf(app)) {
    const { headers } = await app.inject(path);
    expect(headers["cache-control"]).toBe("public, max-age=31536000, immutable");
  }
});

test("it is sent packed to those who take that, and is small", async () => {
  const { app } = await testServer();
  let bytes = 0;
  for (const url of (await assetsOf(app)).filter((path) => path.endsWith(".js"))) {
    const plain = await app.inject(url);
    const packed = await app.inject({ url, headers: { "accept-encoding": "br, gzip" } });
    expect(plain.headers["content-encoding"]).toBeUndefined();
    expect(packed.headers["content-encoding"]).toBe("gzip");
    expect(packed.rawPayload).toEqual(gzipSync(plain.rawPayload, { level: 9 }));
    const refused = await app.inject({ url, headers: { "accept-encoding": "gzip;q=0, br" } });
    expect(refused.headers["content-encoding"]).toBeUndefined();
    bytes += packed.rawPayload.length;
  }
  expect(bytes).toBeGreaterThan(10_000);
  expect(bytes).toBeLessThan(MOST_JAVASCRIPT);
});

test.each(["/assets/../package.json", "/assets/%2e%2e/package.json", "/assets", "/index.html"])(
  "%s is no file of it",
  async (path) => {
    const { app } = await testServer();
    expect((await app.inject(path)).statusCode).toBe(404);
  },
);
