import { readFile } from "node:fs/promises";
import { describe, expect, it } from "vitest";
import { mutate, type Region } from "../../test/kit/mutate.ts";
import { dict, int, op, pickle, storage, tensor, text, zip } from "../../test/kit/torch-file.ts";
import { CheckpointError } from "../tensor/errors.ts";
import { Random } from "../tensor/random.ts";
import { readSafetensors } from "./safetensors.ts";
import { encodeSafetensors } from "./safetensors-write.ts";
import { type ByteSource, bytesSource } from "./source.ts";
import { type StoredType, storedTypes } from "./stored-types.ts";
import type { TensorFile } from "./tensor-entry.ts";
import { readTorch } from "./torch.ts";

const fixture = async (name: string): Promise<Uint8Array> =>
  new Uint8Array(await readFile(new URL(`../../test/fixtures/${name}`, import.meta.url)));

/** A source that counts what is read of it; reads outside of it throw another error than a CheckpointError. */
function counted(bytes: Uint8Array): ByteSource & { total: number } {
  const source = bytesSource("mutated", bytes);
  return {
    ...source,
    total: 0,
    read(start, end) {
      this.total += end - start;
      return source.read(start, end);
    },
  };
}

interface Tally {
  refused: number;
  accepted: number;
}

/**
 * Opens a damaged file and reads every tensor. Anything but a CheckpointError fails the test, as does opening that reads
 * more than the file has twice over (directory and tail may overlap), or a tensor that is larger than the file.
 */
async function attempt(
  bytes: Uint8Array,
  open: (source: ByteSource) => Promise<TensorFile>,
  check: (bytes: Uint8Array, file: TensorFile) => void,
  tally: Tally,
): Promise<void> {
  const source = counted(bytes);
  try {
    const file = await open(source);
    expect(source.total).toBeLessThanOrEqual(2 * bytes.length);
    for (const { shape, storedType, dtype, byteLength, storedByteLength, read } of file.tensors.values()) {
      const count = shape.reduce((product, size) => product * size, 1);
      const facts = storedTypes[storedType as StoredType];
      expect(storedByteLength).toBe(count * facts.bytes);
      expect(storedByteLength).toBeLessThanOrEqual(bytes.length);
      const values = await read();
      expect([values.length, values.byteLength, dtype]).toEqual([count, byteLength, facts.dtype]);
    }
    check(bytes, file);
    tally.accepted++;
  } catch (error) {
    if (!(error instanceof CheckpointError)) throw error;
    expect(error.message.length).toBeLessThan(2000);
    tally.refused++;
  }
}

/** Damages `bytes` in `region`, `count` times; `wrap` makes a file of them. */
async function fuzz(
  bytes: Uint8Array,
  region: Region,
  count: number,
  open: (source: ByteSource) => Promise<TensorFile>,
  check: (bytes: Uint8Array, file: TensorFile) => void,
  wrap = (damaged: Uint8Array): Uint8Array => damaged,
): Promise<Tally> {
  const tally = { refused: 0, accepted: 0 };
  for (let seed = 0; seed < count; seed++) await attempt(wrap(mutate(bytes, region, seed)), open, check, tally);
  return tally;
}

/** Holds an accepted file against its own header, parsed here: ranges must be the tensors', without hole or overlap. */
function checkSafetensors(bytes: Uint8Array, { tensors }: TensorFile): void {
  const headerLength = Number(new DataView(bytes.buffer, bytes.byteOffset).getBigUint64(0, true));
  const { __metadata__: _, ...header } = JSON.parse(new TextDecoder().decode(bytes.subarray(8, 8 + headerLength)));
  const described = Object.entries<{ dtype: string; shape: number[]; data_offsets: [number, number] }>(header);
  expect(new Set(tensors.keys())).toEqual(new Set(described.map(([name]) => name)));
  let covered = 0;
  for (const [name, { dtype, shape, data_offsets }] of described) {
    const entry = tensors.get(name)!;
    expect([entry.storedType, entry.shape]).toEqual([dtype, shape]);
    covered += data_offsets[1] - data_offsets[0];
  }
  expect(covered).toBe(bytes.length - 8 - headerLength);
}

const smallSafetensors = encodeSafetensors(
  [
    { name: "weight", dtype: "float32", shape: [2, 3], data: Float32Array.of(1, 2, 3, 4, 5, 6) },
    { name: "half", dtype: "float16", shape: [4], data: new Uint16Array(4) },
    { name: "empty", dtype: "int32", shape: [0, 7], data: new Int32Array(0) },
    { name: "scalar", dtype: "float64", shape: [], data: Float64Array.of(1) },
  ],
  { format: "pt" },
);

/** What JSON of the same shape may hold instead of a number or text. */
const hostileJson = ["-1", "0", "1e999", "9007199254740993", "0.5", '"x"', "null", "[]", "{}", "true", "4294967296"];

