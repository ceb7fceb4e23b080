import { describe, expect, it } from "vitest";
import { encodeGguf as encode, floats, normal } from "../../test/kit/gguf-file.ts";
import { mutate } from "../../test/kit/mutate.ts";
import { CheckpointError } from "../tensor/errors.ts";
import { dequantizeMatrix, quantizeMatrix } from "../tensor/quantize.ts";
import { type GgufFile, readGguf } from "./gguf.ts";
import type { GgufField } from "./gguf-fields.ts";
import { ggufTypes } from "./gguf-types.ts";
import { bytesSource } from "./source.ts";

const u32 = (value: number): number[] => [...new Uint8Array(Uint32Array.of(value).buffer)];
const u64 = (value: number | bigint): number[] => [...new Uint8Array(BigUint64Array.of(BigInt(value)).buffer)];
const text = (value: string): number[] => [...u64(Buffer.byteLength(value)), ...Buffer.from(value)];
const start = (tensors: number | bigint, fields: number | bigint, version = 3): number[] => [
  ...Buffer.from("GGUF"),
  ...u32(version),
  ...u64(tensors),
  ...u64(fields),
];
const field = (key: string, type: number, value: number[]): number[] => [...text(key), ...u32(type), ...value];
const info = (name: string, sizes: (number | bigint)[], type: number, offset: number | bigint): number[] => [
  ...text(name),
  ...u32(sizes.length),
  ...sizes.flatMap(u64),
  ...u32(type),
  ...u64(offset),
];
const padded = (header: number[], data: number[] | Uint8Array = []): Uint8Array =>
  Uint8Array.from([...header, ...new Array(Math.ceil(header.length / 32) * 32 - header.length).fill(0), ...data]);

