/** Pages in a browser use the node only where they may: nobody else's page may command it. */
import { isIP } from "node:net";
import type { FastifyBaseLogger, FastifyReply, FastifyRequest } from "fastify";

/** Origins of which the log tells; more would be a stranger's to fill it with. */
const MAX_TOLD = 64;
/** Characters of one that the log shows. */
const MAX_SHOWN = 200;

/** Headers of answers that pages may read. */
export const SHOWN_HEADERS = ["x-request-id", "retry-after"];

/**
 * Lets the pages that may use the node read why they are refused: what is refused before the CORS
 * plugin's turn has no headers of it.
 */
export function refusalsForPages(allowed: readonly string[]) {
  return ({ headers: { origin } }: FastifyRequest, reply: FastifyReply): void => {
    if (origin === undefined || !allowed.includes(origin)) return;
    reply.headers({
      "access-control-allow-origin": origin,
      "access-control-expose-headers": SHOWN_HEADERS.join(", "),
      vary: "Origin",
    });
  };
}

/**
 * A hook that refuses what a foreign page sends and what could change something: all but plain GETs,
 * whose answers a browser does not show it anyway. Browsers name the page's `Origin`, programs send
 * none.
 *
 * The log and `onRefused` hear of each origin once, and of the first 64 alone.
 *
 * The node's own pages may come by an address or as localhost, but not by another name: such a
 * name can be made to lead here by anybody who owns it.
 */
export function originGuard(
  allowed: readonly string[],
  log: Pick<FastifyBaseLogger, "info">,
  onRefused: (origin: string) => void,
) {
  const told = new Set<string>();
  const tell = (origin: string) => {
    if (told.has(origin) || told.size === MAX_TOLD) return;
    told.add(origin);
    log.info({ origin }, "pages of this origin are refused: --allow-origin would let them in");
    onRefused(origin);
  };
  return (request: FastifyRequest, reply: FastifyReply): FastifyReply | null => {
    const { origin, host, upgrade } = request.headers;
    const isPlainGet = /^(GET|HEAD)$/.test(request.method) && upgrade === undefined;
    if (origin === undefined || isPlainGet) return null;
    if (allowed.includes(origin) || isOwn(origin, host)) return null;
    tell(origin.slice(0, MAX_SHOWN));
    return reply.code(403).send({
      detail: "Origin not allowed",
      hint: "start the node with --allow-origin and this page's origin",
    });
  };
}

function isOwn(origin: string, host: string | undefined): boolean {
  if (!URL.canParse(origin)) return false;
  const url = new URL(origin);
  const name = url.hostname.replace(/^\[|\]$/g, "");
  return url.host === host && (name === "localhost" || isIP(name) !== 0);
}
