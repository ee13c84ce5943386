/** Text as HTML, and names as places in the page. */

const ESCAPES: Record<string, string> = { "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;" };

export const escaped = (text: unknown): string =>
  String(text).replace(/[&<>"]/g, (character) => ESCAPES[character] ?? character);

const anchor = (text: string): string => text.replaceAll(/[^a-z0-9]+/gi, "-");

export const objectAnchor = (name: string): string => `object-${anchor(name)}`;
export const operationAnchor = (method: string, path: string): string => anchor(`${method}${path}`);
