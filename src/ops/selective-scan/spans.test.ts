import { describe, expect, it } from "vitest";
import { emulatedSubgroups } from "../../../test/kit/emulated-subgroups.ts";
import { fastBackends, maxError, normal, sharedDevice, uniform } from "../../../test/kit/test-op.ts";
import { valueAndGrad } from "../../autograd/index.ts";
import type { Device } from "../../tensor/device.ts";
import type { TypedArray } from "../../tensor/dtype.ts";
import { Random } from "../../tensor/random.ts";
import { type Tensor, tensor } from "../../tensor/tensor.ts";
import { openDevice } from "../devices.ts";
import { add, mul } from "../elementwise/index.ts";
import { sum } from "../reduce/index.ts";
import { type SelectiveScanOptions, selectiveScan } from "./index.ts";

/** A scan to evaluate; B and C have `groups` groups, or are constant for 0 groups. */
interface Setting {
  readonly batch: number;
  readonly length: number;
  readonly channels: number;
  readonly state: number;
  readonly groups: number;
  readonly reverse?: boolean;
  /** Segment of a time; all in one if left out. */
  readonly segment?: (time: number) => number;
  readonly segments?: number;
}

/** Outputs and gradients of everything, by name. */
async function evaluate(device: Device, setting: Setting): Promise<Record<string, TypedArray>> {
  const { batch, length, channels, state, groups, reverse, segment, segments } = setting;
  const random = new Random(21);
  const dtype = device.name === "reference" ? "float64" : "float32";
  const draw = (shape: number[], fill = normal): Tensor =>
    tensor(Float64Array.from(fill(random, shape), Math.fround), shape, { device, dtype });
  const rows = [batch, length, channels];
  const selective = groups === 0 ? [channels, state] : [batch, length, groups, state];
  const leaves = {
    ...{ u: draw(rows), delta: draw(rows), A: draw([channels, state], uniform(-2, -0.01)) },
    ...{ B: draw(selective), C: draw(selective), D: draw([channels]), z: draw(rows) },
    ...{ deltaBias: draw([channels], uniform(-5, -2)), initialState: draw([batch, channels, state]) },
  };
  const ids = segment && Int32Array.from({ length: batch * length }, (_, i) => segment(i % length));
  const segmentIds = ids && tensor(ids, [batch, length], { device });
  const weights = draw(rows);
  const stateWeights = draw([batch, channels, state]);
  const { value, aux, gradients } = valueAndGrad(({ u, delta, A, B, C, ...rest }: Record<string, Tensor>) => {
    const options: SelectiveScanOptions = { ...rest, deltaSoftplus: true, reverse, segmentIds, segments };
    const made = selectiveScan(u!, delta!, A!, B!, C!, options);
    const total = add(sum(mul(made.y, weights)), sum(mul(made.finalState, stateWeights)));
    return { value: made.finalStates ? add(total, sum(made.finalStates)) : total, aux: made };
  }, leaves);
  const read: Record<string, TypedArray> = { value: await value.read() };
  for (const [name, made] of Object.entries({ ...aux!, ...gradients })) read[name] = await made.read();
  return read;
}

// as many states everywhere, so that settings share programs
const few = { batch: 2, length: 900, channels: 6, state: 3 };
const settings: Record<string, Setting> = {
  "one group": { ...few, groups: 1 },
  "two groups in reverse": { ...few, groups: 2, reverse: true },
  "constant B and C": { ...few, groups: 0 },
  "constant B and C in reverse": { ...few, groups: 0, reverse: true },
  "padding longer than chunks and spans on all sides": {
    ...{ ...few, groups: 1, segments: 2 },
    segment: (time) => (time < 310 || time >= 790 || (time >= 400 && time < 580) ? -1 : time < 600 ? 0 : 1),
  },
  "segments that begin with chunks, in reverse": {
    ...{ ...few, length: 896, groups: 2, segments: 3, reverse: true },
    segment: (time) => (time < 256 ? 2 : time < 512 ? 1 : 0),
  },
  "nothing but padding": { ...few, groups: 1, segments: 1, segment: () => -1 },
  "sums over 4096 steps of one span": { batch: 16, length: 4096, channels: 3, state: 3, groups: 1 },
  "channels enough for one span, padded on the left": {
    ...{ batch: 1, length: 200, channels: 258, state: 3, groups: 1 },
    segment: (time) => (time < 150 ? -1 : 0),
  },
};

