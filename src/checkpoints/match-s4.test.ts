import { describe, expect, it } from "vitest";
import type { TypedArray } from "../tensor/dtype.ts";
import { matchS4Classifier } from "./match-s4.ts";
import { type TensorEntry, tensorEntry } from "./tensor-entry.ts";

function entry(name: string, shape: readonly number[], value = 0): TensorEntry {
  const count = shape.reduce((product, size) => product * size, 1);
  return tensorEntry({
    ...{ name, storedType: "F32", dtype: "float32", shape, storedByteLength: 4 * count },
    readStored: async (start, end): Promise<TypedArray> => new Float32Array(end - start).fill(value),
  });
}

const frame: Readonly<Record<string, readonly number[]>> = {
  ...{ "encoder.weight": [6, 2], "encoder.bias": [6], "decoder.weight": [3, 6], "decoder.bias": [3] },
  ...{ "norms.0.weight": [6], "norms.0.bias": [6] },
};

/** Layers of s4.py, of s4.py before its fourth version, and of s4d.py. */
const dialects: Readonly<Record<string, Readonly<Record<string, readonly number[]>>>> = {
  V4: {
    ...{
      "layer.D": [1, 6],
      "layer.kernel.C": [1, 6, 4, 2],
      "layer.kernel.B": [1, 6, 4, 2],
      "layer.kernel.P": [1, 6, 4, 2],
    },
    ...{ "layer.kernel.A_real": [6, 4], "layer.kernel.A_imag": [6, 4], "layer.kernel.inv_dt": [6, 1] },
    ...{ "layer.kernel.l_kernel": [], "output_linear.0.weight": [12, 6], "output_linear.0.bias": [12] },
  },
  V3: {
    ...{ "layer.D": [1, 6], "layer.kernel.kernel.C": [1, 6, 4, 2], "layer.kernel.kernel.B": [1, 6, 4, 2] },
    ...{ "layer.kernel.kernel.P": [1, 6, 4, 2], "layer.kernel.kernel.inv_w_real": [6, 4] },
    ...{ "layer.kernel.kernel.w_imag": [6, 4], "layer.kernel.kernel.log_dt": [6], "layer.kernel.kernel.L": [] },
    ...{ "output_linear.0.weight": [12, 6], "output_linear.0.bias": [12] },
  },
  S4D: {
    ...{ D: [6], "kernel.C": [6, 4, 2], "kernel.log_dt": [6], "kernel.log_A_real": [6, 4], "kernel.A_imag": [6, 4] },
    ...{ "output_linear.0.weight": [12, 6, 1], "output_linear.0.bias": [12] },
  },
};

function fileOf(dialect: string, length = 64): { name: string; tensors: Map<string, TensorEntry> } {
  const layer = Object.entries(dialects[dialect]!).map(([name, shape]) => [`s4_layers.0.${name}`, shape] as const);
  const all = [...Object.entries(frame), ...layer];
  return { name: "model.pth", tensors: new Map(all.map(([name, shape]) => [name, entry(name, shape, length)])) };
}

describe("matchS4Classifier", () => {
  it("reads sizes, structure and the length that C is tuned to off the tensors", async () => {
    const { config, tensors } = await matchS4Classifier(fileOf("V4"));
    expect(config).toEqual({
      ...{ inputSize: 2, classes: 3, dModel: 6, nLayer: 1 },
      mixer: { kind: "s4", dState: 8, structure: "low-rank", kernelLength: 64 },
    });
    expect(tensors.map(({ name }) => name)).toContain("layers.0.mixer.kernel.invDt");
  });

  it("takes the imaginary parts of s4.py before its fourth version with their sign", async () => {
    const { config, tensors } = await matchS4Classifier(fileOf("V3"));
    expect(config.mixer).toEqual({
      ...{ kind: "s4", dState: 8, structure: "low-rank", kernelLength: 64 },
      imaginarySign: 1,
    });
    const shapes = new Map(tensors.map(({ name, shape }) => [name.replace("layers.0.mixer.kernel.", ""), shape]));
    expect(shapes.get("invDt")).toEqual([6, 1]);
    expect(shapes.get("A_imag")).toEqual([6, 4]);
  });

  it("gives tensors of s4d.py the axes that they lack", async () => {
    const { config, tensors } = await matchS4Classifier(fileOf("S4D"));
    expect(config.dModel).toBe(6);
    expect(config.mixer).toEqual({ kind: "s4", dState: 8, structure: "diagonal", imaginarySign: 1 });
    const shapes = new Map(tensors.map(({ name, shape }) => [name.replace("layers.0.mixer.", ""), shape]));
    expect(shapes.get("kernel.C")).toEqual([1, 6, 4, 2]);
    expect(shapes.get("kernel.invDt")).toEqual([6, 1]);
    expect(shapes.get("D")).toEqual([1, 6]);
    expect(shapes.get("outputLinear.weight")).toEqual([12, 6]);
  });

  it("refuses C that is not tuned, and files that are incomplete, damaged or of another architecture", async () => {
    await expect(matchS4Classifier(fileOf("V4", 0))).rejects.toThrow("every layer must say the same l_kernel above 0");
    const incomplete = fileOf("V4");
    incomplete.tensors.delete("decoder.weight");
    await expect(matchS4Classifier(incomplete)).rejects.toThrow("must hold decoder.weight; it does not");
    const other = fileOf("V4");
    other.tensors.set("s4_layers.0.layer.kernel.Z", entry("Z", [1]));
    await expect(matchS4Classifier(other)).rejects.toThrow("it also holds s4_layers.0.layer.kernel.Z");
    const damaged = fileOf("V4");
    damaged.tensors.set("s4_layers.0.layer.kernel.A_imag", entry("A", [6, 5]));
    await expect(matchS4Classifier(damaged)).rejects.toThrow("last axis of layers.0.mixer.kernel.A_imag must have 4");
  });
});
