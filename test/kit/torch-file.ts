/** Files as `torch.save` writes them, from parts that a test chooses: pickles byte by byte, zip archives with lies. */

/** Bytes of a pickle, nested as is handy. */
export type PickleBytes = number | Uint8Array | readonly PickleBytes[];

const encoder = new TextEncoder();

const littleEndian = (value: number, size: number): number[] =>
  Array.from({ length: size }, (_, i) => Math.floor(value / 256 ** i) % 256);

/** Operations of pickle protocol 2 that have no argument. */
export const op = {
  mark: 0x28,
  tuple: 0x74,
  reduce: 0x52,
  dict: 0x7d,
  items: 0x75,
  list: 0x5d,
  appends: 0x65,
  stop: 0x2e,
};

/** Joins the parts of a pickle. */
export function pickle(...parts: PickleBytes[]): Uint8Array {
  const flat = parts.flat(Number.POSITIVE_INFINITY as 1) as (number | Uint8Array)[];
  return Uint8Array.from(flat.flatMap((part) => (typeof part === "number" ? [part] : [...part])));
}

export const text = (value: string): PickleBytes => {
  const bytes = encoder.encode(value);
  return [0x58, ...littleEndian(bytes.length, 4), bytes];
};

/** A 32-bit integer, or one of 8 bytes where it needs them. */
export const int = (value: number): PickleBytes =>
  Math.abs(value) < 2 ** 31
    ? [0x4a, ...littleEndian(value < 0 ? value + 2 ** 32 : value, 4)]
    : [0x8a, 8, ...littleEndian(value, 8)];

export const tuple = (...items: PickleBytes[]): PickleBytes => [op.mark, items, op.tuple];

/** An imported name. */
export const name = (module: string, attribute: string): PickleBytes => [
  0x63,
  encoder.encode(`${module}\n${attribute}\n`),
];

export const call = (callee: PickleBytes, ...args: PickleBytes[]): PickleBytes => [callee, tuple(...args), op.reduce];

export const dict = (entries: readonly (readonly [PickleBytes, PickleBytes])[]): PickleBytes => [
  op.dict,
  op.mark,
  entries.flat(),
  op.items,
];

/** A storage kept in the record `data/<key>`. */
export const storage = (type: string, key: string, length: number): PickleBytes => [
  tuple(text("storage"), name("torch", `${type}Storage`), text(key), text("cpu"), int(length)),
  0x51,
];

/** A view of a storage. */
export const tensor = (
  on: PickleBytes,
  offset: number,
  sizes: readonly number[],
  strides: readonly number[],
): PickleBytes =>
  call(
    name("torch._utils", "_rebuild_tensor_v2"),
    on,
    int(offset),
    tuple(...sizes.map(int)),
    tuple(...strides.map(int)),
    0x89,
    call(name("collections", "OrderedDict")),
  );

/** A record of a zip archive; what is not given is told truthfully. */
export interface ZipPart {
  readonly name: string;
  readonly data: Uint8Array;
  readonly method?: number;
  readonly flags?: number;
  /** Size that the directory tells. */
  readonly size?: number;
  /** Where the directory says the record begins. */
  readonly start?: number;
}

/** A zip archive of stored records; `count` is what its end says of their number. */
export function zip(parts: readonly ZipPart[], count = parts.length): Uint8Array {
  const records: number[] = [];
  const directory: number[] = [];
  for (const part of parts) {
    const title = [...encoder.encode(part.name)];
    const begin = records.length;
    const size = littleEndian(part.size ?? part.data.length, 4);
    const facts = [
      20,
      0,
      ...littleEndian(part.flags ?? 0, 2),
      ...littleEndian(part.method ?? 0, 2),
      ...Array(8).fill(0),
    ];
    const sizes = [...size, ...size, ...littleEndian(title.length, 2)];
    records.push(0x50, 0x4b, 3, 4, ...facts, ...sizes, 0, 0, ...title);
    for (const byte of part.data) records.push(byte);
    const start = littleEndian(part.start ?? begin, 4);
    directory.push(0x50, 0x4b, 1, 2, 20, 0, ...facts, ...sizes, ...Array(12).fill(0), ...start, ...title);
  }
  const counts = [...littleEndian(count, 2), ...littleEndian(count, 2)];
  const place = [...littleEndian(directory.length, 4), ...littleEndian(records.length, 4)];
  return Uint8Array.from([...records, ...directory, 0x50, 0x4b, 5, 6, 0, 0, 0, 0, ...counts, ...place, 0, 0]);
}

/** A file of `torch.save`: a pickled value, closed by its stop, and the bytes of its storages. */
export function torchFile(value: PickleBytes, storages: Readonly<Record<string, Uint8Array>> = {}): Uint8Array {
  return zip([
    { name: "x/data.pkl", data: pickle(0x80, 2, value, op.stop) },
    ...Object.entries(storages).map(([key, data]) => ({ name: `x/data/${key}`, data })),
  ]);
}
