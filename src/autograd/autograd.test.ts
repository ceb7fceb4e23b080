import { beforeAll, describe, expect, it } from "vitest";
import { openDevice } from "../ops/devices.ts";
import { add, exp, mul, sin } from "../ops/elementwise/index.ts";
import { slice } from "../ops/movement/index.ts";
import { sum } from "../ops/reduce/index.ts";
import type { Device } from "../tensor/device.ts";
import { scope } from "../tensor/scope.ts";
import { type Tensor, tensor, writeTensor } from "../tensor/tensor.ts";
import { makeAgain, recompute, valueAndGrad } from "./index.ts";

let device: Device;
const f64 = (values: number[]) => tensor(Float64Array.from(values), [values.length], { device });

beforeAll(async () => {
  device = await openDevice("reference");
});

describe("valueAndGrad", () => {
  it("differentiates through a value that is used twice", async () => {
    const x = f64([0.3, -1.2]);
    const { value, gradients } = valueAndGrad(({ x }) => sum(mul(sin(x), exp(x))), { x });
    expect(await value.item()).toBeCloseTo(Math.sin(0.3) * Math.exp(0.3) + Math.sin(-1.2) * Math.exp(-1.2), 14);
    const expected = [0.3, -1.2].map((t) => Math.exp(t) * (Math.sin(t) + Math.cos(t)));
    expect([...(await gradients.x.read())]).toEqual(expected.map((e) => expect.closeTo(e, 13)));
  });

  it("gives zeros for a parameter that nothing depends on", async () => {
    const { gradients } = valueAndGrad(({ a }) => sum(a), { a: f64([1]), nested: { b: f64([1, 2]) } });
    expect([...(await gradients.nested.b.read())]).toEqual([0, 0]);
  });

  it("frees everything but value, aux and gradients", () => {
    const x = f64([1, 2, 3]);
    const before = device.memory().buffers;
    const result = valueAndGrad(({ x }) => sum(exp(mul(x, x))), { x });
    expect(device.memory().buffers).toBe(before + 2);
    result.value.dispose();
    result.gradients.x.dispose();
    expect(device.memory().buffers).toBe(before);
  });

  it("frees everything when the function throws", () => {
    const x = f64([1, 2, 3]);
    const before = device.memory().buffers;
    expect(() =>
      valueAndGrad(
        ({ x }) => {
          exp(x);
          throw new Error("stop");
        },
        { x },
      ),
    ).toThrow("stop");
    expect(device.memory().buffers).toBe(before);
    expect(device.memory().used).toBeGreaterThan(0);
  });

  it("refuses promises, many-element values, nesting, and a saved value that changed", () => {
    const x = f64([1, 2]);
    const promised = (async () => x) as unknown as () => Tensor;
    expect(() => valueAndGrad(promised, { x })).toThrow(/must be synchronous/);
    expect(() => valueAndGrad(({ x }) => exp(x), { x })).toThrow(/one element; got \[2\]/);
    expect(() => valueAndGrad(({ x }) => valueAndGrad(() => sum(x), { x }).value, { x })).toThrow(
      /must not run inside/,
    );
    expect(() =>
      valueAndGrad(
        ({ x }) => {
          const y = sum(sin(x));
          writeTensor(x, Float64Array.of(5, 6));
          return y;
        },
        { x },
      ),
    ).toThrow(/backward of sin: x must be as it was/);
  });
});

describe("makeAgain", () => {
  const square = (h: Tensor): Tensor => mul(h, h);
  /** x^2 sin(x^2): both uses of x^2 save it. */
  const product = (x: Tensor, again: boolean, made: () => void = () => {}): Tensor => {
    const h = square(x);
    const counted = (given: Tensor): Tensor => {
      made();
      return square(given);
    };
    if (again) makeAgain(h, counted, [x]);
    return sum(mul(h, sin(h)));
  };

  it("makes a value once, for all that need it, and gives the same gradients", async () => {
    const x = f64([0.1, 0.2]);
    let made = 0;
    const plain = valueAndGrad(() => product(x, false), { x });
    const before = device.memory().used;
    const again = valueAndGrad(() => scope(() => product(x, true, () => made++)), { x });
    expect(made).toBe(1);
    expect([...(await again.gradients.x.read())]).toEqual([...(await plain.gradients.x.read())]);
    for (const one of [again.value, again.gradients.x]) one.dispose();
    expect(device.memory().used).toBe(before);
  });

  it("is nothing without a recorder, and frees what nothing asked for", () => {
    const x = f64([0.1, 0.2]);
    const before = device.memory().used;
    scope(() => void product(x, true));
    const result = valueAndGrad(
      () =>
        scope(() => {
          const h = square(x);
          makeAgain(h, square, [x]);
          return sum(x);
        }),
      { x },
    );
    for (const one of [result.value, result.gradients.x]) one.dispose();
    expect(device.memory().used).toBe(before);
  });

  it("refuses inputs that were changed since", () => {
    const [x, y] = [f64([0.1, 0.2]), f64([0.3, 0.4])];
    const run = (): unknown =>
      valueAndGrad(
        () => {
          const h = mul(x, y);
          makeAgain(h, (given) => mul(x, given), [y]);
          const out = sum(sin(h));
          writeTensor(y, Float64Array.of(1, 2));
          return out;
        },
        { x },
      );
    expect(run).toThrow(/must be as it was in the forward pass/);
  });
});

describe("recompute", () => {
  const chain = (x: Tensor, w: Tensor): Tensor[] => {
    let h = x;
    for (let i = 0; i < 5; i++) h = scope(() => sin(add(mul(h, w), h)));
    return [h];
  };

  it("gives the gradients of the plain computation, for inputs and for captured parameters", async () => {
    const x = f64([0.1, 0.2]);
    const w = f64([1.1, 0.7]);
    const plain = valueAndGrad(() => sum(chain(mul(x, x), w)[0]!), { x, w });
    const replayed = valueAndGrad(() => sum(recompute((h) => chain(h, w), [mul(x, x)])[0]!), { x, w });
    expect([...(await replayed.gradients.x.read())]).toEqual([...(await plain.gradients.x.read())]);
    expect([...(await replayed.gradients.w.read())]).toEqual([...(await plain.gradients.w.read())]);
  });

  it("saves only the inputs", () => {
    const x = f64([0.1, 0.2]);
    const w = f64([1.1, 0.7]);
    const held = (part: (h: Tensor) => Tensor): number => {
      let bytes = 0;
      const before = device.memory().used;
      const result = valueAndGrad(
        () => {
          const y = scope(() => part(mul(x, x)));
          bytes = device.memory().used - before;
          return sum(y);
        },
        { x, w },
      );
      result.value.dispose();
      for (const gradient of Object.values(result.gradients)) gradient.dispose();
      return bytes;
    };
    const vector = 16;
    expect(held((h) => recompute((inner) => chain(inner, w), [h])[0]!)).toBe(2 * vector);
    expect(held((h) => chain(h, w)[0]!)).toBeGreaterThan(8 * vector);
    expect(slice(x, { end: 1 }).size).toBe(1);
  });
});
