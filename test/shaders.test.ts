import { describe, expect, it, vi } from "vitest";
import type { WebgpuBackend, WebgpuKernel } from "../src/backends/webgpu/index.ts";
import {
  isProjection,
  MambaLM,
  mambaConfig,
  parameterType,
  TransformerLM,
  transformerConfig,
} from "../src/models/index.ts";
import { cast } from "../src/ops/cast/index.ts";
import { div } from "../src/ops/elementwise/index.ts";
import { sum } from "../src/ops/reduce/index.ts";
import type { Device } from "../src/tensor/device.ts";
import { flattenParameters, nestParameters } from "../src/tensor/parameters.ts";
import { quantizeMatrix } from "../src/tensor/quantize.ts";
import { quantizedTensor } from "../src/tensor/quantized-tensor.ts";
import { scope } from "../src/tensor/scope.ts";
import { type Tensor, tensor, zeros } from "../src/tensor/tensor.ts";
import { adamW, trainStep } from "../src/training/index.ts";
import { gpuProfiles, openValidator } from "./kit/null-gpu.ts";

/** Names that more than one shader goes by. */
const ambiguous = vi.hoisted(() => new Set<string>());

// programs are known by name and their text is made once: a name that does not tell two of them apart runs the wrong one
vi.mock(import("../src/backends/webgpu/program.ts"), async (importOriginal) => {
  const own = await importOriginal();
  const programNamed: typeof own.programNamed = (name, make) => {
    const known = own.programNamed(name, make);
    const made = { name, ...make() };
    const isSame = own.programCode(known) === own.programCode(made) && `${known.params}` === `${made.params}`;
    if (!isSame) ambiguous.add(name);
    return known;
  };
  return { ...own, programNamed };
});

const vocabSize = 2048;

const ids = (device: Device, batch: number, length: number): Tensor =>
  tensor(new Int32Array(batch * length), [batch, length], { device });

/** The same model with matrices of float16. */
function halved({ config, parameters }: MambaLM): MambaLM {
  const made = [...flattenParameters(parameters)].map(([name, one]): [string, Tensor] => [
    name,
    isProjection(name) ? cast(one, "float16") : one,
  ]);
  return new MambaLM(config, nestParameters(made) as unknown as MambaLM["parameters"]);
}

/** The same model with matrices in blocks of zeros. */
function inBlocks({ config, parameters, device }: MambaLM, dtype: "int8" | "int4"): MambaLM {
  const made = [...flattenParameters(parameters)].map(([name, one]): [string, Tensor] => {
    const [rows, columns] = one.shape as [number, number];
    const own = isProjection(name) ? parameterType(name, columns, config, dtype) : "float32";
    if (own === "float32") return [name, one];
    if (own === "float16") return [name, cast(one, own)];
    const matrix = quantizeMatrix(new Float32Array(rows * columns), rows, columns, own as typeof dtype);
    return [name, quantizedTensor(matrix, { device })];
  });
  return new MambaLM(config, nestParameters(made) as unknown as MambaLM["parameters"]);
}

/** Shaders of shapes that nothing here could compute in time: a training step, prompts, tokens one after another. */
function enqueueModels(device: Device): void {
  const mamba = MambaLM.create(mambaConfig({ vocabSize, dModel: 256, nLayer: 1 }), { device, seed: 1 });
  const transformer = TransformerLM.create(transformerConfig({ vocabSize, dModel: 256, nLayer: 1, heads: 4 }), {
    device,
    seed: 1,
  });
  for (const model of [mamba, transformer]) {
    const rows = ids(device, 4, 512);
    const objective = (): Tensor => {
      const { losses, valid } = model.losses(rows, rows);
      return div(sum(losses), sum(valid));
    };
    trainStep<Record<string, never>>(model.parameters as never, [objective], {
      optimizer: adamW(),
      learningRate: 1e-4,
      clipNorm: 1,
      lossScale: device.matmulPrecision === "float16" ? 1024 : 1,
    });
  }
  const half = halved(mamba);
  for (const [model, batch, length] of [
    [mamba, 1, 1000],
    [mamba, 64, 16],
    [half, 1, 16],
    [half, 12, 16],
    [half, 64, 16],
    [inBlocks(mamba, "int8"), 1, 16],
    [inBlocks(mamba, "int4"), 64, 16],
  ] as const) {
    let { state } = model.forward(ids(device, batch, length), { logits: "last" });
    for (let step = 0; step < 3; step++) {
      ({ state } = model.forward(ids(device, batch, 1), { state, consume: true }));
    }
  }
}

describe.each(gpuProfiles)("shaders for $name", (profile) => {
  it.each(["float32", "float16"] as const)("are valid in models of real widths, products in %s", async (precision) => {
    const { device, programs, problems } = await openValidator(profile);
    device.matmulPrecision = precision;
    scope(() => enqueueModels(device));
    await zeros([1], { device }).read();
    expect(await problems()).toEqual([]);
    expect([...ambiguous]).toEqual([]);
    expect(programs.size).toBeGreaterThan(40);
    const usesMatrixCores = [...programs].some((name) => name.includes("matrix cores"));
    expect(usesMatrixCores).toBe(profile.hasMatrices === true && precision === "float16");
    device.dispose();
  });

  it("would be told apart from ones that are not", async () => {
    const { device, problems } = await openValidator(profile);
    const out = zeros([4], { device });
    const kernel: WebgpuKernel = (context) => {
      const bindings = [{ name: "out", type: "f32", write: true }] as const;
      context.dispatch({ name: "wrong", bindings, params: [], body: "out[index] = 1u;" }, [out], {}, 1);
      const declarations = "var<workgroup> much: array<f32, 16384>;";
      const body = "much[lane] = 1.0; out[index] = much[lane];";
      context.dispatch({ name: "much", bindings, params: [], declarations, body }, [out], {}, 1);
    };
    (device as WebgpuBackend).launch(kernel, { op: "wrong", inputs: {}, outputs: { out }, params: {}, axes: {} });
    await out.read().catch(() => {});
    const found = (await problems()).join("\n");
    expect(found).toMatch(/wrong: .*cannot assign/);
    if (profile.limits) expect(found).toMatch(/workgroup storage \(65536 bytes\)/);
    device.dispose();
  });
});
