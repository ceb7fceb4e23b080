import { describe, expect, it } from "vitest";
import type { DType } from "../../tensor/dtype.ts";
import { Random } from "../../tensor/random.ts";
import { type Tensor, tensor } from "../../tensor/tensor.ts";
import { openDevice } from "../devices.ts";
import { packWeight } from "../linear/index.ts";
import { mambaBlockStep } from "./index.ts";

// two parts of 384 channels: one and two threads take the step whole, three take it as commands of other ops
const sizes = { dModel: 64, dInner: 768, dState: 8, dtRank: 16, window: 4 };

interface Case {
  readonly projection: DType;
  readonly biased: boolean;
  readonly epsilon: number;
}

async function steps(
  { projection, biased, epsilon }: Case,
  threads: number,
  relaxedSimd: boolean,
): Promise<number[][]> {
  const device = await openDevice("wasm", { threads, relaxedSimd });
  const random = new Random(7);
  const { dModel, dInner, dState, dtRank, window } = sizes;
  const draw = (shape: number[], scale = 0.1): Tensor => {
    const size = shape.reduce((product, axis) => product * axis, 1);
    return tensor(
      Float32Array.from({ length: size }, () => random.normal() * scale),
      shape,
      { device },
    );
  };
  const bias = (size: number): { bias?: Tensor } => (biased ? { bias: draw([size]) } : {});
  const isBlocks = projection === "int8" || projection === "int4";
  const weights = {
    inProj: { weight: packWeight(draw([2 * dInner, dModel]), projection), ...bias(2 * dInner) },
    conv: { weight: draw([dInner, window], 0.4), ...bias(dInner) },
    xProj: { weight: packWeight(draw([dtRank + 2 * dState, dInner]), isBlocks ? "int8" : projection) },
    dtProj: { weight: packWeight(draw([dInner, dtRank]), isBlocks ? "float16" : projection), bias: draw([dInner]) },
    D: draw([dInner]),
    outProj: { weight: packWeight(draw([dModel, dInner]), projection), ...bias(dModel) },
  };
  const A = tensor(
    Float32Array.from({ length: dInner * dState }, (_, i) => -1 - (i % dState)),
    [dInner, dState],
    { device },
  );
  let x = draw([1, dModel], 1);
  let state = { conv: draw([1, window - 1, dInner]), ssm: draw([1, dInner, dState]) };
  const normWeight = draw([dModel], 1);
  const options = { A, epsilon: 1e-5, mixerNormEpsilon: epsilon, inPlace: true };
  // layer after layer, so that threads that run ahead would be seen
  for (let layer = 0; layer < 4; layer++) {
    const made = mambaBlockStep(x, state, normWeight, weights, options);
    x.dispose();
    x = made.y;
    state = made.state;
  }
  const read = async (values: Tensor): Promise<number[]> => [...((await values.read()) as Float32Array)];
  const results = [await read(x), await read(state.conv), await read(state.ssm)];
  device.dispose();
  return results;
}

const cases: Case[] = [
  { projection: "float32", biased: true, epsilon: 1e-6 },
  { projection: "bfloat16", biased: true, epsilon: 0 },
  { projection: "int8", biased: false, epsilon: 0 },
  { projection: "int4", biased: true, epsilon: 1e-6 },
];

describe("the step in two commands", () => {
  it.each(cases)("gives the bits of the step in parts: %o", async (given) => {
    for (const relaxed of [true, false]) {
      const expected = await steps(given, 3, relaxed);
      expect(expected.flat().every(Number.isFinite)).toBe(true);
      for (const threads of [1, 2]) expect(await steps(given, threads, relaxed)).toEqual(expected);
    }
  });
});
