/** Methods that no path of ours knows end at the door. */
import { createServer, METHODS } from "node:http";
import type { AddressInfo } from "node:net";
import { expect, onTestFinished, test, vi } from "vitest";
import { testServer } from "../test-support.ts";
import { listening } from "./test-support.ts";

const KNOWN = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];
const PATHS = ["/trpc/pow.status", "/trpc/nothing", "/trpc", "/api/v1/pow/status", "/health"];

async function upstream(): Promise<{ url: string; methods: string[] }> {
  const methods: string[] = [];
  const server = createServer((request, response) => {
    methods.push(request.method ?? "");
    response.end("{}");
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  onTestFinished(() => void server.close());
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, methods };
}

test.each([
  ["without CORS", []],
  ["with CORS", ["https://dashboard.example"]],
])("%s every other method is 405 where the path is known, else 404", async (_name, allowOrigin) => {
  const { url, methods } = await upstream();
  const server = await listening({ allowOrigin, upstream: { url, apiKey: "secret" } });
  const failures = vi.spyOn(server.app.log, "error");
  for (const method of METHODS.filter((each) => !KNOWN.includes(each) && each !== "CONNECT")) {
    for (const path of [...PATHS, "/v1/models", "/tokenize", "/nothing"]) {
      const client = await server.open();
      client.socket.write(`${method} ${path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`);
      await client.closed;
      const status = path === "/nothing" ? 404 : 405;
      // Source and the like are not even parsed.
      expect(`${method} ${path} ${client.text()}`).toMatch(new RegExp(`HTTP/1.1 (${status}|400) `));
      expect(client.text()).not.toMatch(/TRACE|PROPFIND/);
    }
  }
  expect(methods).toEqual([]);
  expect(failures).not.toHaveBeenCalled();
});

test.each(["PUT", "PATCH", "DELETE", "OPTIONS"] as const)("tRPC takes no %s", async (method) => {
  const { app } = await testServer();
  const response = await app.inject({ method, url: "/trpc/pow.stop", payload: "{}" });
  expect(response.statusCode).toBe(405);
  expect(response.headers.allow).toBe("GET, HEAD, POST");
  expect(response.json()).toEqual({ detail: "Method Not Allowed" });
});

test("with CORS an unknown path is 404, and a question that is no preflight is like any other", async () => {
  const { app } = await testServer({ allowOrigin: ["https://dashboard.example"] });
  const ask = async (method: "GET" | "PUT" | "OPTIONS", url: string, headers = {}) =>
    (await app.inject({ method, url, headers })).statusCode;
  for (const method of ["GET", "PUT", "OPTIONS"] as const) {
    expect(await ask(method, "/nothing")).toBe(404);
    expect(await ask(method, "/api/v1/pow/nothing")).toBe(404);
  }
  expect(await ask("PUT", "/api/v1/pow/stop")).toBe(405);
  expect(await ask("OPTIONS", "/api/v1/pow/stop")).toBe(405);
  const preflight = {
    origin: "https://dashboard.example",
    "access-control-request-method": "POST",
  };
  expect(await ask("OPTIONS", "/api/v1/pow/stop", preflight)).toBe(204);
});
