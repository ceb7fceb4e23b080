/** Length of the UTF-8 sequence that a byte begins; 0 if it cannot begin one. */
function sequenceLength(lead: number): number {
  if (lead >= 0xc2 && lead <= 0xdf) return 2;
  if (lead >= 0xe0 && lead <= 0xef) return 3;
  if (lead >= 0xf0 && lead <= 0xf4) return 4;
  return 0;
}

/** Whether a byte may come second after a lead byte (Unicode standard, table 3-7). */
function maySecond(lead: number, byte: number): boolean {
  const low = lead === 0xe0 ? 0xa0 : lead === 0xf0 ? 0x90 : 0x80;
  const high = lead === 0xed ? 0x9f : lead === 0xf4 ? 0x8f : 0xbf;
  return byte >= low && byte <= high;
}

/** Bytes at the end that begin a character which is not complete yet: 0 to 3. */
export function incompleteBytes(bytes: readonly number[] | Uint8Array): number {
  const { length } = bytes;
  for (let held = 1; held <= Math.min(3, length); held++) {
    const lead = bytes[length - held]!;
    if (lead >= 0x80 && lead <= 0xbf) continue;
    const incomplete = sequenceLength(lead) > held && (held === 1 || maySecond(lead, bytes[length - held + 1]!));
    return incomplete ? held : 0;
  }
  return 0;
}

const decoder = new TextDecoder("utf-8", { ignoreBOM: true });

/** Bytes as text; what is not UTF-8 becomes U+FFFD. */
export function decodeUtf8(bytes: readonly number[] | Uint8Array): string {
  return decoder.decode(bytes instanceof Uint8Array ? bytes : Uint8Array.from(bytes));
}
