import type { ReferenceContext, ReferenceKernel } from "../../backends/reference/index.ts";
import type { TypedArray } from "../../tensor/dtype.ts";

/** The vector that a norm sees in one row: x plus the residual, in float64. */
export function normInput({ input, has }: ReferenceContext, row: number, channels: number): Float64Array {
  const at = row * channels;
  const line = Float64Array.from(input("x").subarray(at, at + channels));
  if (has("residual")) {
    const residual = input("residual");
    for (let c = 0; c < channels; c++) line[c]! += residual[at + c]!;
  }
  return line;
}

/** Mean of f over the indices of a row. */
export function meanOver(channels: number, f: (channel: number) => number): number {
  let sum = 0;
  for (let c = 0; c < channels; c++) sum += f(c);
  return sum / channels;
}

/** Element by index of an input that may be left out; `otherwise` then. */
export function elementOr(
  { input, has }: ReferenceContext,
  name: string,
  otherwise: number,
): (index: number) => number {
  if (!has(name)) return () => otherwise;
  const elements: TypedArray = input(name);
  return (i) => elements[i]!;
}

const rmsNorm: ReferenceKernel = (context) => {
  const { output, axes, params, wants } = context;
  const channels = axes["channels"]!;
  const y = output("y");
  const scale = elementOr(context, "weight", 1);
  for (let row = 0; row * channels < y.length; row++) {
    const line = normInput(context, row, channels);
    const factor = 1 / Math.sqrt(meanOver(channels, (c) => line[c]! ** 2) + (params["epsilon"] as number));
    for (let c = 0; c < channels; c++) y[row * channels + c] = line[c]! * factor * scale(c);
    if (wants("sum")) output("sum").set(line as Float64Array, row * channels);
  }
};

const rmsNormBackward: ReferenceKernel = (context) => {
  const { input, output, axes, params, wants } = context;
  const channels = axes["channels"]!;
  const [x, dy, dx] = [input("x"), input("dy"), output("dx")];
  const scale = elementOr(context, "weight", 1);
  const dsum = elementOr(context, "dsum", 0);
  const dweight = new Float64Array(channels);
  for (let at = 0; at < dx.length; at += channels) {
    const meanSquare = meanOver(channels, (c) => x[at + c]! ** 2);
    const factor = 1 / Math.sqrt(meanSquare + (params["epsilon"] as number));
    const shared = meanOver(channels, (c) => x[at + c]! * factor * scale(c) * dy[at + c]!);
    for (let c = 0; c < channels; c++) {
      const unit = x[at + c]! * factor;
      dx[at + c] = factor * (scale(c) * dy[at + c]! - unit * shared) + dsum(at + c);
      dweight[c]! += dy[at + c]! * unit;
    }
  }
  if (wants("dweight")) output("dweight").set(dweight as Float64Array);
};

/** Reference kernels of this folder. */
export const rmsNormReference = { rmsNorm, rmsNormBackward } as const satisfies Record<string, ReferenceKernel>;
