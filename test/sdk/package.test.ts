/** The SDK as it is installed: packed, in an empty project, type-checked, run, and in a browser. */

import { execFile, spawn } from "node:child_process";
import { cpSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import { createRequire } from "node:module";
import type { AddressInfo } from "node:net";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { lacking, programOf, skipped } from "@proofmill/core/testing";
import { build } from "esbuild";
import { beforeAll, expect, onTestFinished, test } from "vitest";
import { startFakeNode } from "../fake-node.ts";
import { temporaryFolder } from "../helpers.ts";

const run = promisify(execFile);
const root = fileURLToPath(new URL("../../", import.meta.url));
const client = join(root, "packages", "client");
const project = temporaryFolder();
const installed = join(project, "node_modules", "@proofmill", "client");

/** The first program of the package's README. */
const snippet =
  /```js\n([\s\S]*?)```/.exec(readFileSync(join(client, "README.md"), "utf8"))?.[1] ?? "";

/** The program that receives callbacks. */
const receiverSnippet =
  /```js\n(import \{ createServer[\s\S]*?)```/.exec(
    readFileSync(join(client, "README.md"), "utf8"),
  )?.[1] ?? "";

/** A dependency as the registry would give it, from what this workspace has installed. */
async function tarball(name: string): Promise<string> {
  const { resolve } = createRequire(join(client, "package.json"));
  const folder = temporaryFolder();
  cpSync(dirname(resolve(`${name}/package.json`)), join(folder, "package"), { recursive: true });
  const file = join(project, `${name}.tgz`);
  await run("tar", ["-czf", file, "-C", folder, "package"]);
  return file;
}

beforeAll(async () => {
  // As it is released: pnpm puts versions in the place of `workspace:`.
  const pnpm = join(root, "node_modules", "pnpm", "bin", "pnpm.cjs");
  const pack = [pnpm, "pack", "--json", "--pack-destination", project];
  const { stdout } = await run(process.execPath, pack, { cwd: client });
  const { filename } = JSON.parse(stdout) as { filename: string };
  const files = [filename, await tarball("ws"), await tarball("zod")];
  writeFileSync(join(project, "package.json"), '{"type": "module", "private": true}');
  // Offline: whatever else it wanted to install would be missing.
  const quiet = ["--offline", "--no-audit", "--no-fund"];
  await run("npm", ["install", ...quiet, ...files], { cwd: project });
});

test("brings no code of the server, no native code, and nothing of this workspace", () => {
  const manifest = readFileSync(join(installed, "package.json"), "utf8");
  expect(manifest).not.toContain("workspace:");
  const lock = JSON.parse(readFileSync(join(project, "package-lock.json"), "utf8"));
  expect(Object.keys(lock.packages).sort()).toEqual([
    "",
    "node_modules/@proofmill/client",
    "node_modules/ws",
    "node_modules/zod",
  ]);
});

test("its types stand alone and fit the README's program", async () => {
  const options = {
    ...{ strict: true, noEmit: true, skipLibCheck: false },
    ...{ module: "nodenext", target: "es2023", lib: ["es2023", "dom"] },
  };
  const check = async (name: string, source: string, more: object) => {
    const folder = join(project, name.replace(".", "-"));
    mkdirSync(folder);
    writeFileSync(join(folder, name), source);
    writeFileSync(
      join(folder, "tsconfig.json"),
      JSON.stringify({ compilerOptions: { ...options, ...more }, files: [name] }),
    );
    const tsc = join(root, "node_modules", "typescript", "bin", "tsc");
    return run(process.execPath, [tsc, "-p", folder]).then(
      () => "",
      ({ stdout }) => String(stdout),
    );
  };
  const argv = "declare const process: { argv: string[] };\n";
  expect(
    await check("snippet.ts", argv + snippet.replaceAll("= [];", ": number[] = [];"), {
      types: [],
    }),
  ).toBe("");
  const receiver = `import type { GeneratedBatch, ValidatedBatch } from "@proofmill/client";
    declare function store(batch: GeneratedBatch | ValidatedBatch): Promise<void>;
    ${receiverSnippet}`;
  const typeRoots = [join(root, "node_modules", "@types")];
  expect(receiverSnippet).not.toBe("");
  expect(await check("receiver.ts", receiver, { types: [], typeRoots })).toBe("");
  // Who has a tRPC client has these too.
  const trpc = join(project, "node_modules", "@trpc");
  mkdirSync(trpc);
  for (const name of ["client", "server"]) {
    symlinkSync(join(root, "test", "node_modules", "@trpc", name), join(trpc, name));
  }
  const router = `import { createTRPCClient, httpLink } from "@trpc/client";
    import type { AppRouter } from "@proofmill/client/trpc";
    const node = createTRPCClient<AppRouter>({ links: [httpLink({ url: "http://a/trpc" })] });
    export const checked: Promise<number> = node.pow.status.query().then((s) => s.total_checked);
    node.pow.onValidNonces.subscribe(undefined, {
      onData: ({ id, data }) => data.type === "nonces" && data.distances.map((d) => [id, d]),
    });`;
  // Those packages' own declarations are not ours to check.
  expect(await check("router.ts", router, { types: [], skipLibCheck: true })).toBe("");
  const wrongRouter = router.replace("total_checked", "total_unchecked");
  expect(await check("wrong-router.ts", wrongRouter, { types: [], skipLibCheck: true })).toContain(
    "total_unchecked",
  );
  const wrong = `import { createPocClient } from "@proofmill/client";
    createPocClient({ url: "http://a" }).initGenerate({ block_hash: 1 });`;
  expect(await check("wrong.ts", wrong, { types: [] })).toContain("error TS");
});

test("CommonJS takes it too", async () => {
  const script = 'console.log(typeof require("@proofmill/client").createPocClient)';
  const { stdout } = await run(process.execPath, ["--input-type=commonjs", "-e", script], {
    cwd: project,
  });
  expect(stdout).toBe("function\n");
});

test("the README's program runs", async () => {
  const { url } = await startFakeNode();
  writeFileSync(join(project, "snippet.mjs"), snippet);
  const { stdout, stderr } = await run(process.execPath, ["snippet.mjs", url], { cwd: project });
  expect([stdout, stderr]).toEqual(["GENERATING\nfalse\n", ""]);
});

const others = [
  { runtime: "deno", args: ["run", "--allow-all", "--node-modules-dir=manual"] },
  { runtime: "bun", args: ["run"] },
];
for (const { runtime, args } of others) {
  test.skipIf(skipped(lacking(runtime)))(`the README's program runs under ${runtime}`, async () => {
    const { url } = await startFakeNode();
    writeFileSync(join(project, "snippet.mjs"), snippet);
    const { stdout } = await run(runtime, [...args, "snippet.mjs", url], { cwd: project });
    expect(stdout).toBe("GENERATING\nfalse\n");
  });
}

/** The README's program as a page's script that reports what it has logged. */
async function bundle(url: string): Promise<string> {
  const entry = join(project, "page.js");
  writeFileSync(
    entry,
    `const logged = [];
     const console = { log: (value) => logged.push(String(value)) };
     const process = { argv: ["", "", ${JSON.stringify(url)}] };
     ${snippet}
     await fetch("/result", { method: "POST", body: JSON.stringify(logged) });`,
  );
  const { outputFiles, metafile } = await build({
    ...{ entryPoints: [entry], bundle: true, format: "esm", platform: "browser", write: false },
    ...{ target: "es2022", metafile: true, absWorkingDir: project },
  });
  const inputs = Object.keys(metafile.inputs).join("\n");
  // Nor zod: what a page calls is named in a table, and checked by the node.
  expect(inputs).not.toMatch(/node_modules\/(ws|zod)\/|websocket\.node/);
  return outputFiles[0]?.text ?? "";
}

test("a bundle for browsers needs nothing of Node", async () => {
  const text = await bundle("http://127.0.0.1:1");
  expect(text).not.toMatch(/\bfrom\s*"(node:|ws")/);
  expect(text).not.toContain("require(");
});

