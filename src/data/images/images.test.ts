import { gzipSync } from "node:zlib";
import { describe, expect, it } from "vitest";
import { memoryFiles } from "../../checkpoints/source.ts";
import { DataError, MambaError } from "../../tensor/errors.ts";
import { pixelOrder, pixelSequences, readCifar10, readMnist } from "../index.ts";

const idx = (shape: readonly number[], values: readonly number[]): Uint8Array => {
  const head = [0, 0, 8, shape.length, ...shape.flatMap((size) => [0, 0, size >> 8, size & 255])];
  return Uint8Array.from([...head, ...values]);
};

const pixels = Array.from({ length: 12 }, (_, i) => 20 * i);
const mnist = {
  "t10k-images-idx3-ubyte.gz": Uint8Array.from(gzipSync(idx([3, 2, 2], pixels))),
  "t10k-labels-idx1-ubyte": idx([3], [7, 0, 9]),
};

describe("readMnist", () => {
  it("reads the files of a part, packed or not", async () => {
    const images = await readMnist(memoryFiles(mnist), "test");
    expect(images).toMatchObject({ count: 3, height: 2, width: 2, channels: 1, classes: 10 });
    expect([...images.pixels]).toEqual(pixels);
    expect([...images.labels]).toEqual([7, 0, 9]);
  });

  it("refuses files that are missing, damaged or do not belong together", async () => {
    const cases: [Record<string, Uint8Array>, string][] = [
      [{}, "must hold t10k-images-idx3-ubyte.gz or t10k-images-idx3-ubyte"],
      [{ "t10k-labels-idx1-ubyte": idx([2], [1, 2]) }, "a label for each of 3 images; got 2"],
      [{ "t10k-labels-idx1-ubyte": idx([3], [1, 10, 2]) }, "label 1 is 10"],
      [{ "t10k-labels-idx1-ubyte": idx([3, 1], [1, 1, 2]) }, "must have 1 axes; it has [3 1]"],
      [{ "t10k-images-idx3-ubyte.gz": mnist["t10k-images-idx3-ubyte.gz"].slice(0, 30) }, "must be packed by gzip"],
      [{ "t10k-images-idx3-ubyte.gz": idx([3, 2, 2], pixels).slice(0, 20) }, "12 elements must follow; got 4"],
    ];
    for (const [change, message] of cases) {
      const files = Object.keys(change).length ? { ...mnist, ...change } : {};
      const error = await readMnist(memoryFiles(files), "test").catch((caught: unknown) => caught);
      expect(error).toBeInstanceOf(DataError);
      expect((error as Error).message).toContain(message);
    }
    await expect(readMnist(memoryFiles(mnist), "training")).rejects.toThrow("train-images-idx3-ubyte");
    await expect(readMnist("/no/such/folder", "test")).rejects.toThrow(MambaError);
  });
});

/** An image whose pixel i is red i % 251, green 100, blue 200. */
const cifarImage = (label: number): number[] => [
  label,
  ...Array.from({ length: 1024 }, (_, i) => i % 251),
  ...new Array<number>(1024).fill(100),
  ...new Array<number>(1024).fill(200),
];
const batches = (labels: readonly number[]): Record<string, Uint8Array> =>
  Object.fromEntries(labels.map((label, i) => [`data_batch_${i + 1}.bin`, Uint8Array.from(cifarImage(label))]));

