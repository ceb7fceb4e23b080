import { Random } from "../../src/tensor/random.ts";

/** Where mutations fall: bytes `start` up to, not including, `end`. */
export interface Region {
  readonly start: number;
  readonly end: number;
}

/** Values that length fields, offsets and counts are replaced with: the edges of every width. */
const edges = [0n, 1n, 0x7fn, 0xffn, 0x7fffn, 0xffffn, 0x7fffffffn, 0xffffffffn, 2n ** 53n, 2n ** 63n, 2n ** 64n - 1n];

type Mutation = (bytes: Uint8Array<ArrayBuffer>, region: Region, random: Random) => Uint8Array<ArrayBuffer>;

const within = ({ start, end }: Region, random: Random): number => start + random.integer(end - start);

const mutations: readonly Mutation[] = [
  // flips bits
  (bytes, region, random) => {
    for (let i = random.integer(4); i >= 0; i--) bytes[within(region, random)]! ^= 1 << random.integer(8);
    return bytes;
  },
  // sets a byte
  (bytes, region, random) => {
    bytes[within(region, random)] = random.integer(256);
    return bytes;
  },
  // replaces a field of 1, 2, 4 or 8 bytes
  (bytes, region, random) => {
    let value = edges[random.integer(edges.length)]!;
    const at = within(region, random);
    const end = Math.min(bytes.length, at + 2 ** random.integer(4));
    for (let i = at; i < end; i++, value >>= 8n) bytes[i] = Number(value & 255n);
    return bytes;
  },
  // cuts the end off
  (bytes, region, random) => bytes.slice(0, within(region, random)),
  // takes bytes out
  (bytes, region, random) => {
    const at = within(region, random);
    return joined(bytes.subarray(0, at), bytes.subarray(at + 1 + random.integer(16)));
  },
  // repeats bytes
  (bytes, region, random) => {
    const at = within(region, random);
    return joined(bytes.subarray(0, at + 1 + random.integer(16)), bytes.subarray(at));
  },
  // copies bytes over others
  (bytes, region, random) => {
    const from = within(region, random);
    const to = within(region, random);
    bytes.set(bytes.slice(from, Math.min(from + 1 + random.integer(32), bytes.length - Math.max(0, to - from))), to);
    return bytes;
  },
];

function joined(a: Uint8Array, b: Uint8Array): Uint8Array<ArrayBuffer> {
  const out = new Uint8Array(a.length + b.length);
  out.set(a);
  out.set(b, a.length);
  return out;
}

/** Damages a copy of `bytes` in `region`, in a way that `seed` fixes. */
export function mutate(bytes: Uint8Array, region: Region, seed: number): Uint8Array<ArrayBuffer> {
  const random = new Random(seed);
  let out: Uint8Array<ArrayBuffer> = Uint8Array.from(bytes);
  // mostly once: a file that is hardly damaged gets further
  for (let i = random.integer(4) ? 1 : 3; i > 0; i--) {
    const end = Math.min(region.end, out.length);
    if (end > region.start) out = mutations[random.integer(mutations.length)]!(out, { ...region, end }, random);
  }
  return out;
}
