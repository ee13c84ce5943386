/** What NVIDIA's driver says of the GPUs, by its own program; the server never loads the addon. */
import { execFile } from "node:child_process";
import { promisify } from "node:util";

const run = promisify(execFile);

/** Milliseconds that the program has, and for which an answer is kept. */
const TIMEOUT = 4000;
const AGE = 5000;
const FIELDS = [
  ...["index", "name", "memory.total", "memory.free", "memory.used"],
  ...["utilization.gpu", "temperature.gpu"],
];

/** Integers, as the broker reads no others; null for what the driver does not know. */
export interface Gpu {
  index: number;
  name: string;
  total_memory_mb: number | null;
  free_memory_mb: number | null;
  used_memory_mb: number | null;
  utilization_percent: number | null;
  temperature_c: number | null;
  is_available: boolean;
  error_message: string | null;
}

interface GpuDriver {
  driver_version: string;
  cuda_driver_version: string;
  nvml_version: string;
}

/** Asks at most every few seconds, however often it is asked. */
export class Gpus {
  readonly #program: string;
  readonly #timeout: number;
  #devices: Promise<readonly Gpu[]> = Promise.resolve([]);
  #asked = Number.NEGATIVE_INFINITY;
  #last: readonly Gpu[] = [];

  /**
   * @param program looked for in PATH
   * @param limits.timeout milliseconds that it has; for tests
   */
  constructor(program = "nvidia-smi", { timeout = TIMEOUT } = {}) {
    this.#program = program;
    this.#timeout = timeout;
  }

  /** As they were last seen; never waits, since a driver may hang. */
  get last(): readonly Gpu[] {
    void this.devices();
    return this.#last;
  }

  /** None where there is no driver. */
  devices(): Promise<readonly Gpu[]> {
    if (performance.now() - this.#asked < AGE) return this.#devices;
    this.#asked = performance.now();
    this.#devices = this.#ask([
      `--query-gpu=${FIELDS.join()}`,
      "--format=csv,noheader,nounits",
    ]).then((text) => {
      this.#last = text === null ? [] : parse(text);
      return this.#last;
    });
    return this.#devices;
  }

  /** Null where there is none. */
  async driver(): Promise<GpuDriver | null> {
    const text = await this.#ask(["--version"]);
    if (text === null) return null;
    const of = (name: string) =>
      new RegExp(`^${name} version\\s*:\\s*(\\S+)`, "im").exec(text)?.[1] ?? "unknown";
    return {
      driver_version: of("driver"),
      cuda_driver_version: of("cuda"),
      nvml_version: of("nvml"),
    };
  }

  /** What it prints; null where it is not there, or fails. */
  async #ask(args: readonly string[]): Promise<string | null> {
    try {
      const timeout = this.#timeout;
      const options = { timeout, killSignal: "SIGKILL", maxBuffer: 2 ** 20 } as const;
      return (await run(this.#program, args, options)).stdout;
    } catch {
      return null;
    }
  }
}

function parse(csv: string): Gpu[] {
  const lines = csv.split("\n").map((line) => line.split(",").map((cell) => cell.trim()));
  return lines
    .filter((cells) => cells.length === FIELDS.length && integer(cells[0]) !== null)
    .map(([index, name = "", total, free, used, utilization, temperature]) => ({
      index: Number(index),
      name,
      total_memory_mb: integer(total),
      free_memory_mb: integer(free),
      used_memory_mb: integer(used),
      utilization_percent: integer(utilization),
      temperature_c: integer(temperature),
      is_available: integer(total) !== null,
      error_message: integer(total) === null ? "the driver does not know its memory" : null,
    }));
}

/** Null for `[N/A]` and whatever else is none. */
function integer(text: string | undefined): number | null {
  return text !== undefined && /^\d+(\.\d+)?$/.test(text) ? Math.round(Number(text)) : null;
}
