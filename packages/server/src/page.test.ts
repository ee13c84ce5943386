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

test("what a browser or a proxy may ask of a file is answered with its policy", async () => {
  const { app } = await testServer();
  const [asset = ""] = await assetsOf(app);
  const { headers, rawPayload } = await app.inject(asset);
  const { etag, ...others } = headers;
  for (const known of [`W/${etag}`, `"other", ${etag}`, `"a",W/${etag}`]) {
    const answer = await app.inject({ url: asset, headers: { "if-none-match": known } });
    expect([known, answer.statusCode, answer.body]).toEqual([known, 304, ""]);
    expect(answer.headers["content-security-policy"]).toBe(others["content-security-policy"]);
  }
  const foreign = { "if-none-match": `"${"a,".repeat(5000)}"` };
  expect((await app.inject({ url: asset, headers: foreign })).statusCode).toBe(200);
  const head = await app.inject({ method: "HEAD", url: asset });
  expect(head).toMatchObject({ statusCode: 200, body: "" });
  expect(head.headers["content-security-policy"]).toBe(others["content-security-policy"]);
  const part = await app.inject({ url: asset, headers: { range: "bytes=0-1,5-" } });
  expect([part.statusCode, part.rawPayload]).toEqual([200, rawPayload]);
  expect((await app.inject({ method: "POST", url: "/" })).statusCode).toBe(405);
});

test("a name that files had before an upgrade is nobody's, and is not kept", async () => {
  const { app } = await testServer();
  const old = await app.inject("/assets/index-0ld0ld00.js");
  expect(old.statusCode).toBe(404);
  expect(old.headers["cache-control"] ?? "").not.toMatch(/immutable|max-age/);
  expect(old.headers["content-type"]).toMatch(/^application\/json/);
});

test.each([
  ...["/assets/../package.json", "/assets/%2e%2e/package.json", "/assets", "/index.html"],
  ...["/assets/..%2f..%2fpackage.json", "/assets/%252e%252e/package.json"],
  ...["/assets/..\\package.json", "/assets/%00", "/assets/index.js%00.css", "/assets/%ff"],
  ...["/assets/constructor", "/__proto__", `/assets/${"a/".repeat(4000)}`, "/assets//etc/passwd"],
])("%s is no file of it", async (path) => {
  const { app } = await testServer();
  expect((await app.inject(path)).statusCode).toBe(404);
});
