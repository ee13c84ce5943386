/**
 * The character that stands for each byte in GPT-2's alphabet: printable Latin-1 for itself, the
 * others moved up from U+0100 in their order.
 */
export function byteCharacters(): string[] {
  const isPrintable = (byte: number) =>
    (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte <= 0xac) || byte >= 0xae;
  let moved = 0;
  return Array.from({ length: 256 }, (_, byte) =>
    String.fromCodePoint(isPrintable(byte) ? byte : 0x100 + moved++),
  );
}
