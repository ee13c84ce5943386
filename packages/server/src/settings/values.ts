/** What an option's value may be: each function reads a text, or says what was expected. */
import { isIP, isIPv6 } from "node:net";
import { InvalidArgumentError } from "commander";
import { milliseconds } from "./duration.ts";

/** Runners that a node may have. */
const MAX_DEVICES = 64;

/** @param maximum without it the greatest integer that a number holds exactly */
export function integer(minimum: number, maximum?: number): (value: string) => number {
  return (value) => {
    const number = /^\d+$/.test(value) ? Number(value) : Number.NaN;
    if (number >= minimum && number <= (maximum ?? Number.MAX_SAFE_INTEGER)) return number;
    const range =
      maximum === undefined ? `of at least ${minimum}` : `from ${minimum} to ${maximum}`;
    throw new InvalidArgumentError(`Expected an integer ${range}.`);
  };
}

export function number(value: string): number {
  const number = value.trim() === "" ? Number.NaN : Number(value);
  if (Number.isFinite(number)) return number;
  throw new InvalidArgumentError("Expected a number.");
}

/** A time greater than none; gives milliseconds. */
export function time(value: string): number {
  const parsed = milliseconds(value);
  if (parsed !== null && parsed > 0) return parsed;
  throw new InvalidArgumentError("Expected a time, e.g. 90s, 15m or 2h.");
}

/** A time within bounds; gives milliseconds. */
export function duration(minimum: string, maximum: string): (value: string) => number {
  const [least, most] = [milliseconds(minimum) ?? 0, milliseconds(maximum) ?? 0];
  return (value) => {
    const time = milliseconds(value);
    if (time !== null && time >= least && time <= most) return time;
    throw new InvalidArgumentError(
      `Expected a time from ${minimum} to ${maximum}, e.g. 500ms, 90s, 15m or 24h.`,
    );
  };
}

const UNITS = ["", "KiB", "MiB", "GiB", "TiB"];

/** A number of bytes greater than none. */
export function size(value: string): number {
  const [, number, unit = ""] = /^(\d+(?:\.\d+)?)\s?([KMGT]iB)?$/.exec(value) ?? [];
  const bytes = Math.floor(Number(number) * 1024 ** UNITS.indexOf(unit));
  if (bytes > 0 && Number.isSafeInteger(bytes)) return bytes;
  throw new InvalidArgumentError("Expected a size in bytes, KiB, MiB, GiB or TiB, e.g. 8GiB.");
}

/** Shells leave `~` as it is in `--data-dir=~/node` and in variables of a service or a container. */
export function folder(value: string): string {
  if (value !== "~" && !value.startsWith("~/")) return text(value);
  throw new InvalidArgumentError(
    "Expected a folder's whole path: ~ was not expanded by the shell.",
  );
}

export function file(value: string): string {
  if (value !== "~" && !value.startsWith("~/")) return text(value);
  throw new InvalidArgumentError("Expected a file's whole path: ~ was not expanded by the shell.");
}

/** Secrets are checked later, by `read.ts`: what commander says of a value quotes it. */
export function secrets(value: string, before: readonly string[] = []): string[] {
  return [...before, ...list(value)];
}

export function networks(value: string): string[] {
  return list(value).map((network) => {
    const [address = "", prefix, ...more] = network.split("/");
    const bits = isIP(address) === 4 ? 32 : 128;
    const isPrefix = prefix === undefined || (/^\d+$/.test(prefix) && Number(prefix) <= bits);
    if (isIP(address) !== 0 && isPrefix && more.length === 0) return network;
    throw new InvalidArgumentError("Expected addresses or networks like 10.0.0.7 or 10.0.0.0/8.");
  });
}

export function upstream(value: string): string {
  if (/^https?:\/\//i.test(value) && URL.canParse(value)) {
    const { origin, href } = new URL(value);
    if (href === `${origin}/`) return origin;
  }
  throw new InvalidArgumentError(
    "Expected a server's address without a path or credentials, e.g. http://127.0.0.1:8001.",
  );
}

/** As `callback_url` in a round's body. */
export function callbackAddress(value: string): string {
  const { protocol, username, password } = URL.canParse(value) ? new URL(value) : {};
  if (/^https?:$/.test(protocol ?? "") && !username && !password) return value;
  throw new InvalidArgumentError("Expected an address like http://aggregator:9000/pow.");
}

