/** Characters of a text that the page shows: no sentence is longer. */
const MOST = 2000;
/** What is not seen, or turns the letters beside it around. */
const UNSEEN = /(?![\n\t])[\p{Cc}\p{Bidi_Control}\u2028\u2029]/gu;

/** A node's text as the page shows it: cut where it is too long, and nothing in it changes what stands beside it. */
export function brief(text: string): string {
  const cut = text.length > MOST ? `${text.slice(0, MOST)}…` : text;
  return cut.replaceAll(UNSEEN, (each) => `\\u${each.charCodeAt(0).toString(16).padStart(4, "0")}`);
}
