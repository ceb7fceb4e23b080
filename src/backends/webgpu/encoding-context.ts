import type { KernelCall, MatmulPrecision } from "../../tensor/device.ts";
import { bytesPerElement } from "../../tensor/dtype.ts";
import { DeviceError, OutOfMemoryError } from "../../tensor/errors.ts";
import { Tensor, type View } from "../../tensor/tensor.ts";
import type { Batch } from "./batch.ts";
import type { BufferPool, GpuMemory } from "./buffer-pool.ts";
import type { CommandSink } from "./commands.ts";
import { FAILURE_BYTES, Failures } from "./failures.ts";
import type { Bound, WebgpuKernel, WebgpuKernelContext } from "./kernel.ts";
import { PlanNotes, Plans } from "./plans.ts";
import type { Program } from "./program.ts";

function subgroupSizeOf(features: ReadonlySet<string>, info: GPUAdapterInfo): number {
  const { subgroupMinSize, subgroupMaxSize } = info;
  return features.has("subgroups") && subgroupMinSize === subgroupMaxSize ? (subgroupMaxSize ?? 0) : 0;
}

/** A size of matrices that an adapter multiplies; the feature is not in the standard yet. */
interface SubgroupMatrixConfig {
  readonly M: number;
  readonly N: number;
  readonly K: number;
  readonly componentType: string;
  readonly resultComponentType: string;
}

/** Bytes of workgroup memory that programs for matrix cores may take. */
const MATRIX_CORE_STORAGE = 32768;

function hasHalfMatrices(features: ReadonlySet<string>, info: GPUAdapterInfo): boolean {
  if (!features.has("chromium-experimental-subgroup-matrix") || !features.has("shader-f16")) return false;
  const { subgroupMatrixConfigs = [] } = info as { subgroupMatrixConfigs?: readonly SubgroupMatrixConfig[] };
  return subgroupMatrixConfigs.some(
    ({ M, N, K, componentType, resultComponentType }) =>
      M === 16 && N === 16 && K === 16 && componentType === "f16" && resultComponentType === "f32",
  );
}

/** What one op's encoder sees; scratch is given back when it returns. */
export class EncodingContext implements WebgpuKernelContext {
  readonly features: ReadonlySet<string>;
  readonly limits: GPUSupportedLimits;
  readonly subgroupSize: number;
  readonly hasMatrixCores: boolean;
  precision: MatmulPrecision = "float32";
  readonly #pool: BufferPool;
  readonly #batch: Batch;
  /** Where commands go. */
  sink: CommandSink;
  readonly #scratch: GpuMemory[] = [];
  /** What parts of tensors are bound by. */
  readonly #windows = new Map<Tensor, GpuMemory>();
  positions: Readonly<Record<string, number>> = {};
  readonly failures = new Failures();
  /** Where kernels note what is wrong; there once one may. */
  failureMemory: GpuMemory | undefined;
  readonly #device: GPUDevice;
  readonly #plans = new Plans();
  /** Of the call at hand, while its kernel runs. */
  #notes: PlanNotes | undefined;
  readonly #mostBound: number;
  #op = "";

  /** @param limits - of the device, or lower ones */
  constructor(device: GPUDevice, limits: GPUSupportedLimits, pool: BufferPool, batch: Batch, info: GPUAdapterInfo) {
    this.#device = device;
    this.features = new Set(device.features);
    this.subgroupSize = subgroupSizeOf(this.features, info);
    this.limits = limits;
    this.#mostBound = limits.maxStorageBufferBindingSize;
    this.hasMatrixCores =
      this.subgroupSize === 32 &&
      this.limits.maxComputeWorkgroupStorageSize >= MATRIX_CORE_STORAGE &&
      hasHalfMatrices(this.features, info);
    this.#pool = pool;
    this.#batch = batch;
    this.sink = batch;
  }

