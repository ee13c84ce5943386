/** Numbers and times as the reader's own language writes them. */

/** Where there is nothing to show. */
export const NOTHING = "–";

/** No date lies further from 1970, ms. */
export const LAST_MOMENT = 8.64e15;

const whole = new Intl.NumberFormat(undefined, { maximumFractionDigits: 0 });
const moment = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "medium" });
const clock = new Intl.DateTimeFormat(undefined, { timeStyle: "medium" });

/** A whole number with all its digits, e.g. `12,345`. */
export function count(x: number | null | undefined): string {
  return x === null || x === undefined ? NOTHING : whole.format(x);
}

/** A number with this many digits behind the point at most; all digits before it are shown. */
export function decimal(x: number | null | undefined, digits: number): string {
  if (x === null || x === undefined) return NOTHING;
  return x.toLocaleString(undefined, { maximumFractionDigits: digits });
}

/** Nonces a second: large rates need no fraction, small ones are nothing without it. */
export function rate(perSecond: number | null | undefined): string {
  if (perSecond === null || perSecond === undefined) return NOTHING;
  return decimal(perSecond, perSecond >= 100 ? 0 : perSecond >= 1 ? 2 : 4);
}

/** A distance with the digits that a float32 has. */
export function distance(x: number): string {
  return x.toLocaleString(undefined, { minimumFractionDigits: 7, maximumFractionDigits: 7 });
}

/** A probability; a tiny one by its power of ten, which its digits would hide. */
export function probability(p: number): string {
  if (p < 0) return NOTHING;
  return p !== 0 && p < 0.001 ? p.toExponential(2) : decimal(p, 4);
}

/** Bytes in MiB. */
export function mebibytes(bytes: number | null): string {
  return bytes === null ? NOTHING : `${count(bytes / 2 ** 20)}\u00a0MiB`;
}

/** Whether a date can be made of it. */
export function isMoment(at: number): boolean {
  return Math.abs(at) <= LAST_MOMENT;
}

/** Date and time of day. */
export function absolute(at: number): string {
  return isMoment(at) ? moment.format(at) : NOTHING;
}

/** Time of day. */
export function timeOfDay(at: number): string {
  return isMoment(at) ? clock.format(at) : NOTHING;
}

/** A length of time in its two greatest units, e.g. `2 h 05 min`. */
export function duration(seconds: number): string {
  const all = Math.max(0, Math.floor(seconds));
  const [days, hours] = [Math.floor(all / 86_400), Math.floor(all / 3600) % 24];
  const [minutes, rest] = [Math.floor(all / 60) % 60, all % 60];
  const two = (x: number) => String(x).padStart(2, "0");
  if (days > 0) return `${days} d ${two(hours)} h`;
  if (hours > 0) return `${hours} h ${two(minutes)} min`;
  if (minutes > 0) return `${minutes} min ${two(rest)} s`;
  return `${rest} s`;
}
