import { beforeAll, describe, expect, it } from "vitest";
import { valueAndGrad } from "../../src/autograd/index.ts";
import { openDevice } from "../../src/ops/devices.ts";
import { add, mul } from "../../src/ops/elementwise/index.ts";
import { apply, type Op } from "../../src/ops/op.ts";
import { sum } from "../../src/ops/reduce/index.ts";
import type { Argument } from "../../src/ops/signature.ts";
import type { Device, DeviceName, Params } from "../../src/tensor/device.ts";
import { isFloat, type TypedArray } from "../../src/tensor/dtype.ts";
import { Random } from "../../src/tensor/random.ts";
import { scope } from "../../src/tensor/scope.ts";
import { type Shape, sizeOf } from "../../src/tensor/shape.ts";
import { type Tensor, tensor } from "../../src/tensor/tensor.ts";
import { type GpuProfile, gpuProfiles, openValidator, type ShaderValidator } from "./null-gpu.ts";
import { useSoftwareGpu } from "./software-gpu.ts";

/** Fills one input: from a generator and a shape to float64 values (or int32 for indices). */
export type Fill = (random: Random, shape: Shape) => Float64Array | Int32Array;

/** One set of sizes to try an op with. */
export interface OpCase {
  /** Sizes of the signature's named axes; `...` is under `leading`. */
  readonly axes?: Readonly<Record<string, number>>;
  readonly leading?: Shape;
  /** Shapes of the arguments that the signature leaves open (`[*]`). */
  readonly shapes?: Readonly<Record<string, Shape>>;
  readonly params?: Params;
  /** How inputs are drawn; default standard normal. */
  readonly fill?: Readonly<Record<string, Fill>>;
  /** Optional inputs to leave out. */
  readonly omit?: readonly string[];
  /** Outputs that the check ignores; default none. */
  readonly ignore?: readonly string[];
  /** Inputs without a gradient, besides the integer ones. */
  readonly constant?: readonly string[];
  /** Error / largest absolute reference; default 1e-5. */
  readonly tolerance?: number;
  /** Only checks the shaders: on a software GPU, they take seconds to compile and show what those of other cases show. */
  readonly skipsGpu?: boolean;
}

/** How an op is tried. */
export interface OpTest {
  readonly cases: readonly OpCase[];
  /** Applies the op through another function than `apply`, e.g. where saved outputs must be asked for. */
  readonly run?: (inputs: Record<string, Tensor>, params: Params) => Record<string, Tensor>;
  /** False for ops that are themselves gradients. */
  readonly differentiable?: boolean;
}

const devices = new Map<string, Promise<Device>>();

/** One device of a kind for all tests of a process: on a software GPU it takes longer to compile programs than to run them. */
export function sharedDevice(name: DeviceName | "plain webgpu"): Promise<Device> {
  const known = devices.get(name) ?? openTestDevice(name);
  devices.set(name, known);
  return known;
}

/** @param name - "plain webgpu" has no feature, and no limit above the default ones */
async function openTestDevice(name: DeviceName | "plain webgpu"): Promise<Device> {
  if (name.endsWith("webgpu")) await useSoftwareGpu();
  if (name === "plain webgpu") return openDevice("webgpu", { plainGpu: true });
  return openDevice(name, { threads: 2 });
}

/**
 * Backends that are held to the reference, besides itself: all fast ones, or those that the environment
 * variable MAMBA_TEST_BACKENDS names, separated by commas (empty for the reference alone).
 */
export const fastBackends: readonly DeviceName[] = (process.env["MAMBA_TEST_BACKENDS"] ?? "wasm,webgpu")
  .split(",")
  .filter(Boolean) as DeviceName[];

/** Kinds of GPU that shaders are validated for; a machine with a card of its own is for other tests. */
const validatedProfiles =
  fastBackends.includes("webgpu") && process.env["MAMBA_TEST_GPU"] !== "system" ? gpuProfiles : [];

const validators = new Map<GpuProfile, Promise<ShaderValidator>>();

function sharedValidator(profile: GpuProfile): Promise<ShaderValidator> {
  const known = validators.get(profile) ?? openValidator(profile);
  validators.set(profile, known);
  return known;
}

/**
 * Where the first cases are enough, as in a browser, whose GPU is held to the same reference in Node already: how many of each op, by
 * the environment variable MAMBA_TEST_CASES. Gradients are then not held to differences.
 */
const sampledCases = Number(process.env["MAMBA_TEST_CASES"] ?? 0);

/** Standard normal values. */
export const normal: Fill = (random, shape) => random.normals(sizeOf(shape));
/** Uniform values between two bounds. */
export const uniform =
  (low: number, high: number): Fill =>
  (random, shape) =>
    Float64Array.from({ length: sizeOf(shape) }, () => low + (high - low) * random.uniform());