/** Replaces one number or text of a header and tells the new length truthfully. */
function rewriteHeader(bytes: Uint8Array, seed: number): Uint8Array {
  const random = new Random(seed);
  const headerLength = Number(new DataView(bytes.buffer).getBigUint64(0, true));
  const header = new TextDecoder().decode(bytes.subarray(8, 8 + headerLength));
  const places = [...header.matchAll(/\d+|"[^"]*"/g)];
  const place = places[random.integer(places.length)]!;
  const hostile = hostileJson[random.integer(hostileJson.length)]!;
  const changed = header.slice(0, place.index) + hostile + header.slice(place.index + place[0].length);
  const encoded = new TextEncoder().encode(changed);
  const out = new Uint8Array(8 + encoded.length + bytes.length - 8 - headerLength);
  new DataView(out.buffer).setBigUint64(0, BigInt(encoded.length), true);
  out.set(encoded, 8);
  out.set(bytes.subarray(8 + headerLength), 8 + encoded.length);
  return out;
}

describe("damaged safetensors", () => {
  it("headers, 1500 times: refused, or consistent in themselves", async () => {
    const region = { start: 0, end: smallSafetensors.length };
    const { refused, accepted } = await fuzz(smallSafetensors, region, 1500, readSafetensors, checkSafetensors);
    expect(refused).toBeGreaterThan(750);
    expect(refused + accepted).toBe(1500);
  });

  it("headers with hostile values in the right places, 600 times", async () => {
    const tally = { refused: 0, accepted: 0 };
    for (let seed = 0; seed < 600; seed++) {
      await attempt(rewriteHeader(smallSafetensors, seed), readSafetensors, checkSafetensors, tally);
    }
    expect(tally.refused).toBeGreaterThan(300);
  });

  it("a real model's header, 100 times", async () => {
    const bytes = await fixture("hf-mamba-tied/model.safetensors");
    const region = { start: 0, end: 8 + Number(new DataView(bytes.buffer).getBigUint64(0, true)) };
    const { refused } = await fuzz(bytes, region, 100, readSafetensors, checkSafetensors);
    expect(refused).toBeGreaterThan(50);
  });

  it("a header nested a million deep", async () => {
    const deep = new TextEncoder().encode(`{"a":${"[".repeat(1_000_000)}${"]".repeat(1_000_000)}}`);
    const bytes = new Uint8Array(8 + deep.length);
    new DataView(bytes.buffer).setBigUint64(0, BigInt(deep.length), true);
    bytes.set(deep, 8);
    await expect(readSafetensors(bytes)).rejects.toThrow(CheckpointError);
  });
});

/** A state dict of three tensors, two of which share a storage, and a number. */
const smallPickle = pickle(
  [0x80, 2],
  dict([
    [text("weight"), tensor(storage("Float", "0", 6), 0, [3, 2], [1, 3])],
    [text("tail"), tensor(storage("Float", "0", 6), 3, [3], [1])],
    [text("half"), tensor(storage("Half", "1", 8), 0, [2, 2, 2], [4, 2, 1])],
    [text("step"), int(7)],
  ]),
  op.stop,
);

/** An archive around a pickle that tells its length truthfully. */
const archive = (data: Uint8Array): Uint8Array =>
  zip([
    { name: "x/data.pkl", data },
    { name: "x/data/0", data: new Uint8Array(Float32Array.of(1, 2, 3, 4, 5, 6).buffer) },
    { name: "x/data/1", data: new Uint8Array(16) },
  ]);
const smallTorch = archive(smallPickle);

/** Tensors are views of the file, so none can have more bytes than it; `attempt` has seen to that. */
function checkTorch(_: Uint8Array, { tensors }: TensorFile): void {
  expect(tensors.size).toBeGreaterThan(0);
}

const place = (bytes: Uint8Array, marker: string, from = 0): number =>
  Buffer.from(bytes).indexOf(marker, from, "latin1");

describe("damaged PyTorch files", () => {
  it("pickles, 1500 times", async () => {
    const region = { start: 0, end: smallPickle.length };
    const { refused, accepted } = await fuzz(smallPickle, region, 1500, readTorch, checkTorch, archive);
    expect(refused).toBeGreaterThan(750);
    expect(accepted).toBeGreaterThan(0);
  });

  it("zip structures, 1000 times", async () => {
    const region = { start: place(smallTorch, "PK\x01\x02"), end: smallTorch.length };
    const { refused, accepted } = await fuzz(smallTorch, region, 1000, readTorch, checkTorch);
    expect(refused).toBeGreaterThan(300);
    expect(refused + accepted).toBe(1000);
  });

  it("any bytes of a small file, 500 times", async () => {
    const region = { start: 0, end: smallTorch.length };
    const { refused, accepted } = await fuzz(smallTorch, region, 500, readTorch, checkTorch);
    expect(refused + accepted).toBe(500);
  });

  it("pickle and directory of a file that torch.save wrote, 200 times each", async () => {
    const bytes = await fixture("original-mamba-bin-f16/pytorch_model.bin");
    const pickled = { start: 64, end: 64 + 2180 };
    const directory = { start: place(bytes, "PK\x01\x02"), end: bytes.length };
    for (const region of [pickled, directory]) {
      const { refused } = await fuzz(bytes, region, 200, readTorch, checkTorch);
      expect(refused).toBeGreaterThan(60);
    }
  });

  it("elements, which may have any value: the file is accepted and that value is read", async () => {
    const bytes = await fixture("original-mamba-bin-f16/pytorch_model.bin");
    const at = place(bytes, "data/7") + 1000;
    const names = async (changed: Uint8Array) => {
      const { tensors } = await readTorch(changed);
      const different: string[] = [];
      for (const [name, entry] of tensors) {
        const original = await (await readTorch(bytes)).tensors.get(name)!.read();
        const values = await entry.read();
        if (values.some((value, i) => value !== original[i])) different.push(name);
      }
      return different;
    };
    const changed = bytes.slice();
    changed[at]! ^= 0xff;
    expect(await names(changed)).toHaveLength(1);
  });
});
