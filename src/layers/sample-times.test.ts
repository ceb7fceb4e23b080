import { describe, expect, it } from "vitest";
import { fastBackends, maxError, sharedDevice } from "../../test/kit/test-op.ts";
import { valueAndGrad } from "../autograd/index.ts";
import { mul } from "../ops/elementwise/index.ts";
import { concat, slice } from "../ops/movement/index.ts";
import { sum } from "../ops/reduce/index.ts";
import type { DeviceName } from "../tensor/device.ts";
import { flattenParameters } from "../tensor/parameters.ts";
import { Random } from "../tensor/random.ts";
import { type Tensor, tensor } from "../tensor/tensor.ts";
import { LsslLayer, MambaMixer, S4Layer } from "./index.ts";
import { denseTransition } from "./lssl/transition.ts";
import { initialiseMambaMixer } from "./mamba-mixer-initialise.ts";
import type { S4Config } from "./s4/s4-layer.ts";

const diagonal: S4Config = { dModel: 3, dState: 8, structure: "diagonal" };

async function setUp(name: DeviceName = "reference", seed = 6) {
  const device = await sharedDevice(name);
  const dtype = name === "reference" ? ("float64" as const) : ("float32" as const);
  const random = new Random(seed);
  const of = (values: ArrayLike<number>, ...shape: number[]): Tensor =>
    tensor(Float64Array.from(values), shape, { device, dtype });
  const normal = (...shape: number[]): Tensor => of(random.normals(shape.reduce((a, b) => a * b)), ...shape);
  return { options: { device, dtype, random }, random, of, normal };
}

const part = (x: Tensor, start: number, end: number): Tensor => slice(x, { axis: 1, start, end });
const regular = (length: number, step = 1): number[] => Array.from({ length }, (_, i) => 7 + i * step);

for (const name of ["reference", ...fastBackends.filter((one) => one === "wasm")] as DeviceName[]) {
  describe(`S4D at given times on ${name}`, () => {
    for (const discretization of ["zoh", "bilinear"] as const) {
      it(`${discretization}: equally spaced, gives what the convolution gives, wherever it is cut`, async () => {
        const { options, normal } = await setUp(name);
        const layer = S4Layer.create(
          { ...diagonal, discretization },
          { channels: 2, keepB: discretization === "zoh" },
          options,
        );
        const u = normal(2, 37, 3);
        const tolerance = name === "reference" ? 1e-12 : 1e-5;
        const expected = await layer.forward(u, { rate: 0.5 }).read();
        const timeStamps = [regular(37, 0.5), regular(37, 0.5)];
        expect(maxError(await layer.forward(u, { timeStamps }).read(), expected)).toBeLessThan(tolerance);
        for (const cut of [0, 16, 37]) {
          const first = layer.run(part(u, 0, cut), { rate: 0.5 });
          const second = layer.forward(part(u, cut, 37), { rate: 0.5, state: first.state });
          expect(maxError(await concat([first.y, second], 1).read(), expected)).toBeLessThan(tolerance);
        }
      });
    }
  });
}

describe("gradients at equally spaced times", () => {
  for (const name of ["S4D", "LSSL"] as const) {
    it(`of ${name} are those of the convolution`, async () => {
      const { options, normal } = await setUp();
      const [u, weights] = [normal(2, 7, 3), normal(2, 7, 3)];
      const given =
        name === "S4D"
          ? S4Layer.create(diagonal, {}, options)
          : LsslLayer.create({ dModel: 3, dState: 4 }, {}, options);
      const timeStamps = [regular(7), regular(7)];
      const found = [{}, { timeStamps }].map((times) => {
        const objective = (leaf: typeof given.parameters): Tensor => {
          const layer = new (given.constructor as typeof S4Layer)(given.config as S4Config, leaf as never);
          return sum(mul(layer.forward(u, times), weights));
        };
        return new Map(flattenParameters(valueAndGrad(objective, given.parameters).gradients));
      });
      for (const [key, gradient] of found[0]!) {
        expect(maxError(await found[1]!.get(key)!.read(), await gradient.read()), key).toBeLessThan(1e-9);
      }
    });
  }
});

describe("S4Layer at given times", () => {
  it("refuses times that go back, and layers that cannot be scanned", async () => {
    const { options, normal } = await setUp();
    const layer = S4Layer.create(diagonal, {}, options);
    const u = normal(1, 3, 3);
    expect(() => layer.forward(u, { timeStamps: [[1, 3, 2]] })).toThrow(
      "S4Layer: timeStamps must be numbers that do not decrease",
    );
    const both = S4Layer.create({ ...diagonal, bidirectional: true }, {}, options);
    const lowRank = S4Layer.create({ ...diagonal, structure: "low-rank", kernelLength: 3 }, {}, options);
    for (const other of [both, lowRank]) {
      expect(() => other.forward(u, { timeStamps: [[1, 2, 3]] })).toThrow("must be diagonal and causal for a scan");
    }
  });
});

