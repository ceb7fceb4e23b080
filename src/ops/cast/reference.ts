import type { ReferenceKernel } from "../../backends/reference/index.ts";
import { convertArray, type DType } from "../../tensor/dtype.ts";

const integerRanges: Partial<Record<DType, readonly [number, number]>> = {
  int32: [-(2 ** 31), 2 ** 31 - 1],
  uint32: [0, 2 ** 32 - 1],
  uint8: [0, 255],
};

const cast: ReferenceKernel = ({ input, output, dtype }) => {
  const to = dtype("y");
  const values = convertArray(input("x"), dtype("x"), "float64");
  const range = integerRanges[to];
  if (!range) {
    output("y").set(convertArray(values, "float64", to) as Float64Array);
    return;
  }
  const y = output("y");
  const [low, high] = range;
  for (let i = 0; i < y.length; i++) {
    const value = values[i]!;
    y[i] = Number.isNaN(value) ? 0 : Math.trunc(Math.min(high, Math.max(low, value)));
  }
};

const markNonFinite: ReferenceKernel = ({ input, dtype }) => {
  const values = convertArray(input("x"), dtype("x"), "float64") as Float64Array;
  if (!values.every(Number.isFinite)) input("found")[0] = 1;
};

/** Reference kernels of this folder. */
export const castReference = { cast, markNonFinite } as const satisfies Record<string, ReferenceKernel>;
