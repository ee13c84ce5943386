import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { chmodSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { lacking, skipped } from "@proofmill/core/testing";
import { expect, onTestFinished, test, vi } from "vitest";
import { connectSystemd } from "./systemd.ts";

function folder(): string {
  const made = mkdtempSync(join(tmpdir(), "proofmill-"));
  onTestFinished(() => rmSync(made, { recursive: true, force: true }));
  return made;
}

/** A program of that name that keeps a line for each call, and then does what `script` says. */
function program(script = ""): { path: string; calls: () => string[] } {
  const path = folder();
  const log = join(path, "calls");
  writeFileSync(
    join(path, "systemd-notify"),
    `#!/bin/sh\necho "$NOTIFY_SOCKET $*" >> ${log}\n${script}\n`,
  );
  chmodSync(join(path, "systemd-notify"), 0o755);
  return {
    path: `${path}:${process.env.PATH}`,
    calls: () => (existsSync(log) ? readFileSync(log, "utf8").trim().split("\n") : []),
  };
}

const options = (isLive = true) => ({ isLive: () => isLive, onFault: vi.fn() });
const PID = `--pid=${process.pid}`;

test("nothing is said where nobody asks", () => {
  expect(connectSystemd({ PATH: "/usr/bin", WATCHDOG_USEC: "1000" }, options())).toBeNull();
});

test("one program at a time; what waits meanwhile is merged, the latest of each name", async () => {
  const { path, calls } = program("sleep 0.2");
  const systemd = connectSystemd({ PATH: path, NOTIFY_SOCKET: "@there" }, options());
  systemd?.say("STATUS", "loading");
  for (const status of ["one", "two\nlines"]) systemd?.say("STATUS", status);
  systemd?.say("READY", "1");
  await systemd?.idle();
  expect(calls()).toEqual([
    `@there ${PID} STATUS=loading`,
    `@there ${PID} STATUS=two lines READY=1`,
  ]);
});

test("signs of life come twice as often as asked, and none from a node that is not live", async () => {
  const { path, calls } = program();
  const environment = { PATH: path, NOTIFY_SOCKET: "@there", WATCHDOG_USEC: "100000" };
  let isLive = true;
  const systemd = connectSystemd(environment, { isLive: () => isLive, onFault: () => {} });
  onTestFinished(() => systemd?.close());
  await vi.waitUntil(() => calls().length >= 3, { timeout: 10_000 });
  expect(new Set(calls())).toEqual(new Set([`@there ${PID} WATCHDOG=1`]));
  isLive = false;
  await systemd?.idle();
  const before = calls().length;
  await new Promise((resolve) => setTimeout(resolve, 300));
  expect(calls()).toHaveLength(before);
  const other = { ...environment, WATCHDOG_PID: "1" };
  connectSystemd(other, options());
  await new Promise((resolve) => setTimeout(resolve, 300));
  expect(calls()).toHaveLength(before);
});

test("a program that hangs is killed, one that is missing is said once", async () => {
  const { path, calls } = program("exec sleep 1000");
  const hanging = options();
  const systemd = connectSystemd({ PATH: path, NOTIFY_SOCKET: "@there" }, hanging);
  systemd?.say("READY", "1");
  await systemd?.idle();
  expect(calls()).toHaveLength(1);
  expect(hanging.onFault.mock.calls).toEqual([["systemd-notify ended: SIGKILL"]]);

  const missing = options();
  const none = connectSystemd({ PATH: folder(), NOTIFY_SOCKET: "@there" }, missing);
  for (let i = 0; i < 2; i++) {
    none?.say("READY", "1");
    await none?.idle();
  }
  expect(missing.onFault.mock.calls).toEqual([[expect.stringContaining("cannot be started")]]);
}, 20_000);

/** Prints each datagram that comes to a socket, in a line of JSON. */
const RECEIVER = `
import json, socket, sys
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
s.bind(sys.argv[1])
print("bound", flush=True)
while True: print(json.dumps(s.recv(4096).decode()), flush=True)
`;

test.skipIf(skipped(lacking("systemd-notify", "python3")))(
  "the real program brings it to a real socket",
  async () => {
    const socket = join(folder(), "notify");
    const receiver: ChildProcess = spawn("python3", ["-c", RECEIVER, socket]);
    onTestFinished(() => void receiver.kill());
    let text = "";
    receiver.stdout?.setEncoding("utf8").on("data", (piece) => {
      text += piece;
    });
    if (receiver.stdout) await once(receiver.stdout, "data");
    const { PATH } = process.env;
    const systemd = connectSystemd({ PATH, NOTIFY_SOCKET: socket }, options());
    systemd?.say("STATUS", "searching");
    await systemd?.idle();
    systemd?.say("READY", "1");
    await systemd?.idle();
    await vi.waitUntil(() => text.includes("READY=1"), { timeout: 10_000 });
    expect(text).toContain("STATUS=searching");
  },
);
