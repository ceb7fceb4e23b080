import { mkdtemp, readdir, readFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { encodeGguf as encode, floats, normal } from "../../test/kit/gguf-file.ts";
import { CheckpointError, DtypeError } from "../tensor/errors.ts";
import { dequantizeMatrix, quantizeMatrix } from "../tensor/quantize.ts";
import { readGguf } from "./gguf.ts";
import type { GgufField, GgufFieldType } from "./gguf-fields.ts";
import { writeGguf } from "./gguf-write.ts";

describe("writeGguf", () => {
  it("gives back what it wrote, of every type, aligned to 32 bytes", async () => {
    const values = normal(192);
    const types = ["F32", "F16", "BF16", "Q8_0", "Q4_0"] as const;
    const file = await readGguf(await encode(types.map((type) => floats(type, type, [3, 64], values))));
    for (const type of types) {
      const entry = file.tensors.get(type)!;
      expect([entry.storedType, entry.shape]).toEqual([type, [3, 64]]);
    }
    expect(await file.tensors.get("F32")!.read()).toEqual(values);
    const int8 = dequantizeMatrix(quantizeMatrix(values, 3, 64, "int8"));
    expect(await file.tensors.get("Q8_0")!.read()).toEqual(int8);
  });

  it("keeps every field", async () => {
    const scalars: [GgufFieldType, GgufField["value"]][] = [
      ["uint8", 255],
      ["int8", -128],
      ["uint16", 65535],
      ["int16", -1],
      ["uint32", 2 ** 32 - 1],
      ["int32", -(2 ** 31)],
      ["float32", 0.5],
      ["float64", 0.1],
      ["bool", true],
      ["string", "ß\u{1F600}"],
      ["uint64", 2n ** 64n - 1n],
      ["int64", -5],
    ];
    const fields = scalars.map(([type, value]): [string, GgufField] => [type, { type, value }]);
    fields.push(["array", { type: "array", of: "bool", value: [true, false] }]);
    const file = await readGguf(await encode([], fields));
    expect([...file.fields]).toEqual(fields);
  });

  it("refuses values that are not of their type, names that repeat, rows that are no blocks, and NaN", async () => {
    const one = floats("x", "F32", [1], Float32Array.of(1));
    for (const bad of [
      { type: "uint8", value: 256 },
      { type: "uint32", value: -1 },
      { type: "int64", value: 0.5 },
      { type: "bool", value: 1 },
      { type: "string", value: 1 },
      { type: "array", value: [1] },
    ] as GgufField[]) {
      await expect(encode([], [["k", bad]])).rejects.toThrow(CheckpointError);
    }
    await expect(encode([one, one])).rejects.toThrow("comes twice");
    await expect(encode([{ ...one, name: "x".repeat(64) }])).rejects.toThrow("at most 63 bytes");
    await expect(encode([floats("x", "Q8_0", [48], normal(48))])).rejects.toThrow("multiple of 32");
    await expect(encode([floats("x", "Q8_0", [32], new Float32Array(32).fill(Number.NaN))])).rejects.toThrow(
      DtypeError,
    );
    await expect(encode([floats("x", "F32", [2], Float32Array.of(1))])).rejects.toThrow("must take 8 bytes; got 4");
  });

  it("leaves nothing behind if it fails, and a whole file if not", async () => {
    const folder = await mkdtemp(join(tmpdir(), "gguf-"));
    const path = join(folder, "model.gguf");
    const broken = { ...floats("x", "F32", [1], Float32Array.of(1)), read: () => Promise.reject(new Error("gone")) };
    await expect(writeGguf(path, [broken], new Map())).rejects.toThrow("gone");
    expect(await readdir(folder)).toEqual([]);
    await writeGguf(path, [floats("x", "F32", [1], Float32Array.of(1))], new Map());
    expect((await readFile(path)).length % 32).toBe(0);
    expect(await readdir(folder)).toEqual(["model.gguf"]);
  });
});
