import { describe, expect, it } from "vitest";
import { fastBackends, maxError, sharedDevice, testOp } from "../../../test/kit/test-op.ts";
import { valueAndGrad } from "../../autograd/index.ts";
import { Random } from "../../tensor/random.ts";
import { tensor } from "../../tensor/tensor.ts";
import { openDevice } from "../devices.ts";
import { add } from "../elementwise/index.ts";
import { matmul } from "../matmul/index.ts";
import { slice } from "../movement/index.ts";
import { sum } from "../reduce/index.ts";
import { linear, packWeight, unpackWeight } from "./index.ts";
import { linearInputGradientOp, linearOp, linearWeightGradientOp } from "./operations.ts";

testOp(linearOp, {
  cases: [
    { leading: [5], axes: { inFeatures: 7, outFeatures: 9 } },
    { leading: [5], axes: { inFeatures: 7, outFeatures: 9 }, omit: ["bias"] },
    { leading: [2, 1], axes: { inFeatures: 48, outFeatures: 96 } },
    { leading: [1], axes: { inFeatures: 129, outFeatures: 33 }, omit: ["bias"] },
    { leading: [], axes: { inFeatures: 8, outFeatures: 8 } },
    { leading: [3, 23], axes: { inFeatures: 385, outFeatures: 100 } },
    { leading: [0], axes: { inFeatures: 8, outFeatures: 8 }, constant: ["x", "w", "bias"] },
  ],
});
testOp(linearInputGradientOp, {
  differentiable: false,
  cases: [
    { leading: [2, 3], axes: { inFeatures: 11, outFeatures: 6 } },
    { leading: [70], axes: { inFeatures: 40, outFeatures: 400 } },
  ],
});
testOp(linearWeightGradientOp, {
  differentiable: false,
  cases: [
    { leading: [2, 3], axes: { inFeatures: 11, outFeatures: 6 }, params: { bias: true } },
    { leading: [500], axes: { inFeatures: 40, outFeatures: 33 }, params: { bias: false } },
  ],
});

describe("linear", () => {
  const drawn = new Random(3);
  const make = async (name: "reference" | "wasm", shape: number[]) =>
    tensor(Float32Array.from(drawn.normals(shape.reduce((a, b) => a * b, 1))), shape, {
      device: await sharedDevice(name),
    });

  it("is a product with the transposed weight plus the bias", async () => {
    const x = await make("reference", [4, 6]);
    const w = await make("reference", [5, 6]);
    const bias = await make("reference", [5]);
    const expected = await add(matmul(x, w, { transposeB: true }), bias).read();
    expect(maxError(await linear(x, w, bias).read(), expected)).toBeLessThan(1e-6);
  });

  for (const name of ["reference" as const, ...(fastBackends as "wasm"[])]) {
    for (const [rows, inner, columns] of [
      [1, 48, 40],
      [3, 33, 21],
      [37, 130, 100],
    ] as const) {
      it(`gives the same with a packed weight on ${name}: [${rows} ${inner}] by [${columns} ${inner}]`, async () => {
        const x = await make(name, [rows, inner]);
        const w = await make(name, [columns, inner]);
        const packed = packWeight(w);
        expect([...(await packed.read())]).toEqual([...(await w.read())]);
        expect([...(await unpackWeight(packed).read())]).toEqual([...(await w.read())]);
        expect(maxError(await linear(x, packed).read(), await linear(x, w).read())).toBeLessThan(1e-6);
      });
    }

    it(`reads rows of a wider tensor on ${name} as a copy of them`, async () => {
      const wide = await make(name, [2, 5, 24]);
      const w = await make(name, [9, 8]);
      const rows = slice(slice(wide, { axis: 2, start: 3, end: 11 }), { axis: 1, start: 1, end: 4 });
      const copied = tensor(await rows.read(), rows.shape, { device: await sharedDevice(name) });
      expect([...(await linear(rows, w).read())]).toEqual([...(await linear(copied, w).read())]);
    });
  }

  it("refuses to train a packed weight", async () => {
    const device = await openDevice("reference");
    const x = tensor([1, 2], [1, 2], { device });
    const w = tensor([1, 2, 3, 4], [2, 2], { device });
    expect(() => valueAndGrad(({ w }) => sum(linear(x, packWeight(w))), { w })).toThrowErrorMatchingInlineSnapshot(
      `[MambaError: backward of packWeight: a weight that is trained must be unpacked; got one in panels; train the unpacked weight and pack it afterwards]`,
    );
  });

  it("says which axis does not fit", async () => {
    const x = await make("reference", [4, 6]);
    const w = await make("reference", [6, 5]);
    expect(() => linear(x, w)).toThrowErrorMatchingInlineSnapshot(
      `[ShapeError: linear: w must have shape [outFeatures inFeatures]; axis "inFeatures" is 6 in x but 5 in w (got [6 5]); pass a fitting tensor]`,
    );
    expect(() => linear(x, x, w)).toThrowErrorMatchingInlineSnapshot(
      `[ShapeError: linear: bias must have shape [outFeatures]; got [6 5] with 2 axes; reshape it to 1 axes]`,
    );
    const ids = tensor(Int32Array.of(1, 2, 3), [1, 3], { device: x.device });
    expect(() => linear(ids, x)).toThrowErrorMatchingInlineSnapshot(
      `[DtypeError: linear: x must be float32; got int32; pass another tensor]`,
    );
    const elsewhere = tensor([1], [1, 1], { device: await openDevice("reference") });
    expect(() => linear(x, elsewhere)).toThrowErrorMatchingInlineSnapshot(
      `[DeviceError: linear: all inputs must live on one device; x is on reference but w on another reference; move one with toDevice()]`,
    );
  });
});
