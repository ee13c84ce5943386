import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { type PrefillJob, RunnerLost } from "@proofmill/core";
import { fakeDistance, notLinux, skipped } from "@proofmill/core/testing";
import { expect, onTestFinished, test, vi } from "vitest";
import { type ProcessRunner, startRunner } from "./process.ts";
import type { HangLimits } from "./watchdog.ts";

const entry = new URL("./fake-child.mjs", import.meta.url);

const JOB: PrefillJob = {
  id: 1,
  seq_len: 16,
  input_seeds: Uint32Array.of(1, 2, 0xffffffff),
  output: { kind: "distance", permutation_seeds: Uint32Array.of(4, 5, 6), target_seed: 7 },
};

/** @param directory what the fake child does */
async function start(
  directory: string,
  signal?: AbortSignal,
  hangLimits?: HangLimits,
): Promise<ProcessRunner> {
  const runner = await startRunner({
    model: { directory, dtype: "auto", device: "auto" },
    entry,
    ...(signal ? { signal } : {}),
    ...(hangLimits ? { hangLimits } : {}),
  });
  onTestFinished(() => runner.close());
  return runner;
}

test("a job's result comes back as the runner gave it", async () => {
  const runner = await start("ready");
  expect(runner.info.arithmetic).toBe("fake-1");
  const seeds = { input_seed: 0xffffffff, permutation_seed: 6, target_seed: 7, seq_len: 16 };
  const { completed, values } = await runner.run(JOB);
  expect(completed).toBe(3);
  expect(values).toBeInstanceOf(Float32Array);
  expect(values[2]).toBe(fakeDistance(seeds));
});

test("jobs run side by side and keep their own results", async () => {
  const runner = await start("ready");
  const jobs = [1, 2, 3].map((id) => ({ ...JOB, id, seq_len: id }));
  const results = await Promise.all(jobs.map((job) => runner.run(job)));
  expect(new Set(results.map(({ values }) => values[0])).size).toBe(3);
});

test("a cancelled job resolves with what is finished", async () => {
  const runner = await start("cuttable");
  const result = runner.run(JOB);
  await expect(runner.run(JOB)).rejects.toThrow("job 1 is given twice");
  runner.cancel(99);
  runner.cancel(JOB.id);
  expect((await result).completed).toBe(1);
});

test("a job that is at fault rejects with the runner's words, and the runner lives on", async () => {
  const runner = await start("faulty");
  await expect(runner.run(JOB)).rejects.toThrow("seq_len must be at most 1024");
  const next = runner.run({ ...JOB, id: 2 });
  runner.cancel(2);
  expect((await next).completed).toBe(0);
});

test("a device that is lost takes its process and all jobs with it", async () => {
  const runner = await start("lost");
  const jobs = [1, 2].map((id) => runner.run({ ...JOB, id }));
  const outcomes = await Promise.allSettled(jobs);
  const reasons = outcomes.map((outcome) => outcome.status === "rejected" && outcome.reason);
  expect(reasons).toEqual([expect.any(RunnerLost), expect.any(RunnerLost)]);
  expect(String(await runner.ended)).toContain("illegal address on GPU 0");
  await expect(runner.run(JOB)).rejects.toThrow("illegal address on GPU 0");
});

test("a runner's notice reaches whoever started it", async () => {
  const notices: [string, string][] = [];
  const runner = await startRunner({
    model: { directory: "talkative", dtype: "auto", device: "auto" },
    entry,
    onNotice: (text, level) => notices.push([text, level]),
  });
  await runner.close();
  expect(notices).toEqual([["no GPU is used: there is none", "warn"]]);
});

test("a model that cannot be loaded: the loader's own message", async () => {
  await expect(start("broken")).rejects.toThrow("config.json: no such architecture");
});

test("a process that ends while it loads", async () => {
  await expect(start("crashing")).rejects.toThrow(RunnerLost);
  await expect(start("crashing")).rejects.toThrow("exit code 7");
});

test("a module that does not exist", async () => {
  const nothing = new URL("./nothing.mjs", import.meta.url);
  const model = { directory: "ready", dtype: "auto", device: "auto" } as const;
  await expect(startRunner({ model, entry: nothing })).rejects.toThrow(RunnerLost);
});

test("loading can be given up, also before it began", async () => {
  const later = new AbortController();
  const loading = start("endless", later.signal);
  later.abort();
  await expect(loading).rejects.toThrow(RunnerLost);
  await expect(start("endless", AbortSignal.abort())).rejects.toThrow(RunnerLost);
});

test("a killed process rejects what is pending and says how it ended", async () => {
  const runner = await start("held");
  const pending = [runner.run(JOB), runner.run({ ...JOB, id: 2 })];
  process.kill(runner.pid, "SIGKILL");
  for (const result of await Promise.allSettled(pending)) {
    expect(result).toMatchObject({ status: "rejected", reason: expect.any(RunnerLost) });
  }
  expect((await runner.ended).message).toMatch(/ended by SIGKILL/);
  await expect(runner.run(JOB)).rejects.toThrow(RunnerLost);
  await runner.close();
});