/** Indices below a bound. */
export const indices =
  (bound: number): Fill =>
  (random, shape) =>
    Int32Array.from({ length: sizeOf(shape) }, () => random.integer(bound));

/**
 * Holds an op to its contract on every backend: its gradient to central differences in float64, and every
 * backend's outputs and gradients to the float64 reference.
 */
export function testOp(op: Op, { cases, run, differentiable = op.gradient !== undefined }: OpTest): void {
  if (!differentiable && fastBackends.length === 0) return;
  const execute = run ?? ((inputs, params) => apply(op, inputs, params));
  describe(op.name, () => {
    cases.slice(0, sampledCases || cases.length).forEach((given, number) => {
      const title = caseTitle(given, number);
      const drawn = drawInputs(op, given, number);
      let oracle: Evaluation;
      beforeAll(async () => {
        oracle = await evaluate(await sharedDevice("reference"), given, drawn, execute, differentiable);
      });
      if (differentiable && sampledCases === 0) {
        it(`has the gradient that central differences give: ${title}`, async () => {
          await checkDifferences(op, await sharedDevice("reference"), given, drawn, execute, oracle);
        });
      }
      for (const profile of validatedProfiles) {
        it(`has valid shaders for ${profile.name}: ${title}`, async () => {
          const { device, problems } = await sharedValidator(profile);
          await evaluate(device, given, drawn, execute, differentiable);
          expect(await problems()).toEqual([]);
        });
      }
      for (const name of backendsFor(given)) {
        it(`is the same on ${name} as in float64: ${title}`, async () => {
          const actual = await evaluate(await sharedDevice(name), given, drawn, execute, differentiable);
          expectClose(actual.outputs, oracle.outputs, given.tolerance ?? 1e-5, "output");
          expectClose(actual.gradients, oracle.gradients, given.tolerance ?? 1e-5, "gradient");
        });
      }
    });
  });
}

const backendsFor = ({ skipsGpu }: OpCase): readonly DeviceName[] =>
  skipsGpu && process.env["MAMBA_TEST_GPU"] !== "system"
    ? fastBackends.filter((name) => name !== "webgpu")
    : fastBackends;

type Drawn = Record<string, { shape: Shape; values: Float64Array | Int32Array }>;
type Arrays = Record<string, TypedArray>;
interface Evaluation {
  outputs: Arrays;
  gradients: Arrays;
}

function caseTitle({ axes, leading, shapes, params, omit }: OpCase, number: number): string {
  const facts = { ...(leading ? { leading } : {}), ...axes, ...shapes, ...params, ...(omit ? { omit } : {}) };
  return `#${number} ${JSON.stringify(facts).replaceAll('"', "")}`;
}

function drawInputs(op: Op, given: OpCase, number: number): Drawn {
  const random = new Random(1000 + number);
  const drawn: Drawn = {};
  const names = op.variadic ? Object.keys(given.shapes ?? {}) : op.signature.inputs.map((input) => input.name);
  for (const name of names) {
    if (given.omit?.includes(name)) continue;
    const argument = op.signature.inputs.find((input) => input.name === name);
    const shape = given.shapes?.[name] ?? shapeOf(argument!, given);
    const values = (given.fill?.[name] ?? normal)(random, shape);
    // values that float32 can hold, so that every backend starts from the same numbers
    drawn[name] = { shape, values: values instanceof Int32Array ? values : Float64Array.from(values, Math.fround) };
  }
  return drawn;
}

function shapeOf(argument: Argument, { axes, leading }: OpCase): number[] {
  return argument.axes.flatMap((axis) => {
    if (axis.kind === "leading") return [...(leading ?? [])];
    if (axis.kind === "fixed") return [axis.size];
    const size = axis.kind === "named" ? axes?.[axis.name] : undefined;
    if (size === undefined || axis.kind !== "named") throw new Error(`test case lacks the size of ${axis.text}`);
    return [size + axis.plus];
  });
}

function upload(device: Device, drawn: Drawn): Record<string, Tensor> {
  const dtype = device.name === "reference" ? "float64" : "float32";
  return Object.fromEntries(
    Object.entries(drawn).map(([name, { shape, values }]) => [
      name,
      tensor(values, shape, { device, dtype: values instanceof Int32Array ? "int32" : dtype }),
    ]),
  );
}

