import type { ReferenceContext, ReferenceKernel } from "../../backends/reference/index.ts";

/** Calls `f` with the start of every line along the middle axis, its length, and the distance of its elements. */
function forEachLine(
  { axes }: ReferenceContext,
  f: (line: { start: number; count: number; stride: number; index: number }) => void,
): void {
  const outer = axes["outer"]!;
  const count = axes["middle"]!;
  const inner = axes["inner"]!;
  for (let o = 0; o < outer; o++) {
    for (let i = 0; i < inner; i++) f({ start: o * count * inner + i, count, stride: inner, index: o * inner + i });
  }
}

const reduceSum: ReferenceKernel = (context) => {
  const x = context.input("x");
  const y = context.output("y");
  forEachLine(context, ({ start, count, stride, index }) => {
    let sum = 0;
    for (let k = 0; k < count; k++) sum += x[start + k * stride]!;
    y[index] = sum;
  });
};

const reduceMax: ReferenceKernel = (context) => {
  const x = context.input("x");
  const y = context.output("y");
  const at = context.output("at");
  forEachLine(context, ({ start, count, stride, index }) => {
    let best = 0;
    for (let k = 1; k < count; k++) if (x[start + k * stride]! > x[start + best * stride]!) best = k;
    y[index] = x[start + best * stride]!;
    at[index] = best;
  });
};

const reduceMaxBackward: ReferenceKernel = (context) => {
  const at = context.input("at");
  const dy = context.input("dy");
  const dx = context.output("dx");
  forEachLine(context, ({ start, stride, index }) => {
    dx[start + at[index]! * stride] = dy[index]!;
  });
};

/** Reference kernels of this folder. */
export const reduceReference = { reduceSum, reduceMax, reduceMaxBackward } as const satisfies Record<
  string,
  ReferenceKernel
>;
