import type { ReferenceContext, ReferenceKernel } from "../../backends/reference/index.ts";
import type { TypedArray } from "../../tensor/dtype.ts";
import { logSumExpOf } from "../cross-entropy/reference.ts";

/** Calls `f` with the start of every line of the last axis and its length. */
function forEachLine(
  { axes }: ReferenceContext,
  elements: TypedArray,
  f: (start: number, count: number) => void,
): void {
  const count = axes["classes"]!;
  for (let start = 0; start < elements.length; start += count) f(start, count);
}

/** y = finish(x - ln sum of exp(x)). */
function normalised(finish: (logProbability: number) => number): ReferenceKernel {
  return (context) => {
    const [x, y] = [context.input("x"), context.output("y")];
    forEachLine(context, y, (start, count) => {
      const total = logSumExpOf(x, start, count);
      for (let i = start; i < start + count; i++) y[i] = finish(x[i]! - total);
    });
  };
}

const softmaxBackward: ReferenceKernel = (context) => {
  const [y, dy, dx] = [context.input("y"), context.input("dy"), context.output("dx")];
  forEachLine(context, dx, (start, count) => {
    let dot = 0;
    for (let i = start; i < start + count; i++) dot += y[i]! * dy[i]!;
    for (let i = start; i < start + count; i++) dx[i] = y[i]! * (dy[i]! - dot);
  });
};

const logSoftmaxBackward: ReferenceKernel = (context) => {
  const [y, dy, dx] = [context.input("y"), context.input("dy"), context.output("dx")];
  forEachLine(context, dx, (start, count) => {
    let sum = 0;
    for (let i = start; i < start + count; i++) sum += dy[i]!;
    for (let i = start; i < start + count; i++) dx[i] = dy[i]! - Math.exp(y[i]!) * sum;
  });
};

/** Reference kernels of this folder. */
export const softmaxReference = {
  softmax: normalised(Math.exp),
  softmaxBackward,
  logSoftmax: normalised((logProbability) => logProbability),
  logSoftmaxBackward,
} as const satisfies Record<string, ReferenceKernel>;
