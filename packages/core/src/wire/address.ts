/**
 * Addresses that a node never calls, whatever a caller asks (docs/protocol.md §4): link-local,
 * "this network", multicast, clouds' metadata services, and every spelling and wrapping of them.
 * Loopback and private networks are allowed, aggregators live there.
 *
 * Free of Node, so that a browser can check a URL before it sends it.
 */

/**
 * Where clouds answer with a machine's credentials, as they publish it, outside of link-local
 * addresses. Single addresses: around them are other people's networks.
 */
const METADATA_SERVICES = new Set([
  "100.100.100.200", // Alibaba Cloud
  "fd00:100::100:200",
  "168.63.129.16", // Azure
  "192.0.0.192", // Oracle Cloud Classic
  "fd00:c1::a9fe:a9fe", // Oracle Cloud
  "100.96.0.96", // Volcano Engine, BytePlus
  "100.80.80.80", // UCloud
  "fd00:ec2::254", // AWS
  "fd00:ec2::23", // AWS, EKS Pod Identity
  "fd20:ce::254", // Google Cloud
  "fd00:42::42", // Scaleway
  "fd00:a9fe:a9fe::1", // Akamai
]);

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
  if (canonical.startsWith("[")) return isRefusedV6(canonical.slice(1, -1));
  return /^\d+\.\d+\.\d+\.\d+$/.test(canonical) && isRefusedV4(canonical.split(".").map(Number));
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

/** @param bytes four */
function isRefusedV4(bytes: readonly number[]): boolean {
  const [first = 0, second = 0] = bytes;
  return (
    first === 0 || // 0.0.0.0/8, this network
    (first === 169 && second === 254) || // 169.254/16, link-local and most clouds' metadata
    (first >= 224 && first <= 239) || // 224/4, multicast
    METADATA_SERVICES.has(bytes.join("."))
  );
}

function isRefusedV6(canonical: string): boolean {
  if (canonical === "::1") return false; // ::0.0.0.1, by its looks
  const bytes = bytesOfV6(canonical);
  const first = (bytes[0] ?? 0) * 256 + (bytes[1] ?? 0);
  return (
    (first & 0xffc0) === 0xfe80 || // fe80::/10, link-local
    (first & 0xff00) === 0xff00 || // ff00::/8, multicast
    METADATA_SERVICES.has(canonical) ||
    wrappedV4(bytes).some(isRefusedV4)
  );
}

/** Sixteen bytes of an address that the URL parser has written. */
function bytesOfV6(canonical: string): number[] {
  const [head = "", tail = ""] = canonical.split("::");
  const read = (part: string) =>
    part === "" ? [] : part.split(":").map((group) => Number.parseInt(group, 16));
  const [front, back] = [read(head), read(tail)];
  const zeros = new Array<number>(8 - front.length - back.length).fill(0);
  return [...front, ...zeros, ...back].flatMap((group) => [group >> 8, group & 0xff]);
}

/** Prefixes of whole bytes whose addresses lead to the IPv4 address at `at`. */
const WRAPPINGS = [
  { prefix: [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], at: 12 }, // ::/96, IPv4-compatible, and ::
  { prefix: [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff], at: 12 }, // IPv4-mapped, RFC 4291
  { prefix: [0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0, 0], at: 12 }, // IPv4-translated, RFC 2765
  { prefix: [0, 0x64, 0xff, 0x9b, 0, 0, 0, 0, 0, 0, 0, 0], at: 12 }, // NAT64, RFC 6052
  { prefix: [0x20, 0x02], at: 2 }, // 6to4, RFC 3056
  { prefix: [0x20, 0x01, 0, 0], at: 4 }, // Teredo's server, RFC 4380
];
/** 64:ff9b:1::/48, NAT64 of one's own (RFC 8215), whatever the length of the prefix in it. */
const LOCAL_NAT64 = [0, 0x64, 0xff, 0x9b, 0, 1];

/** The IPv4 addresses, four bytes each, that a packet to an IPv6 address may end at. */
function wrappedV4(bytes: readonly number[]): number[][] {
  const startsWith = (prefix: readonly number[]) => prefix.every((byte, i) => bytes[i] === byte);
  const last = bytes.slice(12);
  const found = WRAPPINGS.filter(({ prefix }) => startsWith(prefix)).map(({ at }) =>
    bytes.slice(at, at + 4),
  );
  // Teredo's client stands in its address inverted.
  if (startsWith([0x20, 0x01, 0, 0])) found.push(last.map((byte) => byte ^ 0xff));
  // ISATAP, RFC 5214, under any prefix.
  if (/^[02],0,94,254$/.test(bytes.slice(8, 12).join())) found.push(last);
  if (startsWith(LOCAL_NAT64)) {
    // RFC 6052 §2.2 leaves out byte 8. Zeros before an address are padding and none themselves.
    const rest = [...bytes.slice(6, 8), ...bytes.slice(9)];
    const read = [0, 1, 2].map((from) => rest.slice(from, from + 4));
    found.push(last, ...read.filter(([first]) => first !== 0));
  }
  return found;
}