  /** @throws DeviceError while commands are recorded: what the host does now would not happen again at a replay */
  assertNotRecording(): void {
    if (this.sink === this.#batch) return;
    throw new DeviceError(
      "record: work must not move bytes between host and device; it did; make its tensors before, and read them after a replay",
      {},
    );
  }

  encode(kernel: WebgpuKernel, call: KernelCall): void {
    this.#op = call.op;
    try {
      // plans bind whole buffers
      const found = this.#bindsWhole(call) ? this.#plans.find(kernel, call, this.precision) : undefined;
      if (found && !(found instanceof PlanNotes)) {
        this.#plans.run(found, call.op, (byteLength) => this.scratch(byteLength), this.sink);
        return;
      }
      this.#notes = found;
      kernel(this, call);
      found?.finish();
    } finally {
      this.#notes = undefined;
      this.#plans.release();
      for (const memory of this.#scratch) this.#pool.free(memory);
      this.#scratch.length = 0;
      if (this.#windows.size > 0) this.#windows.clear();
    }
  }

  #bindsWhole({ inputs, outputs }: KernelCall): boolean {
    if (!this.#pool.hasLarge) return true;
    const all = [...Object.values(inputs), ...Object.values(outputs)];
    return all.every((one) => !one || (one.storage.memory as GpuMemory).byteLength <= this.#mostBound);
  }

  get hasLarge(): boolean {
    return this.#pool.hasLarge;
  }

  window(whole: Tensor, view: View): Tensor | undefined {
    const { storage, dtype, layout } = whole;
    const own = this.#windows.get(whole);
    if (own) {
      const part = new Tensor(storage, dtype, view, layout);
      this.#windows.set(part, own);
      return part;
    }
    const memory = storage.memory as GpuMemory;
    // whatever begins inside gets a window of its own: not all kernels write at an offset
    if (memory.byteLength <= this.#mostBound && view.offset === whole.offset) {
      return new Tensor(storage, dtype, view, layout);
    }
    if (layout !== "strided") return undefined;
    const width = bytesPerElement(dtype);
    const reach = view.shape.reduce((sum, size, axis) => sum + (size - 1) * view.strides[axis]!, 1);
    const { minStorageBufferOffsetAlignment: alignment } = this.limits;
    const start = Math.floor((view.offset * width) / alignment) * alignment;
    const end = Math.min(memory.byteLength, Math.ceil(((view.offset + reach) * width) / alignment) * alignment);
    if (end - start > this.#mostBound) return undefined;
    this.#notes?.giveUp();
    const part = new Tensor(storage, dtype, { ...view, offset: view.offset - start / width });
    this.#windows.set(part, this.#pool.window(memory, start, end - start));
    return part;
  }

  within(work: () => void): void {
    const first = this.#scratch.length;
    try {
      work();
    } finally {
      for (const memory of this.#scratch.splice(first)) this.#pool.free(memory);
    }
  }

  #memoryOf(bound: Bound): GpuMemory {
    if (!(bound instanceof Tensor)) return bound;
    return (this.#windows.size > 0 ? this.#windows.get(bound) : undefined) ?? (bound.storage.memory as GpuMemory);
  }

  scratch(byteLength: number): GpuMemory {
    const memory = this.#pool.allocate(byteLength, this.#op);
    this.#scratch.push(memory);
    this.#notes?.scratch(byteLength, memory);
    return memory;
  }

  copy(from: Bound, fromOffset: number, to: Bound, toOffset: number, count: number): void {
    if (count === 0) return;
    this.#notes?.copy(from, 4 * fromOffset, to, 4 * toOffset, 4 * count);
    const [source, target] = [this.#memoryOf(from), this.#memoryOf(to)];
    const [first, place] = [(source.start ?? 0) + 4 * fromOffset, (target.start ?? 0) + 4 * toOffset];
    this.sink.copy(source.whole ?? source, first, target.whole ?? target, place, 4 * count);
  }

  upload(data: Float32Array<ArrayBuffer>): GpuMemory {
    this.assertNotRecording();
    this.#notes?.giveUp();
    const memory = this.scratch(data.byteLength);
    if (memory.lastBatch === this.#batch.number) this.#batch.submit();
    this.#device.queue.writeBuffer(memory.buffer, 0, data);
    return memory;
  }

  failure(argument: string, expected: number): { memory: GpuMemory; code: number } {
    this.#notes?.giveUp();
    if (!this.failureMemory) {
      const buffer = this.#device.createBuffer({ label: "failure", size: FAILURE_BYTES, usage: 0x80 | 0x4 | 0x8 });
      this.failureMemory = { buffer, byteLength: FAILURE_BYTES, id: -1, lastBatch: 0, pins: 0, isFreed: false };
    }
    return {
      memory: this.failureMemory,
      code: this.failures.code(this.#op, argument, expected, this.positions[argument]),
    };
  }

  dispatch(program: Program, bound: readonly Bound[], params: Readonly<Record<string, number>>, groups: number): void {
    this.#notes?.dispatch(program, bound, params, groups);
    const memories = bound.map((one) => this.#memoryOf(one));
    if (this.#pool.hasLarge) for (const memory of memories) this.#assertBindable(program, memory);
    this.sink.dispatch(program, memories, params, groups, this.#op);
  }

  #assertBindable({ name }: Program, { byteLength }: GpuMemory): void {
    if (byteLength <= this.#mostBound) return;
    throw new OutOfMemoryError(
      `${this.#op}: ${name} must bind at most ${this.#mostBound} bytes of a tensor on this device; got ${byteLength}, which cannot be split here; use a smaller batch or shorter rows, or device "wasm"`,
      { op: this.#op, program: name, byteLength, limit: this.#mostBound },
    );
  }
}
