/** How far a download is: bytes, rate and time left. */

export interface ProgressOptions {
  label: string;
  /** Bytes. */
  total: number;
  /** A terminal gets one line that changes. */
  terminal: { isTTY?: boolean; columns?: number | undefined; write(text: string): unknown };
  /** Elsewhere a line goes here every few seconds. */
  log: (text: string) => void;
  /** Monotonic milliseconds. */
  now?: () => number;
}

/** Milliseconds between two lines. */
const TERMINAL_EVERY = 100;
const LOG_EVERY = 5000;
/** The rate is that of the last so many milliseconds. */
const RATE_WINDOW = 10_000;
const BAR_WIDTH = 24;

/** Draws or logs where a download is. */
export class Progress {
  readonly #options: Required<ProgressOptions>;
  /** Times and bytes, oldest first. */
  #samples: { time: number; bytes: number }[] = [];
  #shown: number;
  #isDrawn = false;

  constructor(options: ProgressOptions) {
    this.#options = { now: () => performance.now(), ...options };
    this.#shown = this.#options.now();
  }

  /** @param bytes that are there; those of earlier attempts count, but not for the rate */
  update(bytes: number): void {
    const now = this.#options.now();
    const last = this.#samples.at(-1);
    if (last && bytes < last.bytes) this.#samples = []; // an attempt began anew
    if (!last || now - last.time >= TERMINAL_EVERY) this.#samples.push({ time: now, bytes });
    while (now - (this.#samples[1]?.time ?? now) > RATE_WINDOW) this.#samples.shift();
    const { isTTY } = this.#options.terminal;
    if (now - this.#shown < (isTTY ? TERMINAL_EVERY : LOG_EVERY)) return;
    this.#shown = now;
    if (isTTY) this.#draw(bytes);
    else this.#options.log(`${this.#options.label}: ${this.#describe(bytes)}`);
  }

  /** Ends the line on a terminal. */
  finish(): void {
    if (this.#isDrawn) this.#options.terminal.write("\n");
    this.#isDrawn = false;
  }

  #draw(bytes: number): void {
    const { label, total, terminal } = this.#options;
    const filled = Math.round((BAR_WIDTH * bytes) / Math.max(total, 1));
    const bar = "█".repeat(filled) + "░".repeat(BAR_WIDTH - filled);
    // A line that wraps could not be drawn over.
    const line = `${label} ${bar} ${this.#describe(bytes)}`.slice(0, (terminal.columns ?? 80) - 1);
    terminal.write(`\r${line}\u001b[K`);
    this.#isDrawn = true;
  }

  #describe(bytes: number): string {
    const { total } = this.#options;
    const percent = total === 0 ? 100 : Math.floor((100 * bytes) / total);
    const rate = this.#rate(bytes);
    const left = rate > 0 ? `, ${formatSeconds((total - bytes) / rate)} left` : "";
    return `${percent} %, ${formatBytes(bytes)} of ${formatBytes(total)}, ${formatBytes(rate)}/s${left}`;
  }

  /** Bytes per second. */
  #rate(bytes: number): number {
    const first = this.#samples[0];
    const seconds = first ? (this.#options.now() - first.time) / 1000 : 0;
    return first && seconds > 0 ? (bytes - first.bytes) / seconds : 0;
  }
}

/** E.g. `1.50 GB`: powers of 1000, as the hub counts. */
export function formatBytes(bytes: number): string {
  const units = ["B", "kB", "MB", "GB", "TB"];
  let value = bytes;
  let unit = 0;
  while (value >= 999.5 && unit < units.length - 1) {
    value /= 1000;
    unit++;
  }
  const digits = unit === 0 || value >= 100 ? 0 : value >= 10 ? 1 : 2;
  return `${value.toFixed(digits)} ${units[unit]}`;
}

/** E.g. `1 h 05 min`, `3 min 20 s`, `42 s`. */
export function formatSeconds(seconds: number): string {
  const whole = Math.ceil(seconds);
  const two = (value: number) => String(value).padStart(2, "0");
  if (whole >= 3600)
    return `${Math.floor(whole / 3600)} h ${two(Math.floor((whole % 3600) / 60))} min`;
  if (whole >= 60) return `${Math.floor(whole / 60)} min ${two(whole % 60)} s`;
  return `${whole} s`;
}