/** Times between 0 and 1 with `count` samples on average, jittered and with three in ten left out. */
function irregularTimes(count: number, seed: number): number[] {
  const random = new Random(seed);
  const all = Array.from({ length: count }, (_, i) => (i + 1 + 0.6 * (random.uniform() - 0.5)) / count);
  return [...all.slice(0, -1).filter(() => random.uniform() > 0.3), 1];
}

/** Of cos(9 t) between a time and the one before. */
const meanOf = (from: number, to: number): number => (Math.sin(9 * to) - Math.sin(9 * from)) / (9 * (to - from));

/** The state at time 1 of dx/dt = A x + B cos(9 t), by the classical method of Runge and Kutta in steps of 1e-4. */
function integrated(A: Float64Array, B: Float64Array): Float64Array {
  const size = B.length;
  const slope = (x: Float64Array, t: number): Float64Array =>
    B.map((b, n) => {
      let total = b * Math.cos(9 * t);
      for (let k = 0; k < size; k++) total += A[n * size + k]! * x[k]!;
      return total;
    });
  const h = 1e-4;
  let x: Float64Array = new Float64Array(size);
  for (let i = 0; i < 1e4; i++) {
    const along = (k: Float64Array, by: number): Float64Array => x.map((value, n) => value + by * k[n]!);
    const k1 = slope(x, i * h);
    const k2 = slope(along(k1, h / 2), (i + 0.5) * h);
    const k3 = slope(along(k2, h / 2), (i + 0.5) * h);
    const k4 = slope(along(k3, h), (i + 1) * h);
    x = x.map((value, n) => value + (h / 6) * (k1[n]! + 2 * k2[n]! + 2 * k3[n]! + k4[n]!));
  }
  return x;
}

describe("samples of a smooth signal, jittered and with three in ten left out", () => {
  /** Errors of states at time 1 from 100 and from 400 samples of the signal's means: the second is a sixteenth of the first. */
  async function checkOrder(error: (times: number[]) => Promise<number>): Promise<void> {
    const [coarse, fine] = [await error(irregularTimes(100, 1)), await error(irregularTimes(400, 1))];
    expect(fine).toBeLessThan(3e-4);
    expect(coarse / fine).toBeGreaterThan(8);
  }

  const means = (times: number[]): number[] => times.map((time, i) => meanOf(i > 0 ? times[i - 1]! : 0, time));
  const atRow = (times: number[]) => ({ timeStamps: [times], previousTimes: [0] });

  it("leave S4D with the state of the continuous system", async () => {
    const { options, of } = await setUp();
    const layer = S4Layer.create({ ...diagonal, dModel: 1 }, { init: "lin", dtMin: 1, dtMax: 1 }, options);
    // x(1) of dx/dt = a x + cos(9 t): the real part of (exp(9 i) - exp(a)) / (9 i - a), for each sign of 9
    const expected = [1e-4, Math.PI, 2 * Math.PI, 3 * Math.PI].flatMap((turns) => {
      let [re, im] = [0, 0];
      for (const w of [9, -9]) {
        const decay = Math.exp(-0.5);
        const above = [Math.cos(w) - decay * Math.cos(turns), Math.sin(w) + decay * Math.sin(turns)] as const;
        const below = [0.5, w + turns] as const;
        const size = below[0] ** 2 + below[1] ** 2;
        re += (above[0] * below[0] + above[1] * below[1]) / size / 2;
        im += (above[1] * below[0] - above[0] * below[1]) / size / 2;
      }
      return [re, im];
    });
    await checkOrder(async (times) => {
      const { state } = layer.run(of(means(times), 1, times.length, 1), atRow(times));
      return maxError(await state.read(), Float64Array.from(expected));
    });
  });

  it("leave LSSL with the state of the continuous system", async () => {
    const { options, of } = await setUp();
    const layer = LsslLayer.create({ dModel: 1, dState: 4 }, { dtMin: 1, dtMax: 1 }, options);
    const A = (await denseTransition(layer.parameters.transition).read()) as Float64Array;
    const expected = integrated(A, Float64Array.of(1, Math.sqrt(3), Math.sqrt(5), Math.sqrt(7)));
    await checkOrder(async (times) => {
      const { state } = layer.run(of(means(times), 1, times.length, 1), atRow(times));
      return maxError(await state.read(), expected);
    });
  });
});

