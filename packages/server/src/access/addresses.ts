/** Where a request comes from. */
import type { IncomingMessage } from "node:http";
import { type AddressInfo, BlockList, isIP, isIPv6, type Server } from "node:net";

const LOOPBACK = listOf(["127.0.0.0/8", "::1"]);

/** The addresses that limits for each address do not hold for: this machine's own, and proxies'. */
export class Proxies {
  readonly #trusted: BlockList;

  /** @param trusted addresses, or networks such as `10.0.0.0/8` */
  constructor(trusted: readonly string[]) {
    this.#trusted = listOf(trusted);
  }

  isExempt = (address: string): boolean =>
    isListed(LOOPBACK, address) || isListed(this.#trusted, address);

  /**
   * Who sent a request. `X-Forwarded-For` is believed as far as proxies have written it: from its
   * end, where each of them adds whom it was called by.
   */
  callerOf({ socket, headers }: IncomingMessage): string {
    let address = socket.remoteAddress ?? "";
    const said = [headers["x-forwarded-for"] ?? []].flat().join().split(",");
    while (this.isExempt(address)) {
      const before = withoutPort(said.pop()?.trim() ?? "");
      if (isIP(before) === 0) break;
      address = before;
    }
    return address;
  }
}

/** Whether a server that listens does so for other machines too. */
export function isReachable(server: Server): boolean {
  return !isListed(LOOPBACK, (server.address() as AddressInfo).address);
}

/** An IPv4 address, or the /64 around an IPv6 address: who has one address of a /64 has all. */
export function network(address: string): string {
  const plain = unmapped(address);
  if (!isIPv6(plain)) return plain;
  const [front = "", back] = (plain.split("%", 1)[0] as string).split("::");
  const groups = front === "" ? [] : front.split(":");
  const last = back ? back.split(":").length : 0;
  while (back !== undefined && groups.length + last < 8) groups.push("0");
  return `${groups.slice(0, 4).join(":")}::/64`;
}

function listOf(networks: readonly string[]): BlockList {
  const list = new BlockList();
  for (const each of networks) {
    const [address = "", prefix] = each.split("/");
    const family = isIPv6(address) ? "ipv6" : "ipv4";
    if (prefix === undefined) list.addAddress(address, family);
    else list.addSubnet(address, Number(prefix), family);
  }
  return list;
}

function isListed(list: BlockList, address: string): boolean {
  const plain = unmapped(address);
  return isIP(plain) !== 0 && list.check(plain, isIPv6(plain) ? "ipv6" : "ipv4");
}

/** Some proxies add the port: `192.0.2.1:567`, `[2001:db8::1]:567`. */
function withoutPort(text: string): string {
  const [, v6, v4] = /^(?:\[([^\]]*)\]|(\d+\.\d+\.\d+\.\d+))(?::\d{1,5})?$/.exec(text) ?? [];
  return v6 ?? v4 ?? text;
}

/** An IPv4 address as such where a socket for both families gives it as an IPv6 one. */
function unmapped(address: string): string {
  return /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(address)?.[1] ?? address;
}
