import { describe, expect, it } from "vitest";
import {
  fastBackends,
  maxError,
  normal,
  type OpCase,
  sharedDevice,
  testOp,
  uniform,
} from "../../../test/kit/test-op.ts";
import { MambaMixer, type MambaMixerParameters } from "../../layers/mamba-mixer.ts";
import type { Device, DeviceName } from "../../tensor/device.ts";
import type { TypedArray } from "../../tensor/dtype.ts";
import { dequantizeMatrix, quantizeMatrix } from "../../tensor/quantize.ts";
import { quantizedTensor } from "../../tensor/quantized-tensor.ts";
import { Random } from "../../tensor/random.ts";
import { type Tensor, tensor, zeros } from "../../tensor/tensor.ts";
import { cast } from "../cast/index.ts";
import { openDevice } from "../devices.ts";
import { add } from "../elementwise/index.ts";
import { embedding } from "../embedding/index.ts";
import { linear, packWeight } from "../linear/index.ts";
import { concat, copy, reshape, slice } from "../movement/index.ts";
import { apply } from "../op.ts";
import { rmsNorm } from "../rms-norm/index.ts";
import { mambaBlockStep } from "./index.ts";
import { mambaBlockStepOp } from "./operations.ts";

const fill: OpCase["fill"] = { A: uniform(-2, -0.1) };
const base = { batch: 1, window: 4, dModel: 9, dInner: 10, twoInner: 20, dState: 4, dtRank: 3, selection: 11 };
const params = { epsilon: 1e-5, mixerNormEpsilon: 0 };
const wide = { batch: 2, window: 3, dModel: 40, dInner: 72, twoInner: 144, dState: 16, dtRank: 5, selection: 37 };
const even = { batch: 1, window: 4, dModel: 132, dInner: 264, twoInner: 528, dState: 16, dtRank: 12, selection: 44 };
const manySelected = { ...even, dModel: 64, dInner: 40, twoInner: 80, dState: 12, dtRank: 252, selection: 276 };

testOp(mambaBlockStepOp, {
  // the states are part of what the op makes
  run: (inputs, given) => ({
    ...apply(mambaBlockStepOp, inputs, given),
    conv: inputs["conv"]!,
    ssm: inputs["ssm"]!,
  }),
  cases: [
    { axes: base, params, fill, omit: ["inProjBias", "outProjBias"] },
    { axes: base, params, fill, omit: ["convBias"] },
    { axes: { ...base, batch: 3 }, params, fill, omit: ["inProjBias", "outProjBias"] },
    { axes: { ...base, batch: 5, window: 1 }, params: { ...params, mixerNormEpsilon: 1e-6 }, fill },
    { axes: wide, params: { ...params, mixerNormEpsilon: 1e-6 }, fill },
    { axes: { ...wide, batch: 1, window: 2 }, params, fill, omit: ["outProjBias"] },
    // sizes in steps of four, as models have them: rows of weights that lanes share evenly and not
    { axes: { ...even, batch: 5 }, params, fill, omit: ["inProjBias", "outProjBias"] },
    { axes: { ...even, dModel: 128, dState: 8, dtRank: 20, selection: 36 }, params, fill, omit: ["convBias"] },
    { axes: manySelected, params: { ...params, mixerNormEpsilon: 1e-6 }, fill, omit: ["inProjBias", "outProjBias"] },
  ],
});

const config = {
  dModel: 12,
  dInner: 24,
  dState: 5,
  dConv: 4,
  dtRank: 2,
  bias: true,
  convBias: true,
  mixerNormEpsilon: 0,
};
/** Widths that int8 and int4 can have. */
const wideConfig = { ...config, dModel: 64, dInner: 96 };
const epsilon = 1e-5;

/** A block with random weights, as the mixer and as steps. */
function makeBlock(
  device: Device,
  options: { mixerNormEpsilon?: number; bias?: boolean } = {},
  sizes: typeof config = config,
) {
  const { mixerNormEpsilon = 0, bias = true } = options;
  const random = new Random(4);
  const draw = (shape: number[], scale = 0.3): Tensor =>
    tensor(
      normal(random, shape).map((x) => Math.fround(x * scale)),
      shape,
      { device },
    );
  const { dModel, dInner, dState, dConv, dtRank } = sizes;
  const parameters: MambaMixerParameters = {
    inProj: { weight: draw([2 * dInner, dModel]), ...(bias ? { bias: draw([2 * dInner]) } : {}) },
    conv: { weight: draw([dInner, dConv]), bias: draw([dInner]) },
    xProj: { weight: draw([dtRank + 2 * dState, dInner]) },
    dtProj: { weight: draw([dInner, dtRank]), bias: draw([dInner]) },
    A_log: draw([dInner, dState]),
    D: draw([dInner]),
    outProj: { weight: draw([dModel, dInner]), ...(bias ? { bias: draw([dModel]) } : {}) },
  };
  const mixer = new MambaMixer({ ...sizes, bias, mixerNormEpsilon }, parameters);
  const normWeight = draw([dModel], 1);
  const step = (x: Tensor, state: { conv: Tensor; ssm: Tensor }, inPlace = false, weights = parameters) =>
    mambaBlockStep(x, state, normWeight, weights, { A: mixer.decay(), epsilon, mixerNormEpsilon, inPlace });
  const whole = (x: Tensor, state?: { conv: Tensor; ssm: Tensor }) => {
    const { y, state: after } = mixer.forward(rmsNorm(x, normWeight, { epsilon }).y, state ? { state } : {});
    return { y: add(x, y), state: after };
  };
  const state = (batch: number) => ({ conv: draw([batch, dConv - 1, dInner]), ssm: draw([batch, dInner, dState]) });
  return { draw, parameters, step, whole, state };
}

