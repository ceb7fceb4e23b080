import { forEachOffset, type ReferenceKernel } from "../../backends/reference/index.ts";
import type { TypedArray } from "../../tensor/dtype.ts";
import { denseStrides, type Shape } from "../../tensor/shape.ts";

const copy: ReferenceKernel = ({ input, output }) => output("y").set(input("x"));

const placeSlice: ReferenceKernel = ({ input, output, shape, params }) => {
  place(input("dy"), shape("dy"), output("dx"), shape("dx"), params["axis"] as number, params["start"] as number);
};

const concat: ReferenceKernel = ({ input, inputNames, output, shape, params }) => {
  const axis = params["axis"] as number;
  let start = 0;
  for (const name of inputNames) {
    place(input(name), shape(name), output("y"), shape("y"), axis, start);
    start += shape(name)[axis]!;
  }
};

function place(from: TypedArray, fromShape: Shape, to: TypedArray, toShape: Shape, axis: number, start: number): void {
  const strides = denseStrides(toShape);
  forEachOffset(fromShape, strides, start * strides[axis]!, (i, at) => {
    to[at] = from[i]!;
  });
}

/** Reference kernels of this folder. */
export const movementReference = { copy, placeSlice, concat } as const satisfies Record<string, ReferenceKernel>;
