/** A request's body as the callers of a FastAPI service expect it to be read (docs/protocol.md §3). */
import { invalidJson } from "@proofmill/core";

const utf8 = new TextDecoder("utf-8", { fatal: true }); // drops a BOM at the start

/**
 * Reads a body:
 * - none at all: undefined;
 * - with a JSON content type, or none: what the JSON says;
 * - with another content type: its text, which is no object and is refused as such. A page in a
 *   browser can send any text to a node without asking, but not under JSON's content type.
 *
 * @throws PocError INVALID_BODY for a body that is not UTF-8, or said to be JSON and is not
 */
export function readBody(bytes: Uint8Array | undefined, contentType: string | undefined): unknown {
  if (!bytes || bytes.length === 0) return undefined;
  let text: string;
  try {
    text = utf8.decode(bytes);
  } catch {
    throw invalidJson(new TextDecoder().decode(bytes.subarray(0, 1024)));
  }
  if (!isJson(contentType)) return text;
  try {
    return JSON.parse(text);
  } catch {
    throw invalidJson(text);
  }
}

/** `application/json` and `application/…+json`, whatever parameters follow. */
function isJson(contentType: string | undefined): boolean {
  return !contentType || /^\s*application\/([^\s;/]+\+)?json\s*(;|$)/i.test(contentType);
}
