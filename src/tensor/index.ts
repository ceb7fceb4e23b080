/**
 * What a value is: shape, element type, device, memory, and the random numbers and errors that everything shares.
 * Imports no other room and holds no arithmetic.
 *
 * @module
 */
export type {
  Backend,
  Device,
  DeviceLimits,
  DeviceName,
  KernelCall,
  KernelTime,
  MatmulPrecision,
  MemoryUse,
  Params,
  Recorder,
} from "./device.ts";
export {
  arrayOf,
  bfloat16ToNumber,
  bytesPerElement,
  convertArray,
  type DType,
  float16ToNumber,
  isFloat,
  numberToBfloat16,
  numberToFloat16,
  type TypedArray,
} from "./dtype.ts";
export * from "./errors.ts";
export { ignoreLeaks, reportLeaks } from "./leaks.ts";
export { flattenParameters, nestParameters, type Parameters } from "./parameters.ts";
export { dequantizeMatrix, type QuantizedMatrix, type QuantizedType, quantizeMatrix } from "./quantize.ts";
export { quantizedTensor } from "./quantized-tensor.ts";
export { philox4x32, Random } from "./random.ts";
export { scope } from "./scope.ts";
export { broadcastShapes, denseStrides, formatShape, isDense, type Shape, sizeOf } from "./shape.ts";
export { Tensor, type TensorOptions, tensor, type View, writeTensor, zeros } from "./tensor.ts";
export { type Layout, weightTypesOf } from "./weight-formats.ts";