export function hosts(value: string): string[] {
  return list(value).map((host) => {
    try {
      const url = new URL(`http://${host}`);
      if (url.host !== "" && url.pathname === "/" && !/[/?#@*]/.test(host)) return url.host;
    } catch {
      // said below
    }
    throw new InvalidArgumentError("Expected hosts like aggregator or 10.0.0.7:9000.");
  });
}

export function origins(value: string): string[] {
  return list(value).map((origin) => {
    if (URL.canParse(origin) && new URL(origin).origin === origin) return origin;
    throw new InvalidArgumentError("Expected origins like https://dashboard.example.");
  });
}

function list(value: string): string[] {
  return text(value)
    .split(",")
    .map((part) => part.trim())
    .filter((part) => part !== "");
}

/** An IPv6 address may stand in brackets, as it does in a URL. */
export function listenHost(value: string): string {
  const inside = /^\[(.*)\]$/.exec(value)?.[1];
  if (inside !== undefined ? isIPv6(inside) : isIPv6(value) || /^[^\s:/[\]@]+$/.test(value)) {
    return inside ?? value;
  }
  throw new InvalidArgumentError(
    "Expected an address or a name without a port, e.g. 0.0.0.0 or ::1.",
  );
}

export function choice<T extends string>(choices: readonly T[]): (value: string) => T {
  return (value) => {
    const found = choices.find((each) => each === value);
    if (found !== undefined) return found;
    throw new InvalidArgumentError(`Expected one of ${choices.join(", ")}.`);
  };
}

const GPU = /^cuda(?::(\d{1,6}))?$/;

export function device(value: string): string {
  if (value === "auto" || value === "cpu" || GPU.test(value)) return value;
  throw new InvalidArgumentError("Expected one of auto, cpu, cuda and cuda:N, e.g. cuda:1.");
}

/**
 * One device, or several of one kind with commas: GPUs, each of them once, or the CPU several times.
 * `cuda` is `cuda:0` here.
 */
export function devices(value: string): string[] {
  const named = value.split(",").map((name) => name.trim());
  const known = named.map((name) => {
    const gpu = GPU.exec(name);
    if (gpu) return `cuda:${Number(gpu[1] ?? 0)}`;
    if (/^(auto|cpu|cuda:all)$/.test(name)) return name;
    throw new InvalidArgumentError(
      `${named.length > 1 ? `'${name}' is no device. ` : ""}Expected auto, cpu, cuda, cuda:N or ` +
        "cuda:all, or several as in cuda:0,cuda:1 or cpu,cpu.",
    );
  });
  if (known.length > MAX_DEVICES) {
    throw new InvalidArgumentError(
      `There are ${known.length} devices. Expected ${MAX_DEVICES} at most.`,
    );
  }
  for (const [i, device] of known.entries()) {
    const [first = "", name = ""] = [named[0], named[i]];
    const alone = known.find((each) => each === "auto" || each === "cuda:all");
    if (i > 0 && alone) {
      throw new InvalidArgumentError(`${alone} chooses by itself. Expected no device beside it.`);
    }
    if (device === "cpu" ? known[0] !== "cpu" : known[0] === "cpu") {
      throw new InvalidArgumentError(
        `${first} and ${name} differ in their arithmetic: run a node for each.`,
      );
    }
    const before = known.indexOf(device);
    if (device !== "cpu" && before < i) {
      const twice =
        named[before] === name
          ? `${name} is there twice`
          : `${named[before]} and ${name} are one GPU`;
      throw new InvalidArgumentError(`${twice}. Expected each GPU once, e.g. cuda:0,cuda:1.`);
    }
  }
  return known;
}

export function share(value: string): number {
  const number = /^(0?\.\d+|1(\.0+)?)$/.test(value) ? Number(value) : 0;
  if (number > 0) return number;
  throw new InvalidArgumentError("Expected more than 0 and at most 1, e.g. 0.9.");
}

export function text(value: string): string {
  if (value.trim() !== "") return value;
  throw new InvalidArgumentError("Expected some text.");
}

export function boolean(value: string): boolean {
  if (/^(1|true|yes|on)$/i.test(value)) return true;
  if (/^(0|false|no|off)$/i.test(value)) return false;
  throw new InvalidArgumentError("Expected one of 1, true, yes, on, 0, false, no, off.");
}

/** Segments of a path, separated by commas. */
export function versions(value: string): string[] {
  const named = value.split(",").map((each) => each.trim());
  if (named.every((each) => /^[\w.~+-]+$/.test(each))) return named;
  throw new InvalidArgumentError("Expected versions such as v3.0.13, separated by commas.");
}

/** The beginning of a path, without a slash at its end. */
export function pathPrefix(value: string): string {
  if (/^(\/[\w.~+-]+)+\/?$/.test(value)) return value.replace(/\/$/, "");
  throw new InvalidArgumentError("Expected a path such as /node-1.");
}
