/** Which devices this machine has, as a process of its own finds out: the server never loads the addon. */
import { fork } from "node:child_process";
import { stderr } from "../platform/output.ts";
import { passedOn } from "./process.ts";

const CHILD = new URL("../../dist/runners/devices-child.js", import.meta.url);

type Arithmetic = { tag: string } | { fault: string };

/** A device as a node may be given it. */
export interface DeviceInfo {
  /** As `--device` names it. */
  id: string;
  /** Null where it could not be opened. */
  name: string | null;
  /** Bytes; null where it could not be opened. */
  memory: { free: number; total: number } | null;
  /** Its tag with either dtype, or why it cannot be used so. */
  arithmetic: { bfloat16: Arithmetic; float32: Arithmetic };
}

/** The CPU and every GPU; where there is no GPU, a line that says why. */
export interface DeviceList {
  devices: DeviceInfo[];
  noGpu: string | null;
}

export type DevicesQuestion = "describe" | "count GPUs";
export type DevicesAnswer = DeviceList | { gpus: number } | { fault: string };

/**
 * Opens every device.
 *
 * @throws Error where the addon cannot be loaded
 */
export async function listDevices(): Promise<DeviceList> {
  const answer = await ask("describe");
  if ("devices" in answer) return answer;
  throw new Error("fault" in answer ? answer.fault : "no answer");
}

/** @throws Error where there is no GPU, or none that can be used, in one line that says why */
export async function countGpus(signal?: AbortSignal): Promise<number> {
  const answer = await ask("count GPUs", signal);
  if ("gpus" in answer) return answer.gpus;
  throw new Error(
    `device cuda:all cannot be used: ${"fault" in answer ? answer.fault : "no answer"}`,
  );
}

function ask(question: DevicesQuestion, signal?: AbortSignal): Promise<DevicesAnswer> {
  return new Promise((resolve) => {
    const child = fork(CHILD, {
      serialization: "advanced",
      execArgv: [],
      env: passedOn(process.env),
      stdio: ["ignore", "pipe", "pipe", "ipc"],
      ...(signal && { signal, killSignal: "SIGKILL" }),
    });
    for (const printed of [child.stdout, child.stderr]) {
      printed?.setEncoding("utf8").on("data", (text: string) => stderr.write(text));
    }
    child.on("message", (answer) => resolve(answer as DevicesAnswer));
    child.on("error", ({ message }) => resolve({ fault: message }));
    child.on("exit", (code, by) =>
      resolve({ fault: `the process that asks for devices ended by ${by ?? `exit code ${code}`}` }),
    );
    child.send(question, () => {});
  });
}