describe("readGguf", () => {
  it("reads metadata of every type, written by hand", async () => {
    const fields = [
      field("a", 0, [200]),
      field("b", 1, [200]),
      field("c", 2, [0xff, 0xff]),
      field("d", 3, [0xff, 0xff]),
      field("e", 4, u32(4_000_000_000)),
      field("f", 5, u32(4_294_967_295)),
      field("g", 6, [...new Uint8Array(Float32Array.of(1.5).buffer)]),
      field("h", 7, [1]),
      field("i", 8, text("héllo")),
      field("j", 9, [...u32(5), ...u64(2), ...u32(7), ...u32(4_294_967_295)]),
      field("k", 9, [...u32(8), ...u64(2), ...text("x"), ...text("")]),
      field("l", 9, [...u32(9), ...u64(1), ...u32(7), ...u64(2), 1, 0]),
      field("m", 10, u64(2n ** 53n)),
      field("n", 11, u64(2n ** 64n - 2n)),
      field("o", 12, [...new Uint8Array(Float64Array.of(0.1).buffer)]),
    ];
    const file = await readGguf(padded([...start(0, fields.length, 2), ...fields.flat()]));
    expect(file.version).toBe(2);
    expect([...file.fields.values()].map(({ value }) => value)).toEqual([
      ...[200, -56, 65535, -1, 4_000_000_000, -1, 1.5, true, "héllo", Int32Array.of(7, -1), ["x", ""]],
      ...[[[true, false]], 2n ** 53n, -2, 0.1],
    ]);
    expect(file.metadata).toMatchObject({ e: "4000000000", i: "héllo", o: "0.1" });
    expect(Object.keys(file.metadata)).not.toContain("k");
  });

  it("lists shapes slowest axis first and finds data behind the alignment of the file", async () => {
    const data = Float32Array.of(1, 2, 3, 4, 5, 6);
    const header = [
      ...start(2, 1),
      ...field("general.alignment", 4, u32(64)),
      ...info("m", [3, 2], 0, 0),
      ...info("s", [1], 0, 64),
    ];
    const bytes = new Uint8Array(Math.ceil(header.length / 64) * 64 + 68);
    bytes.set(header);
    bytes.set(new Uint8Array(data.buffer), bytes.length - 68);
    bytes.set(new Uint8Array(Float32Array.of(9).buffer), bytes.length - 4);
    const { tensors, alignment } = await readGguf(bytes);
    expect(alignment).toBe(64);
    expect(tensors.get("m")!.shape).toEqual([2, 3]);
    expect(await tensors.get("m")!.read()).toEqual(data);
    expect(await tensors.get("m")!.read(2, 4)).toEqual(Float32Array.of(3, 4));
    expect(await tensors.get("s")!.read()).toEqual(Float32Array.of(9));
  });

  it("reads a header that is longer than the first read", async () => {
    const tokens = Array.from({ length: 40_000 }, (_, i) => `token ${i}`);
    const value: GgufField = { type: "array", of: "string", value: tokens };
    const file = await readGguf(await encode([floats("x", "F32", [2], Float32Array.of(1, 2))], [["tokens", value]]));
    expect(file.fields.get("tokens")!.value).toEqual(tokens);
    expect(await file.tensors.get("x")!.read()).toEqual(Float32Array.of(1, 2));
  });

  it("gives quantized tensors as values, in any range, and as blocks", async () => {
    const values = normal(4 * 96);
    const file = await readGguf(await encode([floats("w", "Q4_0", [4, 96], values)]));
    const entry = file.tensors.get("w")!;
    const matrix = quantizeMatrix(values, 4, 96, "int4");
    const expected = dequantizeMatrix(matrix);
    expect([entry.dtype, entry.storedType, entry.byteLength, entry.storedByteLength]).toEqual([
      ...["float32", "Q4_0"],
      ...[4 * 96 * 4, 4 * 3 * 18],
    ]);
    expect(await entry.read()).toEqual(expected);
    for (const [from, to] of [
      [0, 0],
      [31, 33],
      [100, 384],
    ] as const) {
      expect(await entry.read(from, to)).toEqual(expected.slice(from, to));
    }
    expect(await entry.readQuantized!()).toEqual(matrix);
    expect(await entry.readBlocks(1, 3)).toEqual((await entry.readBlocks()).slice(54, 162));
    await expect(entry.readBlocks(1, 5)).rejects.toThrow(CheckpointError);
    await expect(entry.read(0, 385)).rejects.toThrow(CheckpointError);
  });

  it.each([
    ["a file cut off in its magic number", [0x47, 0x47], "at byte 0: the magic number must fit the file"],
    ["another format", padded([...Buffer.from("GGML"), ...u32(3)]), "must begin with GGUF"],
    ["version 1", padded(start(0, 0, 1)), "must be 2 or 3, little-endian; got 1"],
    ["big-endian numbers", padded(start(0, 0, 0x03000000)), "big-endian"],
    ["2^60 fields", padded(start(0, 2n ** 60n)), "there should be 1152921504606846976"],
    ["2^60 tensors", padded(start(2n ** 60n, 0)), "there should be 1152921504606846976"],
    ["a key of 2^60 bytes", padded([...start(0, 1), ...u64(2n ** 60n)], new Uint8Array(64)), "bytes of a key must fit"],
    ["an array of 2^60", padded([...start(0, 1), ...field("k", 9, [...u32(7), ...u64(2n ** 60n)])]), 'items of "k"'],
    ["a type of metadata that is none", padded([...start(0, 1), ...field("k", 13, [])]), '"k" must have a type'],
    ["a truth value of 2", padded([...start(0, 1), ...field("k", 7, [2])]), "must be 0 or 1; got 2"],
    ["a key twice", padded([...start(0, 2), ...field("k", 7, [1]), ...field("k", 7, [1])]), '"k" comes twice'],
    ["arrays in arrays without end", padded([...start(0, 1), ...text("k"), ...u32(9), ...nested(9)]), "must nest"],
    ["an alignment of 3", padded([...start(0, 1), ...field("general.alignment", 4, u32(3))]), "power of two; got 3"],
    ["five axes", padded([...start(1, 0), ...info("t", [1, 1, 1, 1, 1], 0, 0)]), "at most 4 axes; got 5"],
    ["a size of 2^60", padded([...start(1, 0), ...info("t", [2n ** 60n], 0, 0)]), "shape must be a list of sizes"],
    ["a type that is not read", padded([...start(1, 0), ...info("t", [256], 13, 0)]), "got Q5_K"],
    ["a type that is none", padded([...start(1, 0), ...info("t", [256], 99, 0)]), "got type 99"],
    [
      "rows that are no blocks",
      padded([...start(1, 0), ...info("t", [48], 8, 0)]),
      "multiple of 32 long; they have 48",
    ],
    [
      "an offset that is not aligned",
      padded([...start(1, 0), ...info("t", [1], 0, 4)], new Uint8Array(64)),
      "begin at 4",
    ],
    ["data beyond the file", padded([...start(1, 0), ...info("t", [9], 0, 0)], new Uint8Array(32)), "its 36 bytes"],
    [
      "tensors that overlap",
      padded([...start(2, 0), ...info("t", [9], 0, 0), ...info("u", [1], 0, 32)], new Uint8Array(64)),
      '"u" overlaps',
    ],
    [
      "a tensor twice",
      padded([...start(2, 0), ...info("t", [1], 0, 0), ...info("t", [1], 0, 32)], new Uint8Array(64)),
      '"t" comes twice',
    ],
  ])("refuses %s", async (_, bytes, message) => {
    const attempt = readGguf(Uint8Array.from(bytes));
    await expect(attempt).rejects.toThrow(CheckpointError);
    await expect(attempt).rejects.toThrow(message);
  });

  it("refuses a file cut off anywhere in its header", async () => {
    const whole = await small();
    for (let length = 0; length < whole.length - 64; length += 7) {
      await expect(readGguf(whole.slice(0, length))).rejects.toThrow(CheckpointError);
    }
  });

  it("refuses damaged headers or stays consistent, 2000 times", async () => {
    const whole = await small();
    let refused = 0;
    for (let seed = 0; seed < 2000; seed++) {
      if (await isRefused(mutate(whole, { start: 0, end: whole.length - 32 }, seed))) refused++;
    }
    expect(refused).toBeGreaterThan(1000);
    expect(refused).toBeLessThan(2000);
  });
});

