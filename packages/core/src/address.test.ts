import { describe, expect, it } from "vitest";
import { isRefusedAddress } from "./address.ts";

describe("isRefusedAddress", () => {
  it.each([
    "169.254.169.254",
    "169.254.0.0",
    "169.254.255.255",
    "169.254.169.254.",
    "0.0.0.0",
    "0.255.1.2",
    "224.0.0.1",
    "239.255.255.255",
    "2852039166", // 169.254.169.254 as one decimal number
    "0xa9fea9fe",
    "0xA9.0xFE.0xA9.0xFE",
    "0251.0376.0251.0376",
    "169.254.43518",
    "0",
    "[fe80::1]",
    "[febf:ffff::1]",
    "fe80::1%eth0",
    "[fd00:ec2::254]",
    "fd00:0ec2:0000:0000:0000:0000:0000:0254",
    "[ff02::1]",
    "ffff::1",
    "[::]",
    "::",
    "[::ffff:169.254.169.254]",
    "::ffff:a9fe:a9fe",
    "::ffff:0.0.0.0",
    "::ffff:224.0.0.1",
    "::169.254.169.254",
    "::ffff:0:169.254.169.254",
    "64:ff9b::169.254.169.254",
  ])("refuses %s", (host) => {
    expect(isRefusedAddress(host)).toBe(true);
  });

  it.each([
    "127.0.0.1",
    "10.0.0.1",
    "192.168.1.1",
    "172.16.0.1",
    "169.253.255.255",
    "169.255.0.0",
    "223.255.255.255",
    "1.0.0.0",
    "8.8.8.8",
    "2130706433", // 127.0.0.1
    "[::1]",
    "::1",
    "[fec0::1]",
    "fd00:ec2::253",
    "fd00::1",
    "2001:db8::1",
    "::ffff:127.0.0.1",
    "64:ff9b::8.8.8.8",
    "localhost",
    "aggregator",
    "169.254.169.254.example.com",
    "fe80.example.com",
    "not a host",
    "",
  ])("allows %s", (host) => {
    expect(isRefusedAddress(host)).toBe(false);
  });
});