describe.each(fastBackends)("selectiveScan over spans of time on %s", (backend) => {
  it.each(Object.entries(settings))("has the outputs and gradients of float64: %s", async (_, setting) => {
    const expected = await evaluate(await sharedDevice("reference"), setting);
    const actual = await evaluate(await sharedDevice(backend), setting);
    expect(Object.keys(actual)).toEqual(Object.keys(expected));
    for (const [name, values] of Object.entries(expected))
      expect(maxError(actual[name]!, values), name).toBeLessThan(3e-6);
  });

  // a software GPU walks a single channel slowly: the million steps are part of the benchmark on a card
  const length = backend === "webgpu" ? 1 << 16 : 1 << 20;

  it(`stays within 1e-4 of float64 over ${length} steps that decay by 5e-5 each`, async () => {
    const results: TypedArray[][] = [];
    for (const name of ["reference", backend] as const) {
      const device = await sharedDevice(name);
      const dtype = name === "reference" ? "float64" : "float32";
      const random = new Random(8);
      const draw = (): Tensor =>
        tensor(Float64Array.from(random.normals(length), Math.fround), [1, length, 1], { device, dtype });
      const delta = tensor(new Float32Array(length).fill(1), [1, length, 1], { device, dtype });
      const A = tensor(Float32Array.of(-5e-5), [1, 1], { device, dtype });
      const weights = draw();
      const leaves = { u: draw(), delta, A, B: draw(), C: draw() };
      const { aux, gradients } = valueAndGrad((p: Record<string, Tensor>) => {
        const made = selectiveScan(p["u"]!, p["delta"]!, p["A"]!, p["B"]!, p["C"]!);
        return { value: sum(mul(made.y, weights)), aux: made };
      }, leaves);
      const read: TypedArray[] = [];
      for (const made of [aux!.y, aux!.finalState, ...Object.values(gradients)]) {
        read.push(await made.read());
        made.dispose();
      }
      for (const made of [weights, ...Object.values(leaves)]) made.dispose();
      results.push(read);
    }
    const [expected, actual] = results as [TypedArray[], TypedArray[]];
    expected.forEach((values, k) => {
      expect(maxError(actual[k]!, values), `result ${k}`).toBeLessThan(1e-4);
    });
  });
});

describe.runIf(fastBackends.includes("wasm"))("selectiveScan on wasm", () => {
  it.each(["two groups in reverse", "padding longer than chunks and spans on all sides"])(
    "gives the same bits for any number of threads: %s",
    async (name) => {
      let first: Record<string, TypedArray> | undefined;
      for (const threads of [0, 1, 2, 3]) {
        using device = await openDevice("wasm", { threads });
        const made = await evaluate(device, settings[name]!);
        first ??= made;
        expect(made, `${threads} threads`).toEqual(first);
      }
    },
  );

  it("gives zero end states for segments that do not occur, whatever their memory held before", async () => {
    using device = await openDevice("wasm", { threads: 1 });
    const filled = (shape: number[], value: number): Tensor =>
      tensor(new Float32Array(shape.reduce((product, size) => product * size, 1)).fill(value), shape, { device });
    const inputs = [filled([1, 10, 8], 1), filled([1, 10, 8], 0.1), filled([8, 2], -1), filled([1, 10, 2], 1)] as const;
    const segmentIds = tensor(Int32Array.of(0, 0, 0, 0, 0, 2, 2, 2, 2, 2), [1, 10], { device });
    const before = filled([100_000], 7000);
    await before.read();
    before.dispose();
    const { finalStates } = selectiveScan(...inputs, inputs[3], { segmentIds, segments: 4 });
    const values = await finalStates!.read();
    for (const [segment, occurs] of [true, false, true, false].entries()) {
      const own = values.slice(segment * 16, segment * 16 + 16);
      expect(own.every((value) => (occurs ? value > 0.4 && value < 0.5 : value === 0))).toBe(true);
    }
  });
});

describe.runIf(fastBackends.includes("webgpu"))("selectiveScan on webgpu", () => {
  it.each(["constant B and C", "segments that begin with chunks, in reverse"])(
    "has the outputs and gradients of float64 with eight buffers and 16 KiB of workgroup memory: %s",
    async (name) => {
      const expected = await evaluate(await sharedDevice("reference"), settings[name]!);
      const actual = await evaluate(await sharedDevice("plain webgpu"), settings[name]!);
      for (const [output, values] of Object.entries(expected))
        expect(maxError(actual[output]!, values), output).toBeLessThan(3e-6);
    },
  );
});

describe.runIf(fastBackends.includes("webgpu"))("selectiveScan on webgpu with subgroups as cards have them", () => {
  const segment = (time: number): number => (time < 70 ? 0 : 1);
  // seven states are shared by two threads, sixteen by four; programs take long to compile, and several cases have the same ones
  const cases: [string, number, Setting, number?][] = [
    ["whole sequences", 16, { batch: 2, length: 150, channels: 20, state: 7, groups: 1 }],
    ["whole sequences, constant B and C", 16, { batch: 2, length: 70, channels: 6, state: 16, groups: 0 }],
    ["sequences in ranges", 16, { batch: 3, length: 70, channels: 12, state: 7, groups: 1 }, 20_000],
    [
      "pieces, two groups, in reverse",
      32,
      { batch: 1, length: 600, channels: 24, state: 16, groups: 2, reverse: true },
    ],
    [
      "pieces and ranges of them",
      32,
      { batch: 2, length: 600, channels: 12, state: 16, groups: 1, reverse: true },
      2 ** 17,
    ],
    ["segments", 32, { batch: 1, length: 150, channels: 20, state: 3, groups: 1, segments: 2, segment }],
  ];
  // SwiftShader takes ten seconds to compile one; cards run them all
  const chosen = process.env["MAMBA_TEST_GPU"] === "system" ? cases : cases.slice(1, 4);
  it.each(chosen)(
    "has the outputs and gradients of float64: %s, subgroups of %i",
    async (_, size, setting, bindingBytes) => {
      const expected = await evaluate(await sharedDevice("reference"), setting);
      const { device, told } = await emulatedSubgroups(size);
      told.bindingBytes = bindingBytes;
      const actual = await evaluate(device, setting);
      for (const [output, values] of Object.entries(expected))
        expect(maxError(actual[output]!, values), output).toBeLessThan(3e-6);
    },
  );
});
