import { afterAll, describe, expect, it } from "vitest";
import { openEmulatedMatrixCores } from "../../../test/kit/emulated-matrix-cores.ts";
import { fastBackends, maxError, sharedDevice } from "../../../test/kit/test-op.ts";
import type { Device } from "../../tensor/device.ts";
import { float16Values, numberToFloat16, type TypedArray } from "../../tensor/dtype.ts";
import { dequantizeMatrix, quantizeMatrix } from "../../tensor/quantize.ts";
import { quantizedTensor } from "../../tensor/quantized-tensor.ts";
import { Random } from "../../tensor/random.ts";
import { type Tensor, tensor } from "../../tensor/tensor.ts";
import { cast } from "../cast/index.ts";
import { mambaBlockStep } from "./index.ts";

interface Sizes {
  readonly rows: number;
  readonly dModel: number;
  readonly dInner: number;
  readonly dState: number;
  readonly dtRank: number;
  readonly window: number;
  readonly bias: boolean;
  readonly mixerNormEpsilon: number;
  /** Type of inProj, xProj and outProj. */
  readonly dtype?: "float16" | "int8" | "int4";
}

const base = { dModel: 64, dInner: 64, dState: 16, dtRank: 4, window: 4, bias: false, mixerNormEpsilon: 0 };
// a card has matrix cores of its own
const isCard = process.env["MAMBA_TEST_GPU"] === "system";
const cases: Record<string, Sizes> = {
  "one row, sums over subgroups": { ...base, rows: 1 },
  "part of a tile, a wide selection, norms inside, biases": {
    ...{ ...base, rows: 21, dState: 8, dtRank: 68, window: 3, bias: true, mixerNormEpsilon: 1e-6, dtype: "int4" },
  },
};
/** Programs that take long to compile for a CPU. */
const cardCases: Record<string, Sizes> = {
  "few rows": { ...base, rows: 5, dModel: 128, dInner: 256, window: 2 },
  "more rows than a tile": { ...base, rows: 70, dInner: 192, dtype: "int8" },
  "a model's width": { ...base, rows: 64, dModel: 768, dInner: 1536, dtRank: 48 },
};

const rounded = (x: number): number => float16Values()[numberToFloat16(x)]!;

/** y and states after a step, the projections rounded to float16. */
async function stepOn(device: Device, sizes: Sizes): Promise<TypedArray[]> {
  const { rows, dModel, dInner, dState, dtRank, window, bias, mixerNormEpsilon, dtype = "float16" } = sizes;
  const random = new Random(6);
  const numbers = (shape: number[], scale: number): Float32Array =>
    Float32Array.from(random.normals(shape.reduce((product, size) => product * size, 1)), (x) => rounded(scale * x));
  const draw = (shape: number[], scale = 0.3): Tensor => tensor(numbers(shape, scale), shape, { device });
  const matrix = (shape: [number, number], type: "float16" | "int8" | "int4" = dtype): Tensor => {
    const values = numbers(shape, 1 / Math.sqrt(shape[1]));
    const made = type === "float16" ? undefined : quantizeMatrix(values, ...shape, type);
    if (device.name === "webgpu" && made) return quantizedTensor(made, { device });
    const whole = tensor(made ? dequantizeMatrix(made) : values, shape, { device });
    return device.name === "webgpu" ? cast(whole, "float16") : whole;
  };
  const weights = {
    inProj: { weight: matrix([2 * dInner, dModel]), ...(bias ? { bias: draw([2 * dInner]) } : {}) },
    conv: { weight: draw([dInner, window]), bias: draw([dInner]) },
    xProj: { weight: matrix([dtRank + 2 * dState, dInner]) },
    dtProj: { weight: matrix([dInner, dtRank], "float16"), bias: draw([dInner]) },
    D: draw([dInner]),
    outProj: { weight: matrix([dModel, dInner]), ...(bias ? { bias: draw([dModel]) } : {}) },
  };
  const A = tensor(
    numbers([dInner, dState], 1).map((x) => -Math.abs(x)),
    [dInner, dState],
    { device },
  );
  const state = { conv: draw([rows, window - 1, dInner], 1), ssm: draw([rows, dInner, dState], 1) };
  const options = { A, epsilon: 1e-5, mixerNormEpsilon };
  const { y, state: after } = mambaBlockStep(draw([rows, dModel], 1), state, draw([dModel], 1), weights, options);
  return Promise.all([y, after.conv, after.ssm].map((one) => one.read()));
}

/** Programs are long, and compiled for the CPU here. */
const PATIENCE = 120_000;

describe.runIf(fastBackends.includes("webgpu"))("mambaBlockStep on a card", { timeout: PATIENCE }, () => {
  let opened: Device | undefined;
  afterAll(() => opened?.dispose());

  it.each(Object.entries({ ...cases, ...(isCard ? cardCases : {}) }))(
    "is the block in float64, up to rounded activations: %s",
    async (_, sizes) => {
      const shared = await sharedDevice("webgpu");
      if (isCard && !shared.matmulPrecisions.includes("float16")) return;
      opened ??= isCard ? undefined : await openEmulatedMatrixCores();
      const device = opened ?? shared;
      const expected = await stepOn(await sharedDevice("reference"), sizes);
      device.matmulPrecision = "float16";
      try {
        for (const [i, values] of (await stepOn(device, sizes)).entries()) {
          expect(maxError(values, expected[i]!)).toBeLessThan(1e-3);
        }
      } finally {
        shared.matmulPrecision = "float32";
      }
    },
  );
});