test("one that hangs is killed, also when it is stopped; without work it may do nothing", async () => {
  const limits = { least: 3000, most: 3000 };
  const idle = await start("ready", undefined, limits);
  const runners = [
    await start("held", undefined, limits),
    await start("held", undefined, limits),
  ] as const;
  process.kill(runners[1].pid, "SIGSTOP");
  const hangs = async (runner: ProcessRunner) => {
    const lost = expect(runner.run(JOB)).rejects.toThrow(
      /the runner hangs: nothing was finished for \d s/,
    );
    expect(runner.isStalled).toBe(false);
    await vi.waitUntil(() => runner.isStalled, 10_000);
    expect(isAlive(runner.pid)).toBe(true);
    await lost;
    await runner.ended;
    expect(isAlive(runner.pid)).toBe(false);
  };
  await Promise.all(runners.map(hangs));
  expect(idle.isStalled).toBe(false);
  expect((await idle.run(JOB)).completed).toBe(3);
}, 30_000);

test("one that holds too much ends after a job, and says how much", async () => {
  const model = { directory: "greedy", dtype: "auto", device: "auto", maxMemory: 2 ** 28 } as const;
  const runner = await startRunner({ model, entry });
  const { present, peak } = runner.memory ?? { present: 0, peak: 0 };
  expect(present).toBeGreaterThan(2 ** 24);
  expect(peak).toBeGreaterThanOrEqual(present);
  for (let id = 0; ; id++) {
    const outcomes = await Promise.allSettled([
      runner.run({ ...JOB, id: 2 * id }),
      runner.run({ ...JOB, id: 2 * id + 1 }),
    ]);
    const lost = outcomes.filter(({ status }) => status === "rejected");
    for (const outcome of lost) expect(outcome).toMatchObject({ reason: expect.any(RunnerLost) });
    if (lost.length > 0) break;
  }
  expect(String(await runner.ended)).toMatch(
    /the runner's process holds 0\.\d GiB, more than the 0\.3 GiB that --runner-max-memory allows/,
  );
});

test("a limit that is passed by loading alone refuses the model", async () => {
  const model = { directory: "ready", dtype: "auto", device: "auto", maxMemory: 2 ** 20 } as const;
  await expect(startRunner({ model, entry })).rejects.toThrow(
    /^the model is loaded, and the runner's process holds \d+\.\d [MG]iB, more than the 1\.0 MiB that/,
  );
});

test("SIGTERM and SIGINT do not end it", async () => {
  const runner = await start("ready");
  process.kill(runner.pid, "SIGTERM");
  process.kill(runner.pid, "SIGINT");
  expect((await runner.run(JOB)).completed).toBe(3);
});

test("close rejects what is pending, and can be called again", async () => {
  const runner = await start("held");
  const pending = expect(runner.run(JOB)).rejects.toThrow("the runner is closed");
  await Promise.all([runner.close(), runner.close()]);
  await pending;
  expect(isAlive(runner.pid)).toBe(false);
});

test("a process that does not close is killed within 2 seconds", async () => {
  const runner = await start("stubborn");
  const begin = performance.now();
  await runner.close();
  expect(performance.now() - begin).toBeLessThan(2000);
  expect(isAlive(runner.pid)).toBe(false);
});

test.each(["held", "endless"])("it ends with its parent, killed while it is %s", async (what) => {
  const { parent, pid } = await startParent(entry, what);
  process.kill(pid, "SIGTERM"); // which it survives
  parent.kill("SIGKILL");
  await once(parent, "exit");
  await gone(pid);
});

test.skipIf(skipped(notLinux)).each([
  ["it is stopped", ["child"]],
  ["both are stopped", ["child", "parent"]],
  ["the parent is stopped", ["parent"]],
])("its parent is killed while %s", async (_, stopped) => {
  const real = new URL("../../dist/runners/child.js", import.meta.url);
  const { parent, pid } = await startParent(real, "no such model");
  if (stopped.includes("parent")) parent.kill("SIGSTOP");
  if (stopped.includes("child")) process.kill(pid, "SIGSTOP");
  parent.kill("SIGKILL");
  await once(parent, "exit");
  await gone(pid);
});

/** Forks a runner as the server does, and says its pid once it loads. */
const PARENT = `
  import { fork } from "node:child_process";
  const how = { serialization: "advanced", execArgv: [] };
  const child = fork(new URL(process.argv[1]), [String(process.pid)], how);
  const options = { directory: process.argv[2], dtype: "auto", device: "auto" };
  child.on("message", ({ type }) => type === "started" || process.send(child.pid));
  child.send({ type: "load", options });
`;

async function startParent(
  entry: URL,
  directory: string,
): Promise<{ parent: ChildProcess; pid: number }> {
  const args = ["--input-type=module", "-e", PARENT, entry.href, directory];
  const parent = spawn(process.execPath, args, { stdio: ["ignore", "ignore", "inherit", "ipc"] });
  const [pid] = await once(parent, "message");
  return { parent, pid };
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

/** Resolves when a process has ended, whether it is reaped or not: no event tells of another's child. */
async function gone(pid: number): Promise<void> {
  while (isAlive(pid) && !isZombie(pid)) await new Promise((resolve) => setTimeout(resolve, 10));
}

/** Linux alone knows. */
function isZombie(pid: number): boolean {
  try {
    return readFileSync(`/proc/${pid}/stat`, "utf8").includes(") Z ");
  } catch {
    return false;
  }
}