function nested(depth: number): number[] {
  return depth === 0 ? [...u32(7), ...u64(0)] : [...u32(9), ...u64(1), ...nested(depth - 1)];
}

/** A small file with a bit of everything. */
function small(): Promise<Uint8Array> {
  const values = normal(128);
  return encode(
    [
      floats("w", "Q8_0", [2, 64], values),
      floats("h", "F16", [5], values.slice(0, 5)),
      floats("e", "F32", [0, 3], values),
    ],
    [
      ["general.architecture", { type: "string", value: "mamba" }],
      ["list", { type: "array", of: "string", value: ["a", "bc"] }],
      ["numbers", { type: "array", of: "int32", value: Int32Array.of(1, -2) }],
      ["epsilon", { type: "float32", value: 1e-5 }],
    ],
  );
}

/** Opens a damaged file and reads every tensor. Anything but a CheckpointError fails, as does reading more than there is. */
async function isRefused(bytes: Uint8Array): Promise<boolean> {
  let total = 0;
  const source = bytesSource("mutated", bytes);
  const counted = {
    ...source,
    read: (from: number, to: number) => {
      total += to - from;
      return source.read(from, to);
    },
  };
  let file: GgufFile;
  try {
    file = await readGguf(counted);
  } catch (error) {
    if (!(error instanceof CheckpointError)) throw error;
    expect(error.message.length).toBeLessThan(2000);
    return true;
  } finally {
    expect(total).toBeLessThanOrEqual(bytes.length);
  }
  for (const { shape, storedType, storedByteLength, byteLength, dtype, read } of file.tensors.values()) {
    const count = shape.reduce((product, size) => product * size, 1);
    expect(storedByteLength * ggufTypes[storedType].block).toBe(count * ggufTypes[storedType].bytes);
    expect(storedByteLength).toBeLessThanOrEqual(bytes.length);
    const values = await read();
    expect([values.length, values.byteLength, dtype]).toEqual([count, byteLength, ggufTypes[storedType].dtype]);
  }
  return false;
}