describe("readCifar10", () => {
  it("puts the colours of a pixel side by side, batch by batch", async () => {
    const images = await readCifar10(memoryFiles(batches([3, 1, 4, 1, 5])), "training");
    expect(images).toMatchObject({ count: 5, height: 32, width: 32, channels: 3, classes: 10 });
    expect([...images.labels]).toEqual([3, 1, 4, 1, 5]);
    expect(images.pixels.length).toBe(5 * 3072);
    expect([...images.pixels.subarray(2 * 3072 + 3 * 300, 2 * 3072 + 3 * 300 + 6)]).toEqual([
      49, 100, 200, 50, 100, 200,
    ]);
  });

  it("gives brightness", async () => {
    const two = Uint8Array.from([...cifarImage(2), ...cifarImage(8)]);
    const images = await readCifar10(memoryFiles({ "test_batch.bin": two }), "test", { grey: true });
    expect(images).toMatchObject({ count: 2, channels: 1 });
    // 0.299 * 7 + 0.587 * 100 + 0.114 * 200 = 83.593
    expect(images.pixels[1024 + 7]).toBe(84);
    expect([...images.labels]).toEqual([2, 8]);
  });

  it("refuses batches that are missing, cut off or of something else", async () => {
    const whole = batches([0, 1, 2, 3, 4]);
    const cases: [Record<string, Uint8Array>, string][] = [
      [batches([1, 2, 3, 4]), "must hold data_batch_5.bin"],
      [{ ...whole, "data_batch_2.bin": whole["data_batch_2.bin"]!.slice(0, 3000) }, "images of 3073 bytes; got 3000"],
      [{ ...whole, "data_batch_2.bin": new Uint8Array(0) }, "got 0 bytes"],
      [{ ...whole, "data_batch_3.bin": Uint8Array.from(cifarImage(10)) }, "label 0 is 10"],
    ];
    for (const [files, message] of cases) {
      const error = await readCifar10(memoryFiles(files), "training").catch((caught: unknown) => caught);
      expect(error).toBeInstanceOf(DataError);
      expect((error as Error).message).toContain(message);
    }
  });
});

describe("pixelOrder", () => {
  it("is a permutation of all pixels that a seed fixes", () => {
    const order = pixelOrder(784, 1);
    expect([...order].sort((a, b) => a - b)).toEqual([...pixelOrder(784)]);
    expect(pixelOrder(784, 1)).toEqual(order);
    expect(pixelOrder(784, 2)).not.toEqual(order);
    // a random order keeps about one place, and neighbours about 1.5 neighbours apart
    expect(order.filter((pixel, place) => pixel === place).length).toBeLessThan(8);
    expect(order.filter((pixel, place) => place > 0 && Math.abs(pixel - order[place - 1]!) === 1).length).toBeLessThan(
      12,
    );
  });
});

describe("pixelSequences", () => {
  it("gives pixels from 0 to 1, row by row or in the order of a seed", async () => {
    const images = await readMnist(memoryFiles(mnist), "test");
    const plain = pixelSequences(images);
    expect(plain).toMatchObject({ count: 3, classes: 10, inputSize: 1 });
    expect([...plain.labels]).toEqual([7, 0, 9]);
    const unit = [80, 100, 120, 140].map((pixel) => Math.fround(pixel / 255));
    expect([...plain.sequence(1).values]).toEqual(unit);
    const order = [...pixelOrder(4, 5)];
    const permuted = pixelSequences(images, { permutationSeed: 5 });
    expect([...permuted.sequence(1).values]).toEqual(order.map((pixel) => unit[pixel]));
    const standard = pixelSequences(images, { scale: "standard" }).sequence(0).values;
    expect(standard[1]).toBe(Math.fround((20 / 255 - 0.1307) / 0.3081));
  });

  it("keeps the channels of a pixel together", async () => {
    const images = await readCifar10(memoryFiles(batches([3, 1, 4, 1, 5])), "training");
    const { values, rows } = pixelSequences(images, { scale: "standard", permutationSeed: 1 }).sequence(4);
    expect([rows, values.length]).toEqual([1024, 3072]);
    const red = pixelOrder(1024, 1)[9]! % 251;
    const expected = [(red / 255 - 0.4914) / 0.247, (100 / 255 - 0.4822) / 0.243, (200 / 255 - 0.4465) / 0.261];
    expect([...values.subarray(27, 30)]).toEqual(expected.map(Math.fround));
  });
});
