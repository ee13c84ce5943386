/** /metrics, over a server whose runner pretends: names, values, and labels that stay few. */
import { expect, test } from "vitest";
import { digestOf } from "../access/keys.ts";
import { INIT_GENERATE, PROOF, type TestServer, testServer } from "../test-support.ts";

/** Sample → value, e.g. `proofmill_state{state="IDLE"}` → 1. */
async function scrape(server: TestServer): Promise<Map<string, number>> {
  const answer = await server.get("/metrics");
  expect(answer.statusCode).toBe(200);
  expect(answer.headers["content-type"]).toBe("text/plain; version=0.0.4; charset=utf-8");
  const lines = answer.body.split("\n").filter((line) => line !== "" && !line.startsWith("#"));
  const samples = lines.map((line) => {
    const [, sample, value] = /^(\S+?(?:\{.*\})?) (\S+)$/.exec(line) as RegExpExecArray;
    return [sample as string, Number(value)] as const;
  });
  return new Map(samples);
}

function changed(server: TestServer, condition: () => boolean): Promise<void> {
  return new Promise((resolve) => {
    const off = server.service.on("change", check);
    function check() {
      if (!condition()) return;
      off();
      resolve();
    }
    check();
  });
}

test("a search and a proof are counted, pass by pass", async () => {
  const server = await testServer({ distance: () => 0.4 });
  const before = await scrape(server);
  expect(before.get('proofmill_state{state="IDLE"}')).toBe(1);
  expect(before.get("proofmill_nonces_checked_total")).toBe(0);
  const passes = 'vllm:iteration_tokens_total_count{model_name="test-model",engine="0"}';
  expect(before.get(passes)).toBe(0);

  await server.post("/init/generate", INIT_GENERATE);
  await changed(server, () => server.service.status({ limit: 1 }).total_checked >= 20);
  expect((await scrape(server)).get('proofmill_state{state="GENERATING"}')).toBe(1);
  await server.post("/stop");
  const { total_checked } = server.service.status();
  await server.post("/validate", { ...PROOF, dist: [0.4, 0.9, 0.4] });

  const after = await scrape(server);
  expect(after.get('proofmill_state{state="STOPPED"}')).toBe(1);
  expect(after.get("proofmill_nonces_checked_total")).toBe(total_checked);
  expect(after.get("proofmill_nonces_valid_total")).toBe(total_checked);
  expect(after.get("proofmill_nonces_nonfinite_total")).toBe(0);
  const searched = after.get('proofmill_runner_nonces_total{runner="none",work="search"}') ?? 0;
  expect(searched).toBeGreaterThanOrEqual(total_checked);
  expect(after.get('proofmill_runner_nonces_total{runner="none",work="proofs"}')).toBe(3);
  // Four nonces of 256 tokens go together through this model.
  const jobs = server.runner.jobs.map(({ input_seeds }) => Math.ceil(input_seeds.length / 4));
  const given = jobs.reduce((sum, count) => sum + count, 0);
  expect(after.get(passes)).toBeGreaterThan(1);
  expect(after.get(passes)).toBeLessThanOrEqual(given);
  const tokens = after.get(passes.replace("_count", "_sum"));
  expect(tokens).toBe((searched + 3) * 256);
  expect(after.get("proofmill_validation_seconds_count")).toBe(1);
  expect(after.get("proofmill_validated_nonces_total")).toBe(3);
  expect(after.get("proofmill_validation_mismatches_total")).toBe(1);
  expect(after.get('proofmill_verdicts_total{verdict="fraud"}')).toBe(1);
  expect(after.get('proofmill_verdicts_total{verdict="no_fraud"}')).toBe(0);
});