const chromium = programOf("chromium", "chromium-browser", "google-chrome", "chrome");

test.skipIf(skipped(chromium ? null : "there is no Chromium on the path"))(
  "the README's program runs in a browser",
  async () => {
    let script = "";
    let report: (logged: string) => void = () => {};
    const reported = new Promise<string>((resolve) => {
      report = resolve;
    });
    const server = createServer(async (request, response) => {
      if (request.url === "/result") {
        let text = "";
        for await (const chunk of request.setEncoding("utf8")) text += chunk;
        report(text);
      }
      const isScript = request.url === "/page.js";
      response.setHeader("content-type", isScript ? "text/javascript" : "text/html");
      response.end(isScript ? script : '<script type="module" src="/page.js"></script>');
    }).listen(0, "127.0.0.1");
    await new Promise((resolve) => server.once("listening", resolve));
    const page = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    const { url } = await startFakeNode({ allowOrigin: [page] });
    script = await bundle(url);
    const args = [
      "--headless",
      "--no-sandbox",
      "--disable-gpu",
      `--user-data-dir=${temporaryFolder()}`,
    ];
    const browser = spawn(chromium ?? "", [...args, "--remote-debugging-port=0", page], {
      stdio: "ignore",
    });
    onTestFinished(() => {
      browser.kill("SIGKILL");
      server.closeAllConnections();
      server.close();
    });
    expect(JSON.parse(await reported)).toEqual(["GENERATING", "false"]);
  },
);
