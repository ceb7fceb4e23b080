import type { Backend, Device } from "./device.ts";
import { arrayOf, bytesPerElement, convertArray, type DType, type TypedArray } from "./dtype.ts";
import { DeviceError, DisposedError, DtypeError, ShapeError } from "./errors.ts";
import { dequantizeMatrix, type QuantizedType } from "./quantize.ts";
import { adopt, forget, tensorBrand } from "./scope.ts";
import { denseStrides, formatShape, isDense, type Shape, sizeOf } from "./shape.ts";
import { Storage } from "./storage.ts";
import { elementsOfPanels, isQuantized, type Layout, matrixFromBlocks, storageBytes } from "./weight-formats.ts";

/** Everything that fixes a tensor besides its storage. */
export interface View {
  readonly shape: Shape;
  /** In elements. */
  readonly strides: readonly number[];
  /** In elements from the start of the storage. */
  readonly offset: number;
}

let nextId = 1;

/** An n-dimensional array on a device. Arithmetic is in `mamba.ts/ops`, as free functions. */
export class Tensor {
  readonly [tensorBrand]: true = true;
  /** Identifies the value: an alias made for saving has the id of its original. */
  readonly id: number;
  readonly shape: Shape;
  readonly strides: readonly number[];
  readonly offset: number;
  readonly dtype: DType;
  readonly layout: Layout;
  #storage: Storage | undefined;

  /** @internal Use {@link tensor}, {@link zeros} or an op. */
  constructor(storage: Storage, dtype: DType, view: View, layout: Layout = "strided", id: number = nextId++) {
    this.#storage = storage;
    this.dtype = dtype;
    this.shape = view.shape;
    this.strides = view.strides;
    this.offset = view.offset;
    this.layout = layout;
    this.id = id;
  }

  /** @internal */
  get storage(): Storage {
    if (!this.#storage) {
      throw new DisposedError(
        `tensor ${formatShape(this.shape)}: must not be used after dispose(); it was disposed; return it from scope() to keep it`,
        { shape: this.shape },
      );
    }
    return this.#storage;
  }

  get device(): Device {
    return this.storage.backend;
  }

  /** Number of elements. */
  get size(): number {
    return sizeOf(this.shape);
  }

  get disposed(): boolean {
    return this.#storage === undefined;
  }

  /** True if elements lie densely in row-major order. */
  get dense(): boolean {
    return this.layout === "strided" && isDense(this.shape, this.strides);
  }

  /**
   * Waits for the work enqueued so far and copies the elements to the host in row-major order.
   *
   * @returns the array class of the dtype; float16 and bfloat16 as their bits (see {@link convertArray}), int8 and int4 as the
   *   float32 values they stand for
   */
  async read(): Promise<TypedArray> {
    const { storage, dtype } = this;
    if (this.layout !== "strided") return this.#readWeight();
    const width = bytesPerElement(dtype);
    if (this.size === 0) return new (arrayOf(dtype))(0);
    const last = this.shape.reduce((sum, size, i) => sum + (size - 1) * this.strides[i]!, 0);
    const bytes = await storage.backend.read(storage.memory, this.offset * width, (last + 1) * width);
    const span = new (arrayOf(dtype))(bytes.buffer, bytes.byteOffset, last + 1);
    return this.dense ? span : gather(span, this.shape, this.strides, dtype);
  }

  async #readWeight(): Promise<TypedArray> {
    const { storage, dtype, shape, layout } = this;
    const bytes = await storage.backend.read(storage.memory, 0, storageBytes(dtype, shape, layout));
    if (layout === "panels8") return elementsOfPanels(bytes, dtype, shape, storage.backend.features.has("byte-dot"));
    return dequantizeMatrix(matrixFromBlocks(bytes, dtype as QuantizedType, shape));
  }

  /** The value of a tensor of one element. */
  async item(): Promise<number> {
    if (this.size !== 1) {
      throw new ShapeError(`item: tensor must have one element; got ${formatShape(this.shape)}; use read()`, {
        shape: this.shape,
      });
    }
    const data = await this.read();
    const to = this.dtype === "float16" || this.dtype === "bfloat16" ? "float32" : this.dtype;
    return convertArray(data, this.dtype, to)[0]!;
  }

  /** A second handle on the same value; each is disposed on its own. */
  alias(): Tensor {
    const { storage } = this;
    return new Tensor(storage.retain(), this.dtype, this, this.layout, this.id);
  }

  /** An alias that the innermost scope owns. */
  adopted(): Tensor {
    const made = this.alias();
    adopt(made);
    return made;
  }

  /** Gives the memory back as soon as no view of it is left. Idempotent. */
  dispose(): void {
    const storage = this.#storage;
    if (!storage) return;
    this.#storage = undefined;
    forget(this);
    storage.release();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }
}

function gather(span: TypedArray, shape: Shape, strides: readonly number[], dtype: DType): TypedArray {
  const out = new (arrayOf(dtype))(sizeOf(shape));
  const index = new Array<number>(shape.length).fill(0);
  for (let i = 0, at = 0; i < out.length; i++) {
    out[i] = span[at]!;
    for (let axis = shape.length - 1; axis >= 0; axis--) {
      at += strides[axis]!;
      if (++index[axis]! < shape[axis]!) break;
      at -= strides[axis]! * shape[axis]!;
      index[axis] = 0;
    }
  }
  return out;
}