test("whatever strangers ask for, routes have few labels and name no path", async () => {
  const server = await testServer();
  await server.get("/health");
  await server.post("/init", { nothing: true });
  for (let i = 0; i < 50; i++) {
    await server.get(`/secret-${i}`);
    await server.get(`/trpc/pow.status-${i}?input=1`);
    await server.app.inject({ method: "PROPFIND" as "GET", url: `/dav/${i}` });
  }
  const samples = [...(await scrape(server)).keys()];
  const requests = samples.filter((sample) => sample.startsWith("proofmill_http_requests_total"));
  const label = (route: string, status: number, method = "GET") =>
    `proofmill_http_requests_total{method="${method}",route="${route}",status="${status}"}`;
  expect(requests).toContain(label("/health", 200));
  expect(requests).toContain(label("/api/v1/pow/init", 422, "POST"));
  expect(requests).toContain(label("unknown", 404));
  expect(requests).toContain(label("/trpc/:path", 404));
  expect(requests.length).toBeLessThan(8);
  expect(samples.filter((sample) => /secret|dav|127\.0\.0\.1|status-/.test(sample))).toEqual([]);
});

test("calls are shown of keys that are valid, and go on under a label whose key is another", async () => {
  const entry = (label: string, key: string) => ({
    ...{ label, digest: digestOf(key) },
    scopes: ["read" as const],
  });
  const server = await testServer({ keys: [entry("ops", "first"), entry("guest", "second")] });
  const calls = async (key: string) => {
    const headers = { authorization: `Bearer ${key}` };
    const { body } = await server.app.inject({ url: "/metrics", headers });
    return body.match(/^proofmill_key_requests_total.*/gm);
  };
  const shown = (key: string, count: number) =>
    `proofmill_key_requests_total{key="${key}"} ${count}`;
  await calls("first");
  expect(await calls("first")).toEqual([shown("ops", 2), shown("guest", 0)]);
  server.keyring?.replace([entry("ops", "third")]);
  expect(await calls("third")).toEqual([shown("ops", 3)]);
});

test("runners that fail or go are counted; a node without a model says so", async () => {
  const server = await testServer();
  server.runner.fail(new Error("no memory"));
  await server.post("/init/generate", INIT_GENERATE);
  await changed(server, () => server.service.status({ limit: 1 }).total_checked > 0);
  server.detach(new Error("it is gone"));
  const samples = await scrape(server);
  const failed = (outcome: string) =>
    samples.get(`proofmill_jobs_failed_total{runner="none",work="search",outcome="${outcome}"}`);
  expect(failed("fault")).toBe(1);
  expect(failed("lost")).toBeGreaterThan(0);
  expect(samples.get('proofmill_health{code="RUNNER_LOST",kind="reason"}')).toBe(1);
  expect(samples.get('proofmill_health{code="STORE_FAILED",kind="reason"}')).toBe(0);
});

test("what is open is shown as it is now", async () => {
  const server = await testServer();
  const address = await server.app.listen({ host: "127.0.0.1", port: 0 });
  const end = new AbortController();
  const { signal } = end;
  const stream = await fetch(`${address}/trpc/pow.onStatus`, { signal });
  await stream.body?.getReader().read();
  const open = await scrape(server);
  expect(open.get("proofmill_subscribers")).toBe(1);
  expect(open.get("proofmill_connections")).toBeGreaterThan(0);
  end.abort();
});

test("what sessions take and do is shown as it is now", async () => {
  const sessionStats = { pages: 10, pages_in_use: 4, running: 3, waiting: 2, preempted: 1 };
  const shown = await scrape(await testServer({ sessionStats }));
  expect(shown.get('proofmill_kv_pages{state="in_use"}')).toBe(4);
  expect(shown.get('proofmill_kv_pages{state="free"}')).toBe(6);
  expect(shown.get('proofmill_sessions{state="running"}')).toBe(3);
  expect(shown.get('proofmill_sessions{state="waiting"}')).toBe(2);
  expect(shown.get("proofmill_sessions_preempted_total")).toBe(1);
});

test("only GET; the process is shown beside the node", async () => {
  const server = await testServer();
  const answer = await server.app.inject({ method: "POST", url: "/metrics" });
  expect(answer.statusCode).toBe(405);
  const samples = await scrape(server);
  for (const name of ["process_resident_memory_bytes", "nodejs_eventloop_lag_p99_seconds"]) {
    expect(samples.has(name)).toBe(true);
  }
});
