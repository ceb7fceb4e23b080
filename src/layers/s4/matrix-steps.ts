import { add, mul, sub } from "../../ops/elementwise/index.ts";
import { matmul } from "../../ops/matmul/index.ts";
import { reshape, transpose } from "../../ops/movement/index.ts";
import { sum } from "../../ops/reduce/index.ts";
import { ConfigError } from "../../tensor/errors.ts";
import { type Tensor, tensor } from "../../tensor/tensor.ts";
import { type ComplexTensor, complexAdd, complexMul, complexOf, joined, scaled } from "./complex.ts";
import { bilinear, continuous, type LowRankFeature, solve } from "./dense.ts";
import { complexEigen } from "./eigen.ts";
import { composedSteps, pairOutputs, type S4Steps } from "./steps.ts";

/** A low-rank system on the host: features, with B [half 2] and C [channels half 2] of each. */
export interface HostSystem {
  readonly features: readonly LowRankFeature[];
  readonly B: readonly Float64Array[];
  readonly C: readonly Float64Array[];
  readonly channels: number;
  /** Where steps are taken, and in which type. */
  readonly like: Tensor;
}

/** Half of each pair as all of them, [2 half, 2]. */
function whole(x: Float64Array): Float64Array {
  const out = new Float64Array(2 * x.length);
  out.set(x);
  for (let i = 0; i < x.length; i++) out[x.length + i] = i % 2 === 0 ? x[i]! : -x[i]!;
  return out;
}

function upload(parts: readonly Float64Array[], shape: readonly number[], { device, dtype }: Tensor): Tensor {
  const values = new Float64Array(parts.reduce((total, { length }) => total + length, 0));
  let at = 0;
  for (const part of parts) {
    values.set(part, at);
    at += part.length;
  }
  return tensor(values, [parts.length, ...shape], { device, dtype });
}

/**
 * A-bar as a matrix of real numbers on (real, imaginary) parts, which multiplies a state at once: N^2 numbers a feature, and as many
 * multiplications a step.
 */
export function denseSteps({ features, B, C, channels, like }: HostSystem): S4Steps {
  const { half } = features[0]!;
  const size = 2 * half;
  const A = upload(features.map(realMatrix), [size, size], like);
  const input = upload(
    features.map((feature, i) => discreteInput(feature, B[i]!).slice(0, size)),
    [size, 1],
    like,
  );
  const own = Array.from({ length: channels }, (_, channel) =>
    upload(
      C.map((rows) => rows.subarray(channel * size, (channel + 1) * size)),
      [half, 2],
      like,
    ),
  );
  return composedSteps({
    stateShape: [features.length, half, 2],
    kept: [A, input, ...own],
    next: (state, u) => {
      const [batch] = u.shape as [number];
      const x = transpose(reshape(state, [batch, features.length, size]), [1, 2, 0]);
      const given = reshape(transpose(u), [features.length, 1, batch]);
      return reshape(transpose(add(matmul(A, x), mul(input, given)), [2, 0, 1]), state.shape);
    },
    outputs: (state) => pairOutputs(own, state),
  });
}

/** x' = F x + G conj(x) for halves of pairs, on real and imaginary parts side by side. */
function realMatrix(feature: LowRankFeature): Float64Array {
  const { half } = feature;
  const size = 2 * half;
  const A = bilinear(feature);
  const out = new Float64Array(size * size);
  for (let i = 0; i < half; i++) {
    for (let j = 0; j < half; j++) {
      const [f, g] = [2 * (i * size + j), 2 * (i * size + half + j)];
      const at = 2 * i * size + 2 * j;
      out[at] = A[f]! + A[g]!;
      out[at + 1] = A[g + 1]! - A[f + 1]!;
      out[at + size] = A[f + 1]! + A[g + 1]!;
      out[at + size + 1] = A[f]! - A[g]!;
    }
  }
  return out;
}

/** dt (1 - dt A / 2)^-1 B over whole pairs. */
function discreteInput(feature: LowRankFeature, B: Float64Array): Float64Array {
  const { dt, half } = feature;
  const below = continuous(feature).map((x, i) => (i % (4 * half + 2) === 0 ? 1 : 0) - (dt / 2) * x);
  return solve(
    below,
    whole(B).map((x) => dt * x),
    2 * half,
    1,
  );
}

