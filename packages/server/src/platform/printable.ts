/** What strangers say, fit for a terminal. */

/** What a terminal would carry out, or be misled by. */
const COMMANDS = /(?![\n\t])[\p{Cc}\p{Bidi_Control}\u2028\u2029]/gu;

/** Without it: a model may say anything. */
export function printable(text: string): string {
  return text.replaceAll(COMMANDS, "");
}

/** With it as `\u` and four digits, which JSON reads as the same text. */
export function escaped(text: string): string {
  return text.replaceAll(
    COMMANDS,
    (each) => `\\u${each.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
}
