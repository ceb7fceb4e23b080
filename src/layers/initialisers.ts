import type { Device } from "../tensor/device.ts";
import type { DType } from "../tensor/dtype.ts";
import type { Random } from "../tensor/random.ts";
import { type Shape, sizeOf } from "../tensor/shape.ts";
import { type Tensor, tensor } from "../tensor/tensor.ts";

/** Where new parameters live and which random numbers fill them. */
export interface InitialiseOptions {
  device: Device;
  /** Default float32. */
  dtype?: DType;
  /** Values are drawn on the host in float64, so that every device starts from the same. */
  random: Random;
}

function filled(
  shape: Shape,
  { device, dtype = "float32" }: InitialiseOptions,
  value: (index: number) => number,
): Tensor {
  return tensor(
    Float64Array.from({ length: sizeOf(shape) }, (_, i) => value(i)),
    shape,
    { device, dtype },
  );
}

/** Uniform in +-bound. */
export function uniformParameter(shape: Shape, bound: number, options: InitialiseOptions): Tensor {
  return filled(shape, options, () => bound * (2 * options.random.uniform() - 1));
}

/** Normal with mean 0. */
export function normalParameter(shape: Shape, standardDeviation: number, options: InitialiseOptions): Tensor {
  return filled(shape, options, () => standardDeviation * options.random.normal());
}

/** One value everywhere. */
export function constantParameter(shape: Shape, value: number, options: InitialiseOptions): Tensor {
  return filled(shape, options, () => value);
}

/** Values by index, in row-major order. */
export function computedParameter(shape: Shape, value: (index: number) => number, options: InitialiseOptions): Tensor {
  return filled(shape, options, value);
}

/** PyTorch's default for a linear layer's weight and bias: uniform in +-1/sqrt(inFeatures). */
export function linearBound(inFeatures: number): number {
  return 1 / Math.sqrt(inFeatures);
}
