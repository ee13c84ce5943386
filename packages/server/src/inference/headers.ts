/** What goes through a proxy and what does not (RFC 9110 §7.6). */

export type Headers = Record<string, string | string[] | undefined>;

/** Of one connection only, besides what its `Connection` names. */
const HOP_BY_HOP = [
  "connection",
  "http2-settings",
  "keep-alive",
  "proxy-authenticate",
  "proxy-authentication-info",
  "proxy-authorization",
  "proxy-connection",
  "te",
  "trailer",
  "transfer-encoding",
  "upgrade",
];

/** Headers by which proxies name their callers; a caller of ours could pretend to be anybody. */
const SAID_BY_PROXIES = /^(forwarded|x-forwarded(-.+)?|x-real-ip|x-original-.+|x-rewrite-url)$/;

/** Who may read an answer in a browser, and a request's id, are this node's to say. */
const SAID_BY_US = /^(access-control-.+|timing-allow-origin|x-request-id)$/;

/**
 * A caller's headers as the upstream gets them; those that `Connection` names are gone already.
 *
 * @param options.via this node's name for `Via`
 * @param options.apiKey sent instead of whatever the caller sent
 * @param options.isLocked whether callers' keys are this node's own, and for nobody else
 */
export function headersUp(
  headers: Headers,
  options: { method: string; via: string; apiKey?: string | undefined; isLocked: boolean },
): Headers {
  const { method, via, apiKey, isLocked } = options;
  const sent = without(
    headers,
    (name) =>
      name === "expect" || SAID_BY_PROXIES.test(name) || (isLocked && name === "authorization"),
  );
  // These methods' bodies are not forwarded.
  if (method === "GET" || method === "HEAD") delete sent["content-length"];
  sent.via = [headers.via ?? [], `1.1 ${via}`].flat().join(", ");
  // Compressed events could not be followed by one of ours.
  sent["accept-encoding"] = "identity";
  if (apiKey !== undefined) sent.authorization = `Bearer ${apiKey}`;
  return sent;
}

/**
 * The upstream's headers as the caller gets them.
 *
 * @param vary what the answer depends on already
 */
export function headersDown(headers: Headers, vary: Headers[string]): Headers {
  const named = [headers.connection ?? []].flat().join().toLowerCase().split(",");
  const names = new Set(named.map((name) => name.trim()));
  const kept = without(headers, (name) => names.has(name) || SAID_BY_US.test(name));
  if (vary && kept.vary) kept.vary = [vary, kept.vary].flat().join(", ");
  return kept;
}

function without(headers: Headers, isDropped: (name: string) => boolean): Headers {
  return Object.fromEntries(
    Object.entries(headers).filter(([name]) => !HOP_BY_HOP.includes(name) && !isDropped(name)),
  );
}