async function expectSame(actual: Tensor, expected: Tensor, limit = 2e-6): Promise<void> {
  expect(maxError(await actual.read(), await expected.read())).toBeLessThanOrEqual(limit);
}

for (const name of ["reference", ...fastBackends] as DeviceName[]) {
  describe(`mambaBlockStep on ${name}`, () => {
    for (const options of [{}, { bias: false }, { mixerNormEpsilon: 1e-6 }]) {
      for (const batch of [1, 3]) {
        it(`is the residual mixer on one token: batch ${batch} ${JSON.stringify(options)}`, async () => {
          const { draw, step, whole, state } = makeBlock(await sharedDevice(name), options);
          const [x, before] = [draw([batch, 12], 1), state(batch)];
          const stepped = step(x, before);
          const expected = whole(reshape(x, [batch, 1, 12]), before);
          await expectSame(stepped.y, reshape(expected.y, [batch, 12]));
          await expectSame(stepped.state.conv, expected.state.conv);
          await expectSame(stepped.state.ssm, expected.state.ssm);
        });
      }
    }

    it("folded over a sequence is the mixer over the sequence", async () => {
      const { draw, step, whole } = makeBlock(await sharedDevice(name));
      const x = draw([2, 9, 12], 1);
      const { device, dtype } = x;
      let state = { conv: zeros([2, 3, 24], { device, dtype }), ssm: zeros([2, 24, 5], { device, dtype }) };
      const outputs: Tensor[] = [];
      for (let t = 0; t < 9; t++) {
        const token = copy(slice(x, { axis: 1, start: t, end: t + 1 }));
        const next = step(reshape(token, [2, 12]), state, t > 0);
        outputs.push(reshape(next.y, [2, 1, 12]));
        state = next.state;
      }
      const expected = whole(x);
      await expectSame(concat(outputs, 1), expected.y);
      await expectSame(state.conv, expected.state.conv);
      await expectSame(state.ssm, expected.state.ssm);
    });

    it("gives the same with packed weights", async () => {
      const { draw, step, state, parameters } = makeBlock(await sharedDevice(name));
      const packed = { ...parameters };
      for (const part of ["inProj", "xProj", "dtProj", "outProj"] as const) {
        Object.assign(packed, { [part]: { ...parameters[part], weight: packWeight(parameters[part].weight) } });
      }
      for (const batch of [1, 4]) {
        const [x, before] = [draw([batch, 12], 1), state(batch)];
        const [plain, panels] = [step(x, before), step(x, before, false, packed)];
        await expectSame(panels.y, plain.y);
        await expectSame(panels.state.ssm, plain.state.ssm);
      }
    });

    it("leaves the state alone, and in place changes its memory, which outlives the consumed state", async () => {
      const { draw, step, state } = makeBlock(await sharedDevice(name));
      const [x, before] = [draw([2, 12], 1), state(2)];
      const values = [await before.conv.read(), await before.ssm.read()];
      const separate = step(x, before);
      expect([await before.conv.read(), await before.ssm.read()]).toEqual(values);
      const versions = [before.conv.storage.version, before.ssm.storage.version];
      const inPlace = step(x, before, true);
      expect([before.conv.storage.version, before.ssm.storage.version]).toEqual(versions.map((v) => v + 1));
      expect(await before.ssm.read()).toEqual(await separate.state.ssm.read());
      before.conv.dispose();
      before.ssm.dispose();
      await expectSame(inPlace.state.conv, separate.state.conv, 0);
      await expectSame(inPlace.state.ssm, separate.state.ssm, 0);
      await expectSame(inPlace.y, separate.y, 0);
    });

    it("refuses to change a view in place, and weights of another block", async () => {
      const { draw, step, state, parameters } = makeBlock(await sharedDevice(name));
      const [x, before] = [draw([2, 12], 1), state(2)];
      const narrow = { ...before, ssm: slice(draw([2, 24, 6]), { axis: 2, end: 5 }) };
      expect(() => step(x, narrow, true)).toThrowErrorMatchingInlineSnapshot(
        `[ShapeError: mambaBlockStep: ssm must be dense to be changed in place; got a view of shape [2 24 5]; leave out inPlace]`,
      );
      await expectSame(step(x, narrow).y, step(x, { ...before, ssm: copy(narrow.ssm) }).y, 0);
      const other = { ...parameters, xProj: { weight: draw([13, 24]) } };
      expect(() => step(x, before, false, other)).toThrowErrorMatchingInlineSnapshot(
        `[ShapeError: mambaBlockStep: xProj must have dtRank + 2 dState = 12 rows; got 13; pass the weights and states of one block]`,
      );
      expect(() => step(x, { ...before, conv: draw([2, 2, 24]) })).toThrowErrorMatchingInlineSnapshot(
        `[ShapeError: mambaBlockStep: convWeight must have shape [dInner window]; axis "window" is 3 in conv but 4 in convWeight (got [24 4]); pass a fitting tensor]`,
      );
    });
  });
}

