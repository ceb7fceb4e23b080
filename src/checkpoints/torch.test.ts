import { readFile } from "node:fs/promises";
import { describe, expect, it } from "vitest";
import { float16ToNumber, numberToFloat16 } from "../tensor/dtype.ts";
import { CheckpointError } from "../tensor/errors.ts";
import { readSafetensors } from "./safetensors.ts";
import { readTorch } from "./torch.ts";

const fixtures = new URL("../../test/fixtures/", import.meta.url).pathname;
const float32File = `${fixtures}original-mamba-bin-f32/pytorch_model.bin`;
const float16File = `${fixtures}original-mamba-bin-f16/pytorch_model.bin`;

/** Names of the same tensor in the file of the other dialect. */
const huggingFaceName = (name: string) => name.replace(".embedding.", ".embeddings.");

describe("readTorch", () => {
  it("gives the values that safetensors' own library stored for the same model", async () => {
    const bin = await readTorch(float32File);
    const hf = await readSafetensors(`${fixtures}hf-mamba-tied/model.safetensors`);
    expect(new Set([...bin.tensors.keys()].map(huggingFaceName))).toEqual(
      new Set([...hf.tensors.keys(), "lm_head.weight"]),
    );
    for (const [name, entry] of bin.tensors) {
      const other = hf.tensors.get(name === "lm_head.weight" ? "backbone.embeddings.weight" : huggingFaceName(name))!;
      expect(entry.dtype).toBe("float32");
      const values = await entry.read();
      const expected = await other.read();
      expect(Buffer.compare(bytesOf(values.subarray(0, expected.length)), bytesOf(expected)), name).toBe(0);
      if (!/embedding|lm_head/.test(name)) expect(entry.shape).toEqual(other.shape);
    }
    await bin.close();
    await hf.close();
  });

  it("keeps the rows that pad the vocabulary and the head stored as a copy", async () => {
    const { tensors, close } = await readTorch(float32File);
    const embedding = tensors.get("backbone.embedding.weight")!;
    expect([embedding.shape, tensors.get("lm_head.weight")!.shape]).toEqual([
      [104, 64],
      [104, 64],
    ]);
    expect(await tensors.get("lm_head.weight")!.read()).toEqual(await embedding.read());
    expect(await embedding.read(64, 67)).toEqual((await embedding.read()).subarray(64, 67));
    await close();
  });

  it("gives half precision as the bits nearest to the single-precision values", async () => {
    const half = await readTorch(float16File);
    const single = await readTorch(float32File);
    let compared = 0;
    for (const [name, entry] of half.tensors) {
      expect(entry.storedType, name).toBe("F16");
      const bits = await entry.read();
      const values = await single.tensors.get(name)!.read();
      for (let i = 0; i < values.length; i++) {
        if (float16ToNumber(bits[i]!) !== float16ToNumber(numberToFloat16(values[i]!))) {
          expect.fail(`${name}[${i}]: ${float16ToNumber(bits[i]!)} for ${values[i]}`);
        }
        compared++;
      }
    }
    expect(compared).toBeGreaterThan(70_000);
    await half.close();
    await single.close();
  });

  it("refuses what is no file of torch.save, and the format before PyTorch 1.6, each by its own message", async () => {
    await expect(readTorch(new Uint8Array(100))).rejects.toThrow(/must be a zip archive; it is not/);
    await expect(readTorch(new Uint8Array(0))).rejects.toThrow(CheckpointError);
    await expect(readTorch(Uint8Array.of(0x80, 2, 0x8a, 10))).rejects.toThrow(/format before PyTorch 1.6/);
  });

  it("refuses a file cut off anywhere", async () => {
    const bytes = new Uint8Array(await readFile(float16File));
    for (const length of [1, 4, 1000, bytes.length >> 1, bytes.length - 22, bytes.length - 1]) {
      await expect(readTorch(bytes.subarray(0, length)), `${length} bytes`).rejects.toThrow(CheckpointError);
    }
  });
});

function bytesOf(values: ArrayBufferView): Uint8Array {
  return new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
}