describe("a signal that is sampled half as often", () => {
  const layers: Record<string, (options: Awaited<ReturnType<typeof setUp>>["options"]) => S4Layer | LsslLayer> = {
    S4D: (options) => S4Layer.create(diagonal, { dtMax: 0.01 }, options),
    S4: (options) =>
      S4Layer.create({ ...diagonal, structure: "low-rank", kernelLength: 128 }, { dtMax: 0.01 }, options),
    LSSL: (options) => LsslLayer.create({ dModel: 3, dState: 8 }, { dtMax: 0.01 }, options),
  };
  for (const [name, create] of Object.entries(layers)) {
    it(`gives ${name} about the same outputs at rate 2, without training`, async () => {
      const { options, of } = await setUp();
      const layer = create(options);
      const signal = (t: number, feature: number): number => Math.cos(0.05 * t + feature) + Math.sin(0.02 * t);
      const samples = (length: number, step: number, shift: number): Tensor =>
        of(
          Array.from({ length: length * 3 }, (_, i) => signal(Math.floor(i / 3) * step + shift, i % 3)),
          1,
          length,
          3,
        );
      const full = (await layer.forward(samples(128, 1, 1)).read()) as Float64Array;
      // a sample stands for what lies before it
      const half = (await layer.forward(samples(64, 2, 2), { rate: 2 }).read()) as Float64Array;
      const common = Float64Array.from(half, (_, i) => full[(Math.floor(i / 3) * 2 + 1) * 3 + (i % 3)]!);
      expect(maxError(half, common)).toBeLessThan(0.02);
      const pretended = (await layer.forward(samples(64, 2, 2)).read()) as Float64Array;
      expect(maxError(pretended, common)).toBeGreaterThan(0.06);
    });
  }
});

describe("MambaMixer at given times", () => {
  const config = {
    dModel: 4,
    dInner: 6,
    dState: 3,
    dConv: 3,
    dtRank: 2,
    bias: false,
    convBias: true,
    mixerNormEpsilon: 0,
  };
  const start = { dtMin: 0.01, dtMax: 0.5, dtFloor: 1e-4, dtScheme: "random", dtScale: 1, outProjDivisor: 1 } as const;

  it("runs as without them where they are a step apart, and stands still where no time passes", async () => {
    const { options, normal, of } = await setUp();
    const mixer = new MambaMixer(config, initialiseMambaMixer(config, start, options));
    const x = normal(2, 9, 4);
    const expected = mixer.forward(x);
    const given = mixer.forward(x, { timeStamps: [regular(9), regular(9)] });
    expect(maxError(await given.y.read(), await expected.y.read())).toBeLessThan(1e-12);
    const { state } = mixer.forward(x, { state: expected.state, deltas: of(new Float64Array(18), 2, 9) });
    expect(maxError(await state.ssm.read(), await expected.state.ssm.read())).toBeLessThan(1e-15);
    expect(() => mixer.forward(x, { timeStamps: [regular(9), regular(9, -1)] })).toThrow(
      "MambaMixer: timeStamps must be",
    );
    expect(() => mixer.forward(x, { timeStamps: [regular(9), regular(9)], reverse: true })).toThrow("run from the end");
  });

  it("has the gradient by what lies between samples that differences give", async () => {
    const { options, normal, random, of } = await setUp();
    const mixer = new MambaMixer(config, initialiseMambaMixer(config, start, options));
    const x = normal(1, 5, 4);
    const [at, weights, direction] = [
      Float64Array.from({ length: 5 }, () => random.uniform()),
      normal(1, 5, 4),
      random.normals(5),
    ];
    const objective = (deltas: Tensor): Tensor => sum(mul(mixer.forward(x, { deltas }).y, weights));
    const { gradients } = valueAndGrad(({ deltas }) => objective(deltas), { deltas: of(at, 1, 5) });
    const gradient = await gradients.deltas.read();
    const moved = (by: number): Promise<number> =>
      objective(
        of(
          at.map((d, i) => d + by * direction[i]!),
          1,
          5,
        ),
      ).item();
    const numeric = ((await moved(1e-5)) - (await moved(-1e-5))) / 2e-5;
    const analytic = direction.reduce((total, d, i) => total + d * gradient[i]!, 0);
    expect(Math.abs(numeric - analytic) / Math.abs(numeric)).toBeLessThan(1e-6);
  });
});
