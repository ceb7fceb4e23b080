import { describe, expect, it } from "vitest";
import { type Fill, fastBackends, normal, sharedDevice, testOp } from "../../../test/kit/test-op.ts";
import { valueAndGrad } from "../../autograd/index.ts";
import type { DeviceName } from "../../tensor/device.ts";
import { Random } from "../../tensor/random.ts";
import { sizeOf } from "../../tensor/shape.ts";
import { tensor } from "../../tensor/tensor.ts";
import { apply } from "../op.ts";
import { sum } from "../reduce/index.ts";
import { cast, foundNonFinite } from "./index.ts";
import { type CastType, castOp, markNonFiniteOp } from "./operations.ts";

// values over the whole range of the small types, and past it
const wide: Fill = (random, shape) =>
  Float64Array.from({ length: sizeOf(shape) }, () => random.normal() * 2 ** (random.integer(60) - 30));
testOp(castOp, {
  differentiable: false,
  cases: (["float16", "bfloat16", "int32", "uint8"] as const).flatMap((dtype) => [
    { leading: [1029], params: { dtype, from: "float32" }, fill: { x: wide }, tolerance: 0 },
    { leading: [2, 3], params: { dtype, from: "float32" }, fill: { x: normal }, tolerance: 0 },
  ]),
});
testOp(markNonFiniteOp, {
  differentiable: false,
  run: (inputs, params) => {
    apply(markNonFiniteOp, inputs, params);
    return { found: inputs["found"]! };
  },
  cases: [0, Number.NaN, Number.POSITIVE_INFINITY].map((last) => ({
    leading: [517],
    fill: { x: (random: Random) => random.normals(517).fill(last, 516), found: () => Int32Array.of(0) },
  })),
});

const backends = ["reference", ...fastBackends] as DeviceName[];

async function through(name: DeviceName, values: number[], dtype: CastType): Promise<number[]> {
  const x = tensor(Float32Array.from(values), undefined, { device: await sharedDevice(name) });
  return [...(await cast(cast(x, dtype), "float32").read())];
}

describe.each(backends)("cast on %s", (name) => {
  it("rounds to the nearest, ties to even", async () => {
    expect(await through(name, [2049, 2051, 2050.5, -2049, 2 ** -25, 3 * 2 ** -25, 1e-9], "float16")).toEqual([
      2048,
      2052,
      2050,
      -2048,
      0,
      2 ** -23,
      0,
    ]);
    expect(await through(name, [257, 259, 258.5, -257, 1 + 2 ** -8, 1 + 3 * 2 ** -8], "bfloat16")).toEqual([
      256,
      260,
      258,
      -256,
      1,
      1 + 2 ** -6,
    ]);
  });

  it("overflows to infinity and keeps NaN and the sign of zero", async () => {
    const values = [65519, 65520, -1e30, Number.NaN, -0];
    expect(await through(name, values, "float16")).toEqual([65504, Infinity, -Infinity, Number.NaN, -0]);
    const large = (2 - 2 ** -8) * 2 ** 127;
    expect(await through(name, [large * (1 - 2 ** -20), large], "bfloat16")).toEqual([
      (2 - 2 ** -7) * 2 ** 127,
      Infinity,
    ]);
  });

  it("cuts integers towards zero and holds them to the type's range", async () => {
    const values = [2.9, -2.9, 3e9, -3e9, Number.NaN, Number.POSITIVE_INFINITY];
    expect(await through(name, values, "int32")).toEqual([2, -2, 2 ** 31, -(2 ** 31), 0, 2 ** 31]);
    expect(await through(name, values, "uint8")).toEqual([2, 0, 255, 0, 0, 255]);
    expect(await through(name, [2.9, -1, 4e9, 1e10], "uint32")).toEqual([2, 0, 4e9, 2 ** 32]);
  });

  it("restores every float16 and bfloat16 number from float32", async () => {
    const device = await sharedDevice(name);
    for (const dtype of ["float16", "bfloat16"] as const) {
      const [exponentBits, infinity] = dtype === "float16" ? [10, 0x7c00] : [7, 0x7f80];
      const numbers = Uint16Array.from({ length: 65536 }, (_, bits) => {
        const notANumber = (bits & infinity) === infinity && (bits & (2 ** exponentBits - 1)) !== 0;
        return notANumber ? 0 : bits;
      });
      const x = tensor(numbers, undefined, { device, dtype });
      expect(await cast(cast(x, "float32"), dtype).read(), dtype).toEqual(numbers);
    }
  });

  it("finds one infinity or NaN among many tensors", async () => {
    const device = await sharedDevice(name);
    const random = new Random(1);
    const finite = [3, 1000].map((size) => tensor(Float32Array.from(random.normals(size)), undefined, { device }));
    const half = cast(finite[1]!, "float16");
    expect([...(await foundNonFinite([...finite, half]).read())]).toEqual([0]);
    for (const bad of [Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY]) {
      const spoiled = tensor(Float32Array.from(random.normals(999)).fill(bad, 777, 778), undefined, { device });
      expect([...(await foundNonFinite([...finite, spoiled, half]).read())]).toEqual([1]);
    }
    const tooLarge = cast(tensor([1, 70000], undefined, { device }), "float16");
    expect([...(await foundNonFinite([tooLarge]).read())]).toEqual([1]);
  });
});

it("casts the gradient back", async () => {
  const device = await sharedDevice("reference");
  const x = tensor(Float64Array.of(1.00001, 3), [2], { device });
  const { value, gradients } = valueAndGrad(() => sum(cast(cast(x, "bfloat16"), "float64")), { x });
  expect(await value.item()).toBe(4);
  expect(gradients.x.dtype).toBe("float64");
  expect([...(await gradients.x.read())]).toEqual([1, 1]);
});

it("returns the tensor itself for its own type and refuses types of weights", async () => {
  const device = await sharedDevice("reference");
  const x = tensor([1], undefined, { device });
  expect(cast(x, "float32")).toBe(x);
  expect(() => cast(x, "int4" as CastType)).toThrowErrorMatchingInlineSnapshot(
    `[DtypeError: cast: dtype must be a plain type that device reference has; got int4; use float32 or a smaller type]`,
  );
  expect(() => foundNonFinite([])).toThrowErrorMatchingInlineSnapshot(
    `[ShapeError: foundNonFinite: there must be at least one tensor; got none; pass one]`,
  );
});