async function evaluate(
  device: Device,
  given: OpCase,
  drawn: Drawn,
  execute: NonNullable<OpTest["run"]>,
  differentiable: boolean,
): Promise<Evaluation> {
  const inputs = upload(device, drawn);
  const params = given.params ?? {};
  const leaves = differentiable ? floatInputs(inputs, given) : {};
  let outputs: Record<string, Tensor> = {};
  let gradients: Record<string, Tensor> = {};
  if (Object.keys(leaves).length > 0) {
    const result = valueAndGrad<Record<string, Tensor>, Record<string, Tensor>>(() => {
      const made = execute(inputs, params);
      return { value: objective(device, made, given), aux: made };
    }, leaves);
    outputs = result.aux!;
    gradients = result.gradients;
  } else {
    outputs = execute(inputs, params);
  }
  const evaluation = { outputs: await readAll(outputs, given.ignore), gradients: await readAll(gradients) };
  for (const made of new Set([...Object.values(inputs), ...Object.values(outputs), ...Object.values(gradients)])) {
    made.dispose();
  }
  return evaluation;
}

function floatInputs(inputs: Record<string, Tensor>, given: OpCase): Record<string, Tensor> {
  return Object.fromEntries(
    Object.entries(inputs).filter(([name, input]) => isFloat(input.dtype) && !given.constant?.includes(name)),
  );
}

/** A fixed random weighting of all float outputs, so that every one of them has a gradient. */
function objective(device: Device, outputs: Record<string, Tensor>, given: OpCase): Tensor {
  const random = new Random(77);
  let total: Tensor | undefined;
  for (const [name, output] of Object.entries(outputs)) {
    const weights = random.normals(output.size);
    if (!isFloat(output.dtype) || given.ignore?.includes(name)) continue;
    const dtype = output.dtype;
    const weighted = sum(mul(output, tensor(Float64Array.from(weights, Math.fround), output.shape, { device, dtype })));
    total = total ? add(total, weighted) : weighted;
  }
  return total!;
}

async function readAll(tensors: Record<string, Tensor>, ignore: readonly string[] = []): Promise<Arrays> {
  const arrays: Arrays = {};
  for (const [name, made] of Object.entries(tensors)) if (!ignore.includes(name)) arrays[name] = await made.read();
  return arrays;
}

async function checkDifferences(
  op: Op,
  device: Device,
  given: OpCase,
  drawn: Drawn,
  execute: NonNullable<OpTest["run"]>,
  oracle: Evaluation,
): Promise<void> {
  const random = new Random(5);
  for (const [name, gradient] of Object.entries(oracle.gradients)) {
    const { values } = drawn[name]!;
    const direction = random.normals(values.length);
    const norm = Math.hypot(...sample(direction)) || 1;
    const step = 1e-5;
    const at = async (sign: number): Promise<number> => {
      const moved = Float64Array.from(values, (x, i) => x + sign * step * direction[i]!);
      const inputs = upload(device, { ...drawn, [name]: { ...drawn[name]!, values: moved } });
      const value = scope(() => objective(device, execute(inputs, given.params ?? {}), given));
      const result = await value.item();
      for (const input of [value, ...Object.values(inputs)]) input.dispose();
      return result;
    };
    const numeric = ((await at(1)) - (await at(-1))) / (2 * step);
    let analytic = 0;
    for (let i = 0; i < gradient.length; i++) analytic += gradient[i]! * direction[i]!;
    const scale = Math.max(1e-3, Math.abs(numeric), largest(gradient) * norm);
    expect(
      Math.abs(numeric - analytic) / scale,
      `${op.name}: d ${name}: ${analytic} but differences give ${numeric}`,
    ).toBeLessThan(1e-6);
  }
}

function sample(values: Float64Array): Float64Array {
  return values.subarray(0, 4096);
}

function largest(values: TypedArray): number {
  let most = 0;
  for (const x of values) most = Math.max(most, Math.abs(x));
  return most;
}

/** Every array within `tolerance` of the largest absolute value of its reference. */
export function expectClose(actual: Arrays, expected: Arrays, tolerance: number, what: string): void {
  expect(Object.keys(actual).sort()).toEqual(Object.keys(expected).sort());
  // a value that is zero in exact arithmetic comes out as what is left of others
  const floor = 1e-4 * Math.max(...Object.values(expected).map(largest));
  for (const [name, reference] of Object.entries(expected)) {
    const error = maxError(actual[name]!, reference, floor);
    expect(error, `${what} ${name}: error ${error} of the largest element`).toBeLessThanOrEqual(tolerance);
  }
}

/** Largest absolute difference over the largest absolute reference, or over `floor` if that is more; infinite if a NaN is not in both. */
export function maxError(actual: TypedArray, reference: TypedArray, floor = 1e-30): number {
  if (actual.length !== reference.length) return Number.POSITIVE_INFINITY;
  let error = 0;
  for (let i = 0; i < reference.length; i++) {
    const difference = Math.abs(actual[i]! - reference[i]!);
    if (difference > error) error = difference;
    else if (Number.isNaN(difference) && !(Number.isNaN(actual[i]!) && Number.isNaN(reference[i]!))) return Infinity;
  }
  return error === 0 ? 0 : error / Math.max(largest(reference), floor, 1e-30);
}
