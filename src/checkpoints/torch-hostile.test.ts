import { describe, expect, it } from "vitest";
import {
  call,
  dict,
  int,
  name,
  op,
  pickle,
  storage,
  tensor,
  text,
  torchFile,
  tuple,
  zip,
} from "../../test/kit/torch-file.ts";
import { CheckpointError } from "../tensor/errors.ts";
import { readTorch } from "./torch.ts";

const six = new Uint8Array(Float32Array.of(0, 1, 2, 3, 4, 5).buffer);
const float6 = storage("Float", "0", 6);
const file = (...view: [offset: number, sizes: number[], strides: number[]]) =>
  torchFile(dict([[text("w"), tensor(float6, ...view)]]), { 0: six });
const valid = pickle(0x80, 2, dict([[text("w"), tensor(float6, 0, [6], [1])]]), op.stop);
const records = [
  { name: "x/data.pkl", data: valid },
  { name: "x/data/0", data: six },
];
const little = new TextEncoder().encode("little");

describe("readTorch on files made by hand", () => {
  it("gathers transposed, sliced and empty views in row-major order", async () => {
    const read = async (...view: Parameters<typeof file>) => {
      const entry = (await readTorch(file(...view))).tensors.get("w")!;
      return [entry.shape, [...(await entry.read())]];
    };
    expect(await read(0, [2, 3], [3, 1])).toEqual([
      [2, 3],
      [0, 1, 2, 3, 4, 5],
    ]);
    expect(await read(0, [3, 2], [1, 3])).toEqual([
      [3, 2],
      [0, 3, 1, 4, 2, 5],
    ]);
    expect(await read(1, [2, 2], [3, 1])).toEqual([
      [2, 2],
      [1, 2, 4, 5],
    ]);
    expect(await read(5, [], [])).toEqual([[], [5]]);
    expect(await read(6, [0, 3], [3, 1])).toEqual([[0, 3], []]);
    const entry = (await readTorch(file(0, [3, 2], [1, 3]))).tensors.get("w")!;
    expect([...(await entry.read(1, 4))]).toEqual([3, 1, 4]);
  });

  it("finds the state dict inside a training checkpoint", async () => {
    const state = dict([[text("w"), tensor(float6, 0, [6], [1])]]);
    const momentum = dict([[text("w"), tensor(float6, 0, [6], [1])]]);
    const value = dict([
      [text("step"), int(70)],
      [text("optimizer"), momentum],
      [text("state_dict"), state],
    ]);
    const { tensors, metadata } = await readTorch(torchFile(value, { 0: six }));
    expect([[...tensors.keys()], metadata["step"]]).toEqual([["w"], "70"]);
  });
});

describe("readTorch refuses to run anything", () => {
  it.each([
    ["os", "system"],
    ["posix", "system"],
    ["builtins", "eval"],
    ["__builtin__", "exec"],
    ["torch.storage", "_load_from_bytes"],
    ["torch", "load"],
    ["collections", "OrderedDict.__reduce__"],
    ["torch._utils", "constructor"],
  ])("%s.%s, by its name", async (module, attribute) => {
    const refused = `"${module}.${attribute}" is not among the names a weights file may use`;
    await expect(readTorch(torchFile(call(name(module, attribute), text("id"))))).rejects.toThrow(refused);
    const stacked = [text(module), text(attribute), 0x93];
    await expect(readTorch(torchFile(stacked))).rejects.toThrow(refused);
  });

  it.each([
    ["INST", 0x69],
    ["OBJ", 0x6f],
    ["NEWOBJ", 0x81],
    ["NEWOBJ_EX", 0x92],
    ["EXT1", 0x82],
    ["PERSID", 0x50],
    ["NEXT_BUFFER", 0x97],
  ])("the operation %s", async (_, code) => {
    const message = `operation 0x${code.toString(16)} is not one that a weights file needs`;
    await expect(readTorch(torchFile([op.mark, name("torch", "Size"), tuple(), code]))).rejects.toThrow(message);
  });
});