describe.runIf(fastBackends.includes("wasm"))("mambaBlockStep with weights of smaller types", () => {
  it.each(["float16", "bfloat16", "int8", "int4"] as const)("is the mixer with the same weights: %s", async (dtype) => {
    const results: Record<string, TypedArray[]> = {};
    for (const name of ["reference", "wasm"] as const) {
      const { draw, step, whole, state, parameters } = makeBlock(await sharedDevice(name), {}, wideConfig);
      const { dModel } = wideConfig;
      for (const part of ["inProj", "outProj"] as const) {
        Object.assign(parameters, {
          [part]: { ...parameters[part], weight: packWeight(parameters[part].weight, dtype) },
        });
      }
      results[name] = [];
      for (const batch of [1, 3, 6]) {
        const [x, before] = [draw([batch, dModel], 1), state(batch)];
        const stepped = step(x, before);
        const expected = whole(reshape(x, [batch, 1, dModel]), before);
        await expectSame(stepped.y, reshape(expected.y, [batch, dModel]));
        await expectSame(stepped.state.ssm, expected.state.ssm);
        results[name].push(await stepped.y.read());
      }
    }
    // a value between two whole numbers may be rounded the other way where activations differ in the last bit
    const limit = dtype.startsWith("int") ? 2e-3 : 2e-6;
    for (const [i, values] of results["wasm"]!.entries())
      expect(maxError(values, results["reference"]![i]!)).toBeLessThan(limit);
  });
});

it.runIf(fastBackends.includes("webgpu"))("reads float16 weights on a GPU: products, steps, embeddings", async () => {
  const device = await sharedDevice("webgpu");
  const { draw, step, state, parameters } = makeBlock(device, { bias: false }, wideConfig);
  const rounded = { ...parameters };
  const same = { ...parameters };
  for (const part of ["inProj", "xProj", "outProj"] as const) {
    const weight = cast(parameters[part].weight, "float16");
    Object.assign(rounded, { [part]: { ...parameters[part], weight } });
    Object.assign(same, { [part]: { ...parameters[part], weight: cast(weight, "float32") } });
  }
  // few rows, and more than the few programs take
  for (const batch of [1, 10]) {
    const [x, before] = [draw([batch, wideConfig.dModel], 1), state(batch)];
    const [half, whole] = [step(x, before, false, rounded), step(x, before, false, same)];
    await expectSame(half.y, whole.y);
    await expectSame(half.state.ssm, whole.state.ssm);
    await expectSame(linear(x, rounded.inProj.weight), linear(x, same.inProj.weight));
  }
  const ids = tensor(Int32Array.of(1, 0, 5), [3], { device });
  await expectSame(embedding(rounded.inProj.weight, ids), embedding(same.inProj.weight, ids), 0);
});

it.runIf(fastBackends.includes("webgpu"))("reads int8 and int4 weights on a GPU as what they stand for", async () => {
  const device = await sharedDevice("webgpu");
  const { draw, step, state, parameters } = makeBlock(device, { bias: false }, wideConfig);
  const rounded = { ...parameters };
  const same = { ...parameters };
  for (const [part, dtype] of [
    ["inProj", "int8"],
    ["xProj", "int8"],
    ["outProj", "int4"],
  ] as const) {
    const { weight } = parameters[part];
    const [rows, columns] = weight.shape as [number, number];
    const matrix = quantizeMatrix((await weight.read()) as Float32Array, rows, columns, dtype);
    const values = tensor(dequantizeMatrix(matrix), [rows, columns], { device });
    Object.assign(rounded, { [part]: { ...parameters[part], weight: quantizedTensor(matrix, { device }) } });
    Object.assign(same, { [part]: { ...parameters[part], weight: values } });
  }
  for (const batch of [1, 10]) {
    const [x, before] = [draw([batch, wideConfig.dModel], 1), state(batch)];
    const [small, whole] = [step(x, before, false, rounded), step(x, before, false, same)];
    await expectSame(small.y, whole.y);
    await expectSame(small.state.ssm, whole.state.ssm);
  }
});

it.runIf(fastBackends.includes("wasm"))("gives the same bits for any number of threads", async () => {
  let first: unknown;
  for (const threads of [0, 1, 2, 3]) {
    using device = await openDevice("wasm", { threads });
    const { draw, step, state } = makeBlock(device);
    const made = step(draw([3, 12], 1), state(3));
    const bits = await Promise.all([made.y, made.state.conv, made.state.ssm].map((part) => part.read()));
    first ??= bits;
    expect(bits, `${threads} threads`).toEqual(first);
  }
});
