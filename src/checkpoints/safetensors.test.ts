import { mkdtemp, readFile, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { CheckpointError, DtypeError } from "../tensor/errors.ts";
import { readSafetensors } from "./safetensors.ts";
import { encodeSafetensors, type TensorData, writeSafetensors } from "./safetensors-write.ts";

const fixtures = new URL("../../test/fixtures/", import.meta.url).pathname;

/** A file with this header text and so many bytes of data. */
function file(header: unknown, data: Uint8Array | number = 0): Uint8Array {
  const text = new TextEncoder().encode(typeof header === "string" ? header : JSON.stringify(header));
  const body = typeof data === "number" ? new Uint8Array(data) : data;
  const out = new Uint8Array(8 + text.length + body.length);
  new DataView(out.buffer).setBigUint64(0, BigInt(text.length), true);
  out.set(text, 8);
  out.set(body, 8 + text.length);
  return out;
}

const entry = (dtype: string, shape: unknown, begin: number, end: number) => ({
  dtype,
  shape,
  data_offsets: [begin, end],
});

describe("readSafetensors", () => {
  it("opens a model that safetensors' own library wrote", async () => {
    const opened = await readSafetensors(`${fixtures}hf-mamba-tied/model.safetensors`);
    const weight = opened.tensors.get("backbone.layers.1.mixer.A_log")!;
    expect([weight.dtype, weight.storedType, weight.shape, weight.byteLength]).toEqual([
      "float32",
      "F32",
      [128, 16],
      8192,
    ]);
    // the file's bytes, found without the reader under test
    const bytes = await readFile(`${fixtures}hf-mamba-tied/model.safetensors`);
    const headerLength = Number(bytes.readBigUInt64LE(0));
    const header = JSON.parse(bytes.toString("utf8", 8, 8 + headerLength));
    const [begin] = header["backbone.layers.1.mixer.A_log"].data_offsets;
    const values = await weight.read();
    for (const i of [0, 1, 1000, 2047]) expect(values[i]).toBe(bytes.readFloatLE(8 + headerLength + begin + 4 * i));
    expect([...(await weight.read(1000, 1003))]).toEqual([...values.slice(1000, 1003)]);
    await opened.close();
  });

  it("reads every element type", async () => {
    const data = new Uint8Array(46);
    const view = new DataView(data.buffer);
    view.setFloat64(0, Math.PI, true);
    view.setBigInt64(8, -5n, true);
    view.setBigInt64(16, 2147483647n, true);
    view.setFloat32(24, 1.5, true);
    view.setInt32(28, -7, true);
    view.setUint32(32, 4294967295, true);
    view.setUint16(36, 0x3c00, true);
    view.setUint16(38, 0x3f80, true);
    view.setInt16(40, -9, true);
    data.set([255, 128, 1, 0], 42);
    const header = {
      double: entry("F64", [], 0, 8),
      long: entry("I64", [2], 8, 24),
      float: entry("F32", [1], 24, 28),
      int: entry("I32", [1, 1], 28, 32),
      unsigned: entry("U32", [1], 32, 36),
      half: entry("F16", [1], 36, 38),
      brain: entry("BF16", [1], 38, 40),
      short: entry("I16", [1], 40, 42),
      byte: entry("U8", [1], 42, 43),
      char: entry("I8", [1], 43, 44),
      flags: entry("BOOL", [2], 44, 46),
      nothing: entry("F32", [3, 0], 46, 46),
    };
    const { tensors } = await readSafetensors(file(header, data));
    const read = async (name: string) => [tensors.get(name)!.dtype, ...(await tensors.get(name)!.read())];
    expect(await read("double")).toEqual(["float64", Math.PI]);
    expect(await read("long")).toEqual(["int32", -5, 2147483647]);
    expect(await read("float")).toEqual(["float32", 1.5]);
    expect(await read("int")).toEqual(["int32", -7]);
    expect(await read("unsigned")).toEqual(["uint32", 4294967295]);
    expect(await read("half")).toEqual(["float16", 0x3c00]);
    expect(await read("brain")).toEqual(["bfloat16", 0x3f80]);
    expect(await read("short")).toEqual(["int32", -9]);
    expect(await read("byte")).toEqual(["uint8", 255]);
    expect(await read("char")).toEqual(["int8", -128]);
    expect(await read("flags")).toEqual(["uint8", 1, 0]);
    expect(await read("nothing")).toEqual(["float32"]);
    expect(tensors.get("long")!.byteLength).toBe(8);
  });

  it.each([2147483648n, -2147483649n, 4294967295n, 2n ** 40n, -(2n ** 63n)])(
    "refuses the 64-bit integer %s",
    async (value) => {
      const data = new Uint8Array(8);
      new DataView(data.buffer).setBigInt64(0, value, true);
      const { tensors } = await readSafetensors(file({ ids: entry("I64", [1], 0, 8) }, data));
      await expect(tensors.get("ids")!.read()).rejects.toThrow(`element 0 is ${value}`);
    },
  );

  it("gives metadata and keeps names that JavaScript finds special", async () => {
    const text = `{"__metadata__":{"format":"pt"},"__proto__":${JSON.stringify(entry("U8", [1], 0, 1))}}`;
    const opened = await readSafetensors(file(text, 1));
    expect(opened.metadata).toEqual({ format: "pt" });
    expect([...opened.tensors.keys()]).toEqual(["__proto__"]);
  });

  const header = { a: entry("F32", [2], 0, 8) };
  it.each([
    ["an empty file", new Uint8Array(0), /must hold a header/],
    ["a header beyond the file", file(header, 8).subarray(0, 20), /its header must fit the file/],
    ["a text that is no JSON", file("{]", 0), /must be JSON/],
    ["a header that is a list", file("[1]", 0), /must begin with \{/],
    ["bytes that are no UTF-8", file('{"a": 1}', 0).map((byte) => (byte === 0x61 ? 0xff : byte)), /must be UTF-8/],
    ["a repeated name", file('{"a":{},"b":{"a":1},"\\u0061":{}}', 0), /names must differ; repeated: \["a"\]/],
    ["an entry that is a number", file({ a: 1 }, 0), /must be described by an object/],
    ["an unknown type", file({ a: entry("F8_E4M3", [1], 0, 1) }, 1), /its type must be one of F64, F32/],
    ["a type named like a method", file({ a: entry("toString", [1], 0, 1) }, 1), /its type must be one of/],
    ["a negative size", file({ a: entry("U8", [-1], 0, 1) }, 1), /shape must be a list of sizes/],
    ["a fractional size", file({ a: entry("U8", [1.5], 0, 1) }, 1), /shape must be a list of sizes/],
    ["a shape that is text", file({ a: entry("U8", "1", 0, 1) }, 1), /shape must be a list of sizes/],
    ["nine axes", file({ a: entry("U8", Array(9).fill(1), 0, 1) }, 1), /at most 8 axes; got 9/],
    ["a product beyond 2^53", file({ a: entry("U8", [2 ** 50, 2 ** 50], 0, 1) }, 1), /fewer than 2\^53/],
    ["too short a range", file({ a: entry("F32", [2], 0, 4) }, 4), /takes 8 bytes; its offsets span 4/],
    ["a range beyond the file", file({ a: entry("F32", [2], 0, 8) }, 4), /within the 4 bytes of data/],
    ["a backward range", file({ a: entry("F32", [2], 8, 0) }, 8), /data_offsets must be two offsets/],
    ["three offsets", file({ a: { dtype: "U8", shape: [1], data_offsets: [0, 1, 2] } }, 2), /must be two offsets/],
    ["an overlap", file({ a: entry("U8", [4], 0, 4), b: entry("U8", [4], 2, 6) }, 6), /"b" at 2 overlaps/],
    ["a hole", file({ a: entry("U8", [2], 0, 2), b: entry("U8", [2], 4, 6) }, 6), /"b" at 4 leaves a hole/],
    ["bytes at the end", file(header, 12), /they end at 8 of 12/],
    ["metadata that is no text", file({ __metadata__: { a: 1 } }, 0), /__metadata__ must hold only strings/],
  ])("refuses %s", async (_, bytes, message) => {
    const failure = await readSafetensors(bytes).then(
      () => undefined,
      (error: unknown) => error,
    );
    expect(failure).toBeInstanceOf(CheckpointError);
    expect((failure as Error).message).toMatch(message);
  });

  it("refuses to read outside a tensor", async () => {
    const { tensors } = await readSafetensors(file(header, 8));
    await expect(tensors.get("a")!.read(1, 3)).rejects.toThrow(/must lie within its 2; got 1 to 3/);
  });
});

describe("writeSafetensors", () => {
  const float = (name: string, ...values: number[]): TensorData => ({
    name,
    dtype: "float32",
    shape: [values.length],
    data: Float32Array.from(values),
  });

  it("gives the same bytes whatever the order, aligned, and the same to a file, a sink and memory", async () => {
    const half: TensorData = { name: "0", dtype: "float16", shape: [1], data: Uint16Array.of(7) };
    const metadata = { b: "2", a: "1" };
    const bytes = encodeSafetensors([half, float("z", 1, 2), float("a", 3)], metadata);
    expect(encodeSafetensors([float("a", 3), float("z", 1, 2), half], { a: "1", b: "2" })).toEqual(bytes);
    const headerLength = Number(new DataView(bytes.buffer).getBigUint64(0, true));
    expect(headerLength % 8).toBe(0);
    expect(new TextDecoder().decode(bytes.subarray(8, 8 + headerLength)).trimEnd()).toBe(
      '{"__metadata__":{"a":"1","b":"2"},"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},' +
        '"z":{"dtype":"F32","shape":[2],"data_offsets":[4,12]},"0":{"dtype":"F16","shape":[1],"data_offsets":[12,14]}}',
    );
    expect([...new Float32Array(bytes.slice(8 + headerLength, 8 + headerLength + 12).buffer)]).toEqual([3, 1, 2]);
    const path = join(await mkdtemp(join(tmpdir(), "mamba-safetensors-")), "out.safetensors");
    const lazy = { ...float("z", 1, 2), data: undefined, read: async () => Float32Array.of(1, 2) };
    delete (lazy as { data?: unknown }).data;
    await writeSafetensors(path, [half, lazy, float("a", 3)], metadata);
    expect(new Uint8Array(await readFile(path))).toEqual(bytes);
    const parts: number[] = [];
    await writeSafetensors(async (part) => void parts.push(...part), [half, lazy, float("a", 3)], metadata);
    expect(Uint8Array.from(parts)).toEqual(bytes);
  });

  it("brings a model that was read back to the same tensors", async () => {
    const original = await readSafetensors(`${fixtures}hf-falcon-mamba/model.safetensors`);
    const path = join(await mkdtemp(join(tmpdir(), "mamba-safetensors-")), "copy.safetensors");
    await writeSafetensors(path, original.tensors.values(), original.metadata);
    const copy = await readSafetensors(path);
    expect(copy.metadata).toEqual(original.metadata);
    expect([...copy.tensors.keys()].sort()).toEqual([...original.tensors.keys()].sort());
    for (const [name, tensor] of original.tensors) {
      expect(copy.tensors.get(name)!.shape).toEqual(tensor.shape);
      expect(await copy.tensors.get(name)!.read()).toEqual(await tensor.read());
    }
    await original.close();
    await copy.close();
  });

  it("round-trips any names, shapes and bits", async () => {
    const tensorData = fc.record({
      name: fc.string({ unit: "grapheme" }).filter((name) => name !== "__metadata__"),
      sizes: fc.array(fc.nat(4), { maxLength: 4 }),
      seed: fc.integer(),
      half: fc.boolean(),
    });
    const property = fc.asyncProperty(fc.uniqueArray(tensorData, { selector: (t) => t.name }), async (drawn) => {
      const tensors = drawn.map(({ name, sizes, seed, half }): TensorData => {
        const count = sizes.reduce((a, b) => a * b, 1);
        const words = Int32Array.from({ length: count }, (_, i) => Math.imul(seed + i, 2654435761));
        if (half) return { name, dtype: "bfloat16", shape: sizes, data: Uint16Array.from(words) };
        return { name, dtype: "int32", shape: sizes, data: words };
      });
      const opened = await readSafetensors(encodeSafetensors(tensors));
      expect(opened.tensors.size).toBe(tensors.length);
      for (const tensor of tensors) {
        const back = opened.tensors.get(tensor.name)!;
        expect([back.dtype, back.shape, await back.read()]).toEqual([tensor.dtype, tensor.shape, tensor.data]);
      }
    });
    await fc.assert(property, { numRuns: 100, seed: 1 });
  });

  it("refuses repeated and reserved names, wrong lengths, wrong arrays and int4", async () => {
    expect(() => encodeSafetensors([float("a", 1), float("a", 2)])).toThrow(/"a" comes twice/);
    expect(() => encodeSafetensors([float("__metadata__", 1)])).toThrow(/is reserved/);
    expect(() => encodeSafetensors([{ ...float("a", 1), shape: [2] }])).toThrow(/must have 2 elements.*got 1/);
    expect(() => encodeSafetensors([{ ...float("a", 1), dtype: "float16" }])).toThrow(/1 of 4 bytes/);
    expect(() => encodeSafetensors([{ ...float("a", 1), dtype: "int4", data: Uint8Array.of(1) }])).toThrow(DtypeError);
  });

  it("leaves the older file when a tensor cannot be read", async () => {
    const path = join(await mkdtemp(join(tmpdir(), "mamba-safetensors-")), "out.safetensors");
    await writeFile(path, "old");
    const failing = {
      name: "a",
      dtype: "float32",
      shape: [1],
      read: async () => Promise.reject(new Error("gone")),
    } as const;
    await expect(writeSafetensors(path, [failing])).rejects.toThrow("gone");
    expect(await readFile(path, "utf8")).toBe("old");
  });
});
