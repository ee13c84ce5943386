/**
 * Addresses that a node never calls, whatever a caller asks (docs/protocol.md §4): link-local and
 * cloud metadata, "this network", multicast, and every spelling of them. Loopback and private
 * networks are allowed, aggregators live there.
 *
 * Free of Node, so that a browser can check a URL before it sends it.
 */

/**
 * Whether `host` is a literal address that must not be called. A name is none: names are checked
 * when they are resolved, on the very address that is about to be used.
 *
 * @param host a URL's `hostname` (IPv6 in brackets), or an address as a resolver gives it (IPv6
 *   without brackets, perhaps with a zone). Decimal, octal and hexadecimal IPv4 forms are read as
 *   every URL parser reads them.
 */
export function isRefusedAddress(host: string): boolean {
  const canonical = canonicalHost(host);
  if (canonical === null) return false;
  if (canonical.startsWith("[")) return isRefusedV6(groupsOfV6(canonical.slice(1, -1)));
  const v4 = /^(\d+)\.(\d+)\.(\d+)\.(\d+)$/.exec(canonical);
  return v4 !== null && isRefusedV4(Number(v4[1]), Number(v4[2]));
}

/** The host as the WHATWG URL parser writes it: IPv4 dotted and decimal, IPv6 compressed, hexadecimal. */
function canonicalHost(host: string): string | null {
  const bare = host.replace(/^\[|\]$/g, "").replace(/%.*$/, "");
  try {
    return new URL(bare.includes(":") ? `http://[${bare}]/` : `http://${bare}/`).hostname;
  } catch {
    return null;
  }
}

function isRefusedV4(first: number, second: number): boolean {
  return (
    first === 0 || // 0.0.0.0/8, this network
    (first === 169 && second === 254) || // 169.254/16, link-local and metadata
    (first >= 224 && first <= 239) // 224/4, multicast
  );
}

/** Eight 16-bit groups of an address that the URL parser has already canonicalised. */
function groupsOfV6(address: string): number[] {
  const [head = "", tail] = address.split("::");
  const read = (part: string) =>
    part === "" ? [] : part.split(":").map((group) => Number.parseInt(group, 16));
  const front = read(head);
  if (tail === undefined) return front;
  const back = read(tail);
  return [...front, ...new Array<number>(8 - front.length - back.length).fill(0), ...back];
}

function isRefusedV6(groups: readonly number[]): boolean {
  const first = groups[0] ?? 0;
  if ((first & 0xffc0) === 0xfe80) return true; // fe80::/10, link-local
  if ((first & 0xff00) === 0xff00) return true; // ff00::/8, multicast
  if (groups.join(":") === METADATA_V6) return true;
  if (groups.join(":") === LOOPBACK_V6) return false;
  const embedded = embeddedV4(groups);
  return embedded !== null && isRefusedV4(embedded >> 8, embedded & 0xff);
}

/** fd00:ec2::254, a cloud's metadata service. */
const METADATA_V6 = [0xfd00, 0x0ec2, 0, 0, 0, 0, 0, 0x254].join(":");
const LOOPBACK_V6 = [0, 0, 0, 0, 0, 0, 0, 1].join(":");

/** Prefixes, six groups long, whose last 32 bits are an IPv4 address that a packet would reach. */
const V4_PREFIXES = [
  [0, 0, 0, 0, 0, 0xffff], // ::ffff:0:0/96, IPv4-mapped
  [0, 0, 0, 0, 0xffff, 0], // ::ffff:0:0:0/96, IPv4-translated
  [0, 0, 0, 0, 0, 0], // ::/96, IPv4-compatible; holds the unspecified address too
  [0x0064, 0xff9b, 0, 0, 0, 0], // 64:ff9b::/96, NAT64
].map((groups) => groups.join(":"));

/** The first 16 bits of the embedded IPv4 address, or null when there is none. */
function embeddedV4(groups: readonly number[]): number | null {
  return V4_PREFIXES.includes(groups.slice(0, 6).join(":")) ? (groups[6] ?? 0) : null;
}
