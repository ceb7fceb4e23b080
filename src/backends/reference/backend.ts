import type {
  Backend,
  DeviceLimits,
  KernelCall,
  MatmulPrecision,
  MemoryUse,
  Params,
  Recorder,
} from "../../tensor/device.ts";
import { arrayOf, type DType, type TypedArray } from "../../tensor/dtype.ts";
import { DeviceError, invariant } from "../../tensor/errors.ts";
import { dequantizeMatrix } from "../../tensor/quantize.ts";
import { type Shape, sizeOf } from "../../tensor/shape.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import { isQuantized, matrixFromBlocks, widened } from "../../tensor/weight-formats.ts";

/**
 * What a reference kernel sees: dense row-major arrays by argument name.
 *
 * Arithmetic is done in JavaScript numbers, that is float64, and rounded when it is stored.
 */
export interface ReferenceContext {
  readonly params: Params;
  readonly axes: Readonly<Record<string, number>>;
  has(name: string): boolean;
  /** Whether an output was asked for. */
  wants(name: string): boolean;
  shape(name: string): Shape;
  dtype(name: string): DType;
  /** The elements of an input. Must not be written, except by ops that declare `mutates`. */
  input(name: string): TypedArray;
  /** The values of a weight of any type, row by row. */
  weight(name: string): TypedArray;
  /** The array of an output, zero at first. */
  output(name: string): TypedArray;
  /** Names of the inputs that were given, for ops with any number of them. */
  readonly inputNames: readonly string[];
}

/** Computes one op on plain arrays. */
export type ReferenceKernel = (context: ReferenceContext) => void;

/**
 * Plain arrays and plain loops, in float64 where tensors are: the oracle that other backends are held to.
 * Runs every op at once, on the caller's thread.
 */
export class ReferenceBackend implements Backend {
  readonly name = "reference" as const;
  readonly description = "float64 on one thread";
  readonly features: ReadonlySet<string> = new Set(["float64"]);
  readonly limits: DeviceLimits = { maxBufferBytes: 2 ** 32 };
  readonly threads = 1;
  readonly lost: Promise<DeviceError> = new Promise(() => {});
  readonly kernels: Readonly<Record<string, unknown>>;
  recorder: Recorder | undefined = undefined;
  matmulPrecision: MatmulPrecision = "float32";
  readonly matmulPrecisions: readonly MatmulPrecision[] = ["float32"];
  #used = 0;
  #peak = 0;
  #buffers = 0;
  #disposed = false;

  constructor(kernels: Readonly<Record<string, unknown>>) {
    this.kernels = kernels;
  }

  memory(): MemoryUse {
    return { used: this.#used, peak: this.#peak, buffers: this.#buffers, limit: Number.MAX_SAFE_INTEGER };
  }

  flush(): void {}

  allocate(byteLength: number): ArrayBuffer {
    this.#assertOpen();
    this.#used += byteLength;
    this.#buffers++;
    this.#peak = Math.max(this.#peak, this.#used);
    return new ArrayBuffer(byteLength);
  }

  free(memory: unknown): void {
    this.#used -= (memory as ArrayBuffer).byteLength;
    this.#buffers--;
  }

  write(memory: unknown, byteOffset: number, bytes: Uint8Array): void {
    new Uint8Array(memory as ArrayBuffer, byteOffset, bytes.length).set(bytes);
  }

  clear(memory: unknown, byteOffset: number, byteLength: number): void {
    const all = memory as ArrayBuffer;
    new Uint8Array(all, byteOffset, Math.min(byteLength, all.byteLength - byteOffset)).fill(0);
  }

  async read(memory: unknown, byteOffset: number, byteLength: number): Promise<Uint8Array> {
    this.#assertOpen();
    return new Uint8Array(memory as ArrayBuffer, byteOffset, byteLength).slice();
  }

  launch(kernel: unknown, call: KernelCall): void {
    this.#assertOpen();
    (kernel as ReferenceKernel)(referenceContext(call));
  }

  dispose(): void {
    this.#disposed = true;
  }

  [Symbol.dispose](): void {
    this.dispose();
  }

  #assertOpen(): void {
    if (this.#disposed) throw new DeviceError("device reference: must be open; it was disposed; open another", {});
  }
}

function referenceContext(call: KernelCall): ReferenceContext {
  const argument = (name: string): Tensor => {
    const found = call.inputs[name] ?? call.outputs[name];
    invariant(found, `${call.op} has no argument ${name}`);
    return found;
  };
  return {
    params: call.params,
    axes: call.axes,
    inputNames: Object.keys(call.inputs).filter((name) => call.inputs[name] !== undefined),
    has: (name) => call.inputs[name] !== undefined,
    wants: (name) => call.outputs[name] !== undefined,
    shape: (name) => argument(name).shape,
    dtype: (name) => argument(name).dtype,
    input: once((name) => denseElements(argument(name))),
    weight: once((name) => weightElements(argument(name))),
    output: once((name) => elements(call.outputs[name]!)),
  };
}

/** Kernels ask for the same array again and again; a view is gathered only once. */
function once(find: (name: string) => TypedArray): (name: string) => TypedArray {
  const known = new Map<string, TypedArray>();
  return (name) => {
    const found = known.get(name) ?? find(name);
    known.set(name, found);
    return found;
  };
}

function elements(tensor: Tensor): TypedArray {
  const Elements = arrayOf(tensor.dtype);
  return new Elements(tensor.storage.memory as ArrayBuffer, tensor.offset * Elements.BYTES_PER_ELEMENT, tensor.size);
}

/** The values of a tensor of any type, row by row. */
export function weightElements(tensor: Tensor): TypedArray {
  const { dtype, shape, storage } = tensor;
  if (isQuantized(dtype)) {
    return dequantizeMatrix(matrixFromBlocks(new Uint8Array(storage.memory as ArrayBuffer), dtype, shape));
  }
  const bits = denseElements(tensor);
  return dtype === "float16" || dtype === "bfloat16" ? widened(bits, dtype) : bits;
}

function denseElements(tensor: Tensor): TypedArray {
  if (tensor.dense) return elements(tensor);
  const Elements = arrayOf(tensor.dtype);
  const all = new Elements(tensor.storage.memory as ArrayBuffer);
  const out = new Elements(sizeOf(tensor.shape));
  forEachOffset(tensor.shape, tensor.strides, tensor.offset, (i, at) => {
    out[i] = all[at]!;
  });
  return out;
}

/** Calls `f` for every element in row-major order with its index and its storage offset. */
export function forEachOffset(
  shape: Shape,
  strides: readonly number[],
  offset: number,
  f: (index: number, at: number) => void,
): void {
  const size = sizeOf(shape);
  const index = new Array<number>(shape.length).fill(0);
  for (let i = 0, at = offset; i < size; i++) {
    f(i, at);
    for (let axis = shape.length - 1; axis >= 0; axis--) {
      at += strides[axis]!;
      if (++index[axis]! < shape[axis]!) break;
      at -= strides[axis]! * shape[axis]!;
      index[axis] = 0;
    }
  }
}