describe("readTorch refuses lies about sizes", () => {
  it.each([
    ["a view beyond its storage", file(0, [7], [1])],
    ["an offset beyond its storage", file(6, [1], [1])],
    ["a view that repeats elements", file(0, [1000000], [0])],
    ["a view that steps backwards", file(5, [6], [-1])],
    ["a negative size", file(0, [-6], [1])],
    ["sizes whose product overflows", file(0, [2 ** 31, 2 ** 31], [1, 1])],
    ["strides that do not match the sizes", file(0, [2, 3], [3])],
    ["more axes than tensors have", file(0, Array(9).fill(1), Array(9).fill(1))],
    [
      "a storage longer than its record",
      torchFile(dict([[text("w"), tensor(storage("Float", "0", 7), 0, [7], [1])]]), { 0: six }),
    ],
    [
      "a storage of 2^52 elements",
      torchFile(dict([[text("w"), tensor(storage("Float", "0", 2 ** 52), 0, [2 ** 52], [1])]]), { 0: six }),
    ],
    [
      "a storage without a record",
      torchFile(dict([[text("w"), tensor(storage("Float", "../0", 6), 0, [6], [1])]]), { 0: six }),
    ],
    ["text of 4 GiB", torchFile([0x58, 255, 255, 255, 255, 65])],
    ["text of 2^63 bytes", torchFile([0x8d, 0, 0, 0, 0, 0, 0, 0, 128, 65])],
    ["bytes of 2^40", torchFile([0x8e, 0, 0, 0, 0, 0, 1, 0, 0, 65])],
    ["an integer of 255 bytes", torchFile([0x8a, 255, Array(255).fill(1)])],
    ["a name without an end", zip([{ name: "x/data.pkl", data: pickle(0x80, 2, 0x63, 65, 66) }])],
    ["a pickle that ends early", zip([{ name: "x/data.pkl", data: valid.subarray(0, 40) }, records[1]!])],
    ["an empty pickle", zip([{ name: "x/data.pkl", data: new Uint8Array(0) }])],
    ["a record that reaches into the next", zip([{ ...records[0]!, size: valid.length + 10 }, records[1]!])],
    ["a record that reaches into the directory", zip([records[0]!, { ...records[1]!, size: 60 }])],
    ["records in the same place", zip([records[0]!, { ...records[1]!, start: 0 }])],
    ["a record outside of the file", zip([records[0]!, { ...records[1]!, start: 2 ** 31 }])],
    ["a record of 4 GiB without its zip64 size", zip([records[0]!, { ...records[1]!, size: 2 ** 32 - 1 }])],
    ["a directory with fewer records than it says", zip(records, 3)],
    ["60,000 records that are not there", zip(records, 60_000)],
    ["a name that comes twice", zip([...records, records[1]!])],
    ["two pickles", zip([...records, { name: "y/data.pkl", data: valid }])],
    ["a compressed record", zip([records[0]!, { ...records[1]!, method: 8 }])],
    ["an encrypted record", zip([records[0]!, { ...records[1]!, flags: 1 }])],
    ["big-endian numbers", zip([...records, { name: "x/byteorder", data: new TextEncoder().encode("big") }])],
    ["no tensor at all", torchFile(dict([]))],
    ["names of 300 characters", torchFile(dict([[text("w".repeat(300)), tensor(float6, 0, [6], [1])]]), { 0: six })],
  ])("%s", async (_, bytes) => {
    await expect(readTorch(bytes)).rejects.toThrow(CheckpointError);
  });

  it("but takes the same file told truthfully", async () => {
    const opened = await readTorch(zip([...records, { name: "x/byteorder", data: little }]));
    expect([...(await opened.tensors.get("w")!.read())]).toEqual([0, 1, 2, 3, 4, 5]);
  });
});

describe("readTorch on values without end", () => {
  const put = [0x71, 0];
  const get = [0x68, 0];
  const view = tensor(float6, 0, [6], [1]);
  const names = async (value: unknown) => [
    ...(await readTorch(torchFile(value as number[], { 0: six }))).tensors.keys(),
  ];

  it("walks a dict that holds itself once", async () => {
    const loop = [op.dict, put, op.mark, text("self"), get, text("w"), view, op.items];
    expect(await names(loop)).toEqual(["w"]);
  });

  it("walks lists that double forty times in no time", async () => {
    const doubled = Array.from({ length: 40 }, () => [0x32, 0x86]);
    expect(
      await names(
        dict([
          [text("w"), view],
          [text("list"), [op.list, doubled]],
        ]),
      ),
    ).toEqual(["w"]);
  });

  it("survives a million marks and tuples nested a hundred thousand deep", async () => {
    await expect(readTorch(torchFile(new Uint8Array(1_000_001).fill(op.mark)))).rejects.toThrow(
      /more than 1000000 steps/,
    );
    await expect(readTorch(torchFile([op.list, new Uint8Array(100_000).fill(0x85)]))).rejects.toThrow(
      /must hold tensors/,
    );
  });
});