/** An uninitialised tensor; the caller writes every element. */
export function allocateTensor(backend: Backend, dtype: DType, shape: Shape, layout: Layout = "strided"): Tensor {
  const storage = new Storage(backend, storageBytes(dtype, shape, layout));
  const made = new Tensor(storage, dtype, { shape: [...shape], strides: denseStrides(shape), offset: 0 }, layout);
  adopt(made);
  return made;
}

/** Another look at a tensor's storage. */
export function viewTensor(source: Tensor, view: View): Tensor {
  const made = new Tensor(source.storage.retain(), source.dtype, view);
  adopt(made);
  return made;
}

/** The memory-and-kernel side of a public device. */
export function backendOf(device: Device): Backend {
  if (typeof (device as Partial<Backend>).allocate !== "function") {
    throw new DeviceError("device: must come from openDevice(); got another object; open one with openDevice()", {});
  }
  return device as Backend;
}

/** Options of the functions that make tensors. */
export interface TensorOptions {
  device: Device;
  dtype?: DType;
}

type Nested = number | readonly Nested[];

/**
 * Makes a tensor from host data.
 *
 * @param data - numbers, nested arrays, or a typed array; Uint16Array holds float16 or bfloat16 bits
 * @param shape - default: the nesting of `data`, or one axis
 * @param options.dtype - default: the array's own type for integers; float64 for a Float64Array on the
 *   reference device; float32 otherwise
 * @throws ShapeError if the number of elements is not that of `shape`
 */
export function tensor(data: TypedArray | Nested, shape: Shape | undefined, options: TensorOptions): Tensor {
  const backend = backendOf(options.device);
  const dtype = options.dtype ?? defaultDtype(data, options.device);
  assertElements("tensor", dtype);
  const own = shape ?? nestedShape(data);
  const flat = ArrayBuffer.isView(data) ? data : Float64Array.from(flatten(data));
  if (flat.length !== sizeOf(own)) {
    throw new ShapeError(
      `tensor: data must have ${sizeOf(own)} elements for shape ${formatShape(own)}; got ${flat.length}; pass a fitting shape`,
      { shape: own, elements: flat.length },
    );
  }
  if (dtype === "float64" && options.device.name !== "reference") {
    throw new DtypeError(
      `tensor: float64 lives on the reference device only; got device ${options.device.name}; use float32`,
      { dtype, device: options.device.name },
    );
  }
  const made = allocateTensor(backend, dtype, own);
  const bits = toBits(flat, dtype);
  backend.write(made.storage.memory, 0, new Uint8Array(bits.buffer, bits.byteOffset, bits.byteLength));
  return made;
}

/** Throws for types that are no elements but blocks of a weight. */
function assertElements(where: string, dtype: DType): void {
  if (!isQuantized(dtype)) return;
  throw new DtypeError(
    `${where}: dtype must be that of single elements; got ${dtype}, a format for weights; round the matrix with quantizeMatrix() and pass it to quantizedTensor()`,
    { dtype },
  );
}

function flatten(data: Nested): number[] {
  return typeof data === "number" ? [data] : data.flatMap(flatten);
}

function toBits(data: TypedArray, dtype: DType): TypedArray {
  if (data instanceof arrayOf(dtype)) return data;
  const from: DType = data instanceof Float64Array ? "float64" : "float32";
  return convertArray(data, from, dtype);
}

function defaultDtype(data: TypedArray | Nested, device: Device): DType {
  if (data instanceof Float64Array && device.name === "reference") return "float64";
  if (data instanceof Int32Array) return "int32";
  if (data instanceof Uint32Array) return "uint32";
  if (data instanceof Uint8Array) return "uint8";
  return "float32";
}

function nestedShape(data: TypedArray | Nested): number[] {
  if (ArrayBuffer.isView(data)) return [data.length];
  const shape: number[] = [];
  for (let level: Nested | undefined = data; Array.isArray(level); level = level[0]) shape.push(level.length);
  return shape;
}

/** A tensor of zeros. */
export function zeros(shape: Shape, options: TensorOptions): Tensor {
  const { dtype = "float32" } = options;
  assertElements("zeros", dtype);
  const made = allocateTensor(backendOf(options.device), dtype, shape);
  const { storage } = made;
  // no bytes from the host: those would have to be staged while commands are under way
  storage.backend.clear(storage.memory, 0, Math.ceil(storage.byteLength / 4) * 4);
  return made;
}

/**
 * Replaces all elements of a dense tensor in place.
 *
 * Raises the storage's version, so that a backward pass that saved the old value throws.
 */
export function writeTensor(target: Tensor, data: TypedArray): void {
  const { storage } = target;
  if (!target.dense || data.length !== target.size) {
    throw new ShapeError(
      `writeTensor: target must be dense with as many elements as data; got ${formatShape(target.shape)} and ${data.length}; call contiguous()`,
      { shape: target.shape, elements: data.length },
    );
  }
  const bits = toBits(data, target.dtype);
  storage.version++;
  const offset = target.offset * bytesPerElement(target.dtype);
  storage.backend.write(storage.memory, offset, new Uint8Array(bits.buffer, bits.byteOffset, bits.byteLength));
}