/** What the type's rounding may become at worst in the basis of eigenvectors; what it does become is far less. */
const MOST_ERROR = 1e-3;

/**
 * Steps in the basis of A's eigenvectors V, where A-bar is diagonal: [dModel N 2], V^-1 x in the place of x. Fast, but only as good as V:
 * rounding grows by its condition, which for HiPPO-LegS is more than 2^N.
 *
 * @throws ConfigError if condition times rounding is above 1e-3, as for LegS with 8 states in float32
 */
export function eigenSteps({ features, B, C, channels, like }: HostSystem): S4Steps {
  const { half } = features[0]!;
  const size = 2 * half;
  const bases = new Map<string, ReturnType<typeof basisOf>>();
  const A: Float64Array[] = [];
  const input: Float64Array[] = [];
  const rows: Float64Array[][] = Array.from({ length: channels }, () => []);
  for (const [i, feature] of features.entries()) {
    const key = `${feature.A}|${feature.P}`;
    const basis = bases.get(key) ?? basisOf(feature, like);
    bases.set(key, basis);
    const b = solve(basis.V, whole(B[i]!), size, 1);
    A.push(new Float64Array(2 * size));
    input.push(new Float64Array(2 * size));
    for (let n = 0; n < size; n++) {
      const [re, im] = [(feature.dt / 2) * basis.values[2 * n]!, (feature.dt / 2) * basis.values[2 * n + 1]!];
      const below = (1 - re) ** 2 + im ** 2;
      A[i]!.set([(1 - re * re - im * im) / below, (2 * im) / below], 2 * n);
      const by = [((1 - re) * feature.dt) / below, (im * feature.dt) / below] as const;
      input[i]!.set([b[2 * n]! * by[0] - b[2 * n + 1]! * by[1], b[2 * n]! * by[1] + b[2 * n + 1]! * by[0]], 2 * n);
    }
    for (const [channel, own] of rows.entries()) {
      own.push(rowTimes(whole(C[i]!.slice(channel * size, (channel + 1) * size)), basis.V, size));
    }
  }
  const shape = [size, 2];
  const [decay, given] = [upload(A, shape, like), upload(input, shape, like)];
  const seen = rows.map((own) => upload(own, shape, like));
  const column = (u: Tensor): Tensor => reshape(u, [...u.shape, 1, 1]);
  const realPart = (a: ComplexTensor, b: ComplexTensor): Tensor =>
    sum(sub(mul(a.re, b.re), mul(a.im, b.im)), { axis: [-2, -1] });
  return composedSteps({
    stateShape: [features.length, size, 2],
    kept: [decay, given, ...seen],
    next: (state, u) =>
      joined(complexAdd(complexMul(complexOf(decay), complexOf(state)), scaled(complexOf(given), column(u)))),
    outputs: (state) => seen.map((own) => realPart(complexOf(own), complexOf(state))),
  });
}

function basisOf(feature: LowRankFeature, { dtype }: Tensor): { values: Float64Array; V: Float64Array } {
  const size = 2 * feature.half;
  const basis = complexEigen(continuous(feature), size);
  const one = Float64Array.from({ length: 2 * size * size }, (_, i) => (i % (2 * size + 2) === 0 ? 1 : 0));
  const condition = Math.hypot(...basis.V) * Math.hypot(...solve(basis.V, one, size, size));
  const rounding = dtype === "float64" ? 2 ** -53 : 2 ** -24;
  if (condition * rounding <= MOST_ERROR) return basis;
  throw new ConfigError(
    `S4Recurrence: in mode diagonal, eigenvectors must be far enough from each other for ${dtype}; their matrix has condition ${condition.toExponential(1)}; use mode linear`,
    { mode: "diagonal", condition },
  );
}

/** x V for a row x. */
function rowTimes(x: Float64Array, V: Float64Array, size: number): Float64Array {
  const out = new Float64Array(2 * size);
  for (let i = 0; i < size; i++) {
    for (let j = 0; j < size; j++) {
      const at = 2 * (i * size + j);
      out[2 * j]! += x[2 * i]! * V[at]! - x[2 * i + 1]! * V[at + 1]!;
      out[2 * j + 1]! += x[2 * i]! * V[at + 1]! + x[2 * i + 1]! * V[at]!;
    }
  }
  return out;
}
