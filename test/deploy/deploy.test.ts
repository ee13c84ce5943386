/** What stands in deploy/ is so: command lines, variables, paths, metrics, and what their own tools say. */

import { execFileSync, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { createPocClient } from "@proofmill/client";
import { HealthCode } from "@proofmill/core";
import { lacking, skipped } from "@proofmill/core/testing";
import { parseConfig } from "@proofmill/server";
import { expect, test } from "vitest";
import { parse, parseAllDocuments } from "yaml";
import { INIT, PROOF, startFakeNode } from "../fake-node.ts";
import { poll, runCli, temporaryFolder } from "../helpers.ts";
import { metricsOf, namesIn, selectorsIn } from "./metrics.ts";

const DEPLOY = fileURLToPath(new URL("../../deploy", import.meta.url));
const text = (file: string) => readFileSync(join(DEPLOY, file), "utf8");
const DOCKERFILES = ["docker/Dockerfile.cpu", "docker/Dockerfile.cuda"];

/** Every file's path and text. */
function files(): [string, string][] {
  const names = readdirSync(DEPLOY, { recursive: true }) as string[];
  return names
    .filter((name) => statSync(join(DEPLOY, name)).isFile())
    .map((name) => [name, text(name)]);
}

interface Container {
  args: string[];
  env: { name: string; value: string }[];
  livenessProbe: { httpGet: { path: string } };
  readinessProbe: { httpGet: { path: string } };
}

function containers(): Container[] {
  const documents = parseAllDocuments(text("kubernetes/proofmill.yaml")).map((each) => each.toJS());
  return documents.flatMap(({ spec }) => spec.template?.spec.containers ?? []);
}

/** The instruction's JSON array. */
function execForm(dockerfile: string, instruction: string): string[] {
  const line = new RegExp(`^${instruction} (\\[.*\\])$`, "m").exec(text(dockerfile));
  return JSON.parse(line?.[1] ?? "[]");
}

/** What each image runs to see whether it is well: a program and its arguments. */
const HEALTHCHECKS = DOCKERFILES.map((file) => execForm(file, "HEALTHCHECK .* CMD"));

/** Everything after the program's name. */
function commandLines(): Record<string, string[]> {
  const unit = /^ExecStart=\/opt\/proofmill\/proofmill (.*)$/m.exec(
    text("systemd/proofmill.service"),
  );
  const { services } = parse(text("docker/compose.yaml"));
  return {
    systemd: unit?.[1]?.split(" ") ?? [],
    ...Object.fromEntries(DOCKERFILES.map((file) => [file, execForm(file, "CMD")])),
    compose: services.proofmill.command,
    kubernetes: containers()[0]?.args ?? [],
  };
}

/** `NAME=value` of a unit's EnvironmentFile and of an image's ENV. */
function variables(): Record<string, string> {
  const assignments = [
    ...text("systemd/proofmill.env").matchAll(/^#?(PROOFMILL_\w+)=(.*)$/gm),
    ...DOCKERFILES.flatMap((file) => [...text(file).matchAll(/ (PROOFMILL_\w+)=(\S*)/g)]),
    ...text("systemd/proofmill.service").matchAll(/[= ](PROOFMILL_\w+)=(\S*)/g),
  ];
  const { services } = parse(text("docker/compose.yaml"));
  return {
    ...Object.fromEntries(assignments.map(([, name = "", value = ""]) => [name, value])),
    ...services.proofmill.environment,
    ...Object.fromEntries(
      containers().flatMap(({ env }) => env.map((each) => [each.name, each.value])),
    ),
  };
}

test("every command line and every variable is one that serve takes", async () => {
  const environment = { ...variables(), HF_HOME: temporaryFolder(), HOME: temporaryFolder() };
  for (const [where, [command, ...args]] of Object.entries(commandLines())) {
    expect(command, where).toBe("serve");
    const config = parseConfig(args, environment);
    expect([where, config.enablePoc, config.exitWhenUnhealthy]).toEqual([where, true, true]);
  }
  const { stdout: help } = await runCli(["serve", "--help"]);
  const known = [...help.replaceAll(/\s+/g, " ").matchAll(/\(env: (\w+)\)/g)].map(
    ([, name]) => name,
  );
  expect(Object.keys(variables()).filter((name) => !known.includes(name))).toEqual([]);
  expect(() => parseConfig(["--exit-when-ill"], environment)).toThrow("--exit-when-ill");
});

test("each image names its device: one for GPUs without one ends, instead of being slow", async () => {
  const [cpu, cuda] = DOCKERFILES.map(
    (file) => /^ENV PROOFMILL_DEVICE=(\S+)/m.exec(text(file))?.[1],
  );
  expect([cpu, cuda]).toEqual(["cpu", "cuda"]);
  const [command = "", ...args] = execForm("docker/Dockerfile.cuda", "CMD");
  const data = ["--data-dir", temporaryFolder(), "--port", "0"];
  const { code, stderr } = await runCli([command, ...args, ...data], {
    PROOFMILL_DEVICE: cuda ?? "",
    PROOFMILL_CUDA_LIBRARY: "/nowhere.so",
  });
  expect([code, stderr]).toEqual([
    1,
    expect.stringMatching(
      /^proofmill: the model could not be loaded: device cuda:0 cannot be used/,
    ),
  ]);
});

/** The status that a node with its model answers a path with. */
async function statusOf(url: string, path: string): Promise<[string, number]> {
  return [path, (await fetch(`${url}${path}`)).status];
}

test("whoever ends a node leaves it the time that it takes", () => {
  const { services } = parse(text("docker/compose.yaml"));
  const graces = [
    /^TimeoutStopSec=(\d+)$/m.exec(text("systemd/proofmill.service"))?.[1],
    /^(\d+)s$/.exec(services.proofmill.stop_grace_period)?.[1],
    /terminationGracePeriodSeconds: (\d+)$/m.exec(text("kubernetes/proofmill.yaml"))?.[1],
  ].map(Number);
  const needed = parseConfig([]).shutdownTimeout / 1000 + 5;
  expect(graces.filter((seconds) => !(seconds >= needed))).toEqual([]);
});

test("probes ask what a node with its model answers", async () => {
  const { url } = await startFakeNode();
  const probes = containers().flatMap(({ livenessProbe, readinessProbe }) => [
    livenessProbe.httpGet.path,
    readinessProbe.httpGet.path,
  ]);
  expect(probes).toEqual(["/livez", "/readyz"]);
  for (const path of probes) expect(await statusOf(url, path)).toEqual([path, 200]);
});

test("an image's check sees a node, with TLS and where clients need certificates too, and one that is gone", async () => {
  const health = HEALTHCHECKS.map(([, script = ""]) =>
    script.replace("/opt/proofmill/deploy", DEPLOY),
  );
  expect(new Set(health)).toEqual(new Set([join(DEPLOY, "docker/healthcheck.mjs")]));
  const file = (name: string) => join(DEPLOY, "../packages/server/src/access/test-data", name);
  const tls = { tlsCert: file("node.pem"), tlsKey: file("node.key") };
  const check = async (url: string, env: Record<string, string>, path = "/livez") => {
    const child = spawn(process.execPath, [health[0] ?? "", path], {
      env: { PROOFMILL_PORT: new URL(url).port, ...env },
    });
    return (await once(child, "exit"))[0];
  };
  // Says where it would connect to, and does not.
  const noted = `data:text/javascript,${encodeURIComponent(`
    import net from "node:net";
    net.Socket.prototype.connect = ([{ host, port }]) => {
      console.log(host, Number(port));
      process.exit(0);
    };`)}`;
  const plain = await startFakeNode();
  expect(await check(plain.url, {})).toBe(0);
  expect(await check(plain.url, {}, "/readyz")).toBe(0);
  expect(await check(plain.url, {}, "/version-of-nothing")).toBe(1);
  const secret = await startFakeNode(tls);
  expect(await check(secret.url, {})).toBe(1);
  expect(await check(secret.url, { PROOFMILL_TLS_CERT: tls.tlsCert })).toBe(0);
  const mutual = await startFakeNode({ ...tls, tlsClientCa: file("ca.pem") });
  const variables = { PROOFMILL_TLS_CERT: tls.tlsCert, PROOFMILL_TLS_CLIENT_CA: file("ca.pem") };
  expect(await check(mutual.url, variables)).toBe(0);
  await mutual.close();
  expect(await check(mutual.url, variables)).toBe(1);
  for (const PROOFMILL_PORT of ["", "tcp://10.0.0.7:8000"]) {
    const asked = spawnSync(process.execPath, ["--import", noted, ...health], {
      env: { PROOFMILL_PORT },
      encoding: "utf8",
    });
    expect(asked.stdout).toBe("127.0.0.1 8000\n");
  }
});

test("commands run as the unit's user have what the unit gives the node", () => {
  const [unit, script] = [text("systemd/proofmill.service"), text("systemd/run-as-node.sh")];
  const lines = unit.split("\n");
  const properties = [...script.matchAll(/--property=(\S+)/g)].map(([, each = ""]) => each);
  // systemd calls the unit's user as it calls the unit.
  expect(properties.filter((each) => !lines.includes(each))).toEqual(["User=proofmill"]);
  expect(properties).toEqual(
    expect.arrayContaining(
      lines.filter((line) => /^(Dynamic|State|Cache|Env\w+F|Limit|UMask)/.test(line)),
    ),
  );
  const set = [...script.matchAll(/--setenv=(\S+)/g)].map(([, each]) => each);
  expect(lines).toContain(`Environment=${set.join(" ")}`);
  const program = /^ExecStart=(\S+)/m.exec(unit)?.[1];
  expect(script.trimEnd().split("\n").at(-1)).toBe(`  ${program} "$@"`);
});

test("dashboard and alerts ask for metrics that there are, by labels that they have", async () => {
  const { url } = await startFakeNode();
  const client = createPocClient({ url });
  await client.initGenerate(INIT);
  await poll(
    () => client.status(),
    ({ total_valid }) => total_valid > 0,
  );
  await client.validate(PROOF);
  const metrics = metricsOf(await (await fetch(`${url}/metrics`)).text());

  const { panels } = JSON.parse(text("grafana/dashboard.json"));
  const { groups } = parse(text("prometheus/alerts.yml"));
  const expressions: string[] = [
    ...panels.flatMap(({ targets = [] }) => targets.map(({ expr }: { expr: string }) => expr)),
    ...groups.flatMap(({ rules }: { rules: { expr: string }[] }) => rules.map(({ expr }) => expr)),
  ];
  expect(expressions.length).toBeGreaterThan(40);
  const unknown = expressions.flatMap(namesIn).filter((name) => !metrics.has(name));
  expect(unknown).toEqual([]);
  const foreign = expressions.flatMap(selectorsIn).filter(({ name, labels }) =>
    labels.some((label) => {
      const own = metrics.get(name)?.labels;
      // The scraper adds these two. What has no sample yet shows no labels.
      return own?.size && !own.has(label) && !["instance", "job"].includes(label);
    }),
  );
  expect(foreign).toEqual([]);
  expect(namesIn("sum(proofmill_typo_total) / on (x) up")).toEqual(["proofmill_typo_total"]);
});

test("docs/operating.md has every metric, every alert and every reason of health", async () => {
  const { url } = await startFakeNode();
  const scrape = await (await fetch(`${url}/metrics`)).text();
  const operating = readFileSync(join(DEPLOY, "../docs/operating.md"), "utf8");
  const documented = [...operating.matchAll(/^\| `((?:proofmill_|vllm:)\w+)` \| .* \| (.*) \|$/gm)];
  const own = [...scrape.matchAll(/^# HELP ((?:proofmill_|vllm:)\w+) (.*)$/gm)];
  const sorted = (found: RegExpMatchArray[]) =>
    found.map(([, name, help]) => `${name}: ${help}`).sort();
  expect(sorted(documented)).toEqual(sorted(own));
  const codes = [...operating.matchAll(/^\| `([A-Z_]+)` \|/gm)].map(([, code]) => code);
  expect(codes).toEqual(HealthCode.options);
  const { groups } = parse(text("prometheus/alerts.yml"));
  const alerts = groups.flatMap(({ rules }: { rules: { alert: string }[] }) =>
    rules.map(({ alert }) => alert),
  );
  expect([...operating.matchAll(/^\| (Proofmill\w+) \|/gm)].map(([, name]) => name)).toEqual(
    alerts,
  );
});

test("the linter finds nothing in the Dockerfiles", () => {
  const linter = createRequire(import.meta.url).resolve("dockerfilelint/bin/dockerfilelint");
  for (const file of DOCKERFILES) {
    const args = [linter, "--output", "json", join(DEPLOY, file)];
    const { stdout } = spawnSync(process.execPath, args, { encoding: "utf8" });
    expect([file, JSON.parse(stdout).totalIssues]).toEqual([file, 0]);
  }
});

test.skipIf(skipped(lacking("promtool")))(
  "promtool takes the rules, and they say what they should",
  () => {
    const run = (...args: string[]) =>
      execFileSync("promtool", args, { cwd: join(DEPLOY, "prometheus"), encoding: "utf8" });
    expect(run("check", "config", "--syntax-only", "prometheus.yml")).toContain(
      "is valid prometheus config",
    );
    expect(run("check", "rules", "alerts.yml")).toMatch(/SUCCESS: \d+ rules found/);
    expect(run("test", "rules", "alerts.test.yml")).toContain("SUCCESS");
  },
);

test.skipIf(skipped(lacking("systemd-analyze")))(
  "systemd takes the unit, and little is open to it",
  () => {
    const unit = join(temporaryFolder(), "proofmill.service");
    // It looks for the program, which is not installed here.
    const there = text("systemd/proofmill.service").replace(
      "/opt/proofmill/proofmill",
      process.execPath,
    );
    writeFileSync(unit, there);
    const run = (...args: string[]) =>
      spawnSync("systemd-analyze", [...args, unit], { encoding: "utf8", cwd: dirname(unit) });
    const { status, stderr } = run("verify");
    expect([status, stderr]).toEqual([0, ""]);
    expect(run("security", "--offline=true", "--threshold=20").status).toBe(0); // 2.0 of 10
  },
);

test("no address, host name or secret stands in deploy/", () => {
  const found = files().flatMap(([name, content]) =>
    [...content.matchAll(/\b(?!127\.0\.0\.1|0\.0\.0\.0)\d+\.\d+\.\d+\.\d+\b/g)].map(([address]) => [
      name,
      address,
    ]),
  );
  expect(found).toEqual([]);
});
