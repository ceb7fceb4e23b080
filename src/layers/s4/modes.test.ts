import { describe, expect, it } from "vitest";
import { maxError, sharedDevice } from "../../../test/kit/test-op.ts";
import { concat, reshape, slice } from "../../ops/movement/index.ts";
import type { TypedArray } from "../../tensor/dtype.ts";
import { Random } from "../../tensor/random.ts";
import { type Tensor, tensor } from "../../tensor/tensor.ts";
import { complexEigen } from "./eigen.ts";
import type { S4Start } from "./initialise.ts";
import { S4Recurrence, type S4StepMode } from "./recurrence.ts";
import { type S4Config, S4Layer } from "./s4-layer.ts";

const lowRank: S4Config = { dModel: 6, dState: 8, structure: "low-rank", kernelLength: 27 };

async function create(config: S4Config, init: S4Start, name: "reference" | "wasm" = "reference") {
  const dtype = name === "reference" ? ("float64" as const) : ("float32" as const);
  const device = await sharedDevice(name);
  const random = new Random(8);
  const copies = 3;
  const layer = S4Layer.create(config, { init, copies, channels: 2 }, { device, dtype, random });
  const input = (length: number): Tensor => tensor(random.normals(2 * length * 6), [2, length, 6], { device, dtype });
  return { layer, input };
}

async function stepped(layer: S4Layer, x: Tensor, rate: number, mode?: S4StepMode): Promise<TypedArray> {
  using recurrence = await S4Recurrence.of(layer, rate, mode);
  let state = recurrence.initialState(2);
  const outputs: Tensor[] = [];
  for (let t = 0; t < x.shape[1]!; t++) {
    const result = recurrence.step(reshape(slice(x, { axis: 1, start: t, end: t + 1 }), [2, 6]), state);
    outputs.push(reshape(result.y, [2, 1, 6]));
    state = result.state;
  }
  return await concat(outputs, 1).read();
}

describe("S4Recurrence", () => {
  for (const init of ["legs", "legt", "fout"] as const) {
    for (const mode of ["linear", "dense", "diagonal"] as const) {
      it(`${init}, ${mode}: steps are the convolution, at any rate`, async () => {
        const { layer, input } = await create(lowRank, init);
        const x = input(13);
        for (const rate of [1, 1.5]) {
          const expected = await layer.forward(x, { rate }).read();
          // the kernel's length is rounded where there is a rate: what is cut off is behind it
          expect(maxError(await stepped(layer, x, rate, mode), expected)).toBeLessThan(rate === 1 ? 1e-9 : 1e-2);
        }
        const rated = await stepped(layer, x, 1.5, "linear");
        expect(maxError(await stepped(layer, x, 1.5, mode), rated)).toBeLessThan(1e-9);
      });
    }
  }

  it("takes the same steps in float32, of rank 2 too", async () => {
    for (const init of ["legs", "legt"] as const) {
      for (const mode of ["linear", "dense", "diagonal"] as const) {
        const dState = mode === "diagonal" ? 4 : 8;
        const { layer, input } = await create({ ...lowRank, dState }, init, "wasm");
        const x = input(13);
        const expected = await layer.forward(x).read();
        expect(maxError(await stepped(layer, x, 1, mode), expected), mode).toBeLessThan(2e-5);
      }
    }
  });

  it("refuses a basis that float32 cannot use, and modes that diagonal layers lack", async () => {
    const { layer } = await create(lowRank, "legs", "wasm");
    await expect(S4Recurrence.of(layer, 1, "diagonal")).rejects.toThrow(
      "eigenvectors must be far enough from each other",
    );
    const { layer: diagonal } = await create({ dModel: 6, dState: 8, structure: "diagonal" }, "lin");
    await expect(S4Recurrence.of(diagonal, 1, "dense")).rejects.toThrow("mode of a diagonal layer must be diagonal");
  });
});

describe("complexEigen", () => {
  it("takes matrices apart: A V = V diag(values), of a known spectrum too", () => {
    const random = new Random(2);
    for (const size of [1, 2, 3, 12, 33]) {
      const a = random.normals(2 * size * size);
      const { values, V } = complexEigen(a, size);
      let worst = 0;
      for (let i = 0; i < size; i++) {
        for (let k = 0; k < size; k++) {
          let [re, im] = [0, 0];
          for (let j = 0; j < size; j++) {
            const [x, y] = [2 * (i * size + j), 2 * (j * size + k)];
            re += a[x]! * V[y]! - a[x + 1]! * V[y + 1]!;
            im += a[x]! * V[y + 1]! + a[x + 1]! * V[y]!;
          }
          const at = 2 * (i * size + k);
          re -= values[2 * k]! * V[at]! - values[2 * k + 1]! * V[at + 1]!;
          im -= values[2 * k]! * V[at + 1]! + values[2 * k + 1]! * V[at]!;
          worst = Math.max(worst, Math.hypot(re, im));
        }
      }
      expect(worst).toBeLessThan(1e-12 * size);
    }
    // rotations of three axes: eigenvalues are the third roots of one
    const shift = Float64Array.of(0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1, 0, 1, 0, 0, 0, 0, 0);
    const angles = [...Array(3).keys()].map((k) => {
      const { values } = complexEigen(shift, 3);
      return Math.round((Math.atan2(values[2 * k + 1]!, values[2 * k]!) * 3) / (2 * Math.PI));
    });
    expect(angles.sort()).toEqual([-1, 0, 1]);
  });
});

describe("lengths", () => {
  for (const [name, config] of Object.entries({
    S4: { ...lowRank, kernelLength: 5 },
    S4D: { dModel: 6, dState: 8, structure: "diagonal" } as const,
  })) {
    it(`${name}: nothing, one sample and odd lengths give what they give in a longer sequence`, async () => {
      const { layer, input } = await create(config, "legs");
      const x = input(5);
      const whole = layer.forward(x);
      for (const length of [0, 1, 3]) {
        const part = slice(x, { axis: 1, end: length });
        const expected = await slice(whole, { axis: 1, end: length }).read();
        expect(maxError(await layer.forward(part).read(), expected)).toBeLessThan(1e-12);
      }
    });
  }

  it("beyond the tuned length are refused by S4, and are nothing special to S4D", async () => {
    const { layer, input } = await create({ ...lowRank, kernelLength: 5 }, "legs");
    expect(() => layer.forward(input(6))).toThrow("S4Layer: length must be at most 5, which C is tuned to; got 6");
    const x = input(9);
    const longer = await layer.lengthened(9);
    expect(maxError(await stepped(layer, x, 1), await longer.forward(x).read())).toBeLessThan(1e-9);
    const one = await layer.lengthened(1);
    const first = await slice(longer.forward(x), { axis: 1, end: 1 }).read();
    expect(maxError(await one.forward(slice(x, { axis: 1, end: 1 })).read(), first)).toBeLessThan(1e-9);
  });
});
