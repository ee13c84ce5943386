/**
 * Numbers on their way through a chat template as they were written: JavaScript would make others of
 * long ones, as ids often are, and write 1 for 1.0.
 */
import { randomBytes } from "node:crypto";

/** A text or a number of a JSON text that is well-formed. */
const TEXT_OR_NUMBER = /"(?:[^"\\]+|\\.)*"|-?\d+(\.\d+)?([eE][+-]?\d+)?/g;

export class ExactNumbers {
  /**
   * No text that anybody sends has it in it, but by chance; short, since templates' texts are bounded,
   * and of digits, which a template that changes the case of its texts leaves as they are.
   */
  readonly #id = randomBytes(8).readBigUInt64BE().toString();
  readonly #marked = new RegExp(`^\\u0001${this.#id}[^|]*\\|$`);

  /** Of a JSON text the value, in which numbers that would come out otherwise are marked texts. */
  parse(json: string): unknown {
    JSON.parse(json); // throws where it is none
    return JSON.parse(
      json.replace(TEXT_OR_NUMBER, (each, fraction?: string, exponent?: string) => {
        if (each.startsWith('"')) return each;
        const written = fraction || exponent ? asFloat(Number(each)) : each.replace(/^-0$/, "0");
        // The control character tells a text that was written as JSON from one that stands as it is.
        return written === String(Number(each)) ? each : `"\\u0001${this.#id}${written}|"`;
      }),
    );
  }

  /** Whether a text is a number that was marked. */
  isNumber(text: string): boolean {
    return this.#marked.test(text);
  }

  /** Puts the numbers into a text that a template has made of such values. */
  restore(text: string): string {
    if (!text.includes(this.#id)) return text;
    // As JSON in JSON every quote and backslash has backslashes of its own, of four levels at most here:
    // a text may be of backslashes alone.
    const inJson = `\\\\{1,15}u0001${this.#id}([^|]*)\\|`;
    return text
      .replace(new RegExp(`\\\\{0,15}"${inJson}\\\\{0,15}"`, "g"), "$1")
      .replace(new RegExp(inJson, "g"), "$1")
      .replace(new RegExp(`\\u0001${this.#id}([^|]*)\\|`, "g"), "$1");
  }
}

/** As Python writes it. */
function asFloat(value: number): string {
  const [mantissa, exponent = ""] = value.toExponential().split("e");
  const power = Number(exponent);
  if (!Number.isFinite(value) || (power >= -4 && power < 16)) {
    const digits = Object.is(value, -0) ? "-0" : `${value}`;
    return Number.isInteger(value) ? `${digits}.0` : digits;
  }
  return `${mantissa}e${power < 0 ? "-" : "+"}${`${Math.abs(power)}`.padStart(2, "0")}`;
}
