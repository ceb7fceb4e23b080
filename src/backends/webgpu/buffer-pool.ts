import { invariant, OutOfMemoryError } from "../../tensor/errors.ts";
import type { LateErrors } from "./late-errors.ts";

/** STORAGE, COPY_SRC and COPY_DST; the names of the flags are no globals in Node. */
const USAGE = 0x80 | 0x4 | 0x8;
const SMALLEST = 256;

/** A buffer of a device. */
export interface GpuMemory {
  readonly buffer: GPUBuffer;
  readonly byteLength: number;
  /** Tells buffers apart in keys. */
  readonly id: number;
  /** Number of the last batch of commands that names the buffer. */
  lastBatch: number;
  /** Recordings that name the buffer; nobody else may have it while there are any. */
  pins: number;
  /** Given back while it was pinned. */
  isFreed: boolean;
  /** Set when the device had no room for it. */
  isInvalid?: boolean;
  /** Where a window begins in its buffer, and whose window it is; see {@link BufferPool.window}. */
  readonly start?: number;
  readonly whole?: GpuMemory;
}

/** A part of a buffer, for bindings that may not have all of it. */
class Window implements GpuMemory {
  readonly buffer: GPUBuffer;
  readonly whole: GpuMemory;
  readonly id: number;
  readonly start: number;
  readonly byteLength: number;
  readonly pins = 0;
  readonly isFreed = false;

  constructor(whole: GpuMemory, id: number, start: number, byteLength: number) {
    this.buffer = whole.buffer;
    this.whole = whole;
    this.id = id;
    this.start = start;
    this.byteLength = byteLength;
  }

  get lastBatch(): number {
    return this.whole.lastBatch;
  }

  set lastBatch(number: number) {
    this.whole.lastBatch = number;
  }
}

/** Sizes that buffers come in: four to each power of two, so that at most a fifth is wasted. */
export function sizeClass(byteLength: number): number {
  if (byteLength <= SMALLEST) return SMALLEST;
  const step = 2 ** (Math.ceil(Math.log2(byteLength)) - 3);
  return Math.ceil(byteLength / step) * step;
}

/**
 * Buffers by size. One that is given back may be had again at once: whatever is enqueued later runs later, and the host's writes
 * wait for the batch that the buffer was last in.
 */
export class BufferPool {
  readonly #device: GPUDevice;
  readonly #errors: LateErrors;
  readonly #largest: number;
  readonly #free = new Map<number, GpuMemory[]>();
  /** What was given back while something is recorded: only later commands of the recording may have it. */
  #recorded: Map<number, GpuMemory[]> | undefined;
  readonly #windows = new WeakMap<GpuMemory, Map<string, GpuMemory>>();
  /** Whether there ever was a buffer that no binding may have all of. */
  hasLarge = false;
  readonly #mostBound: number;
  #nextId = 0;
  #used = 0;
  #peak = 0;
  #live = 0;

  /**
   * @param errors - is told what the device has no room for
   * @param mostBound - bytes that a binding may have at most
   */
  constructor(device: GPUDevice, errors: LateErrors, mostBound: number) {
    this.#device = device;
    this.#errors = errors;
    this.#mostBound = Math.floor(mostBound / 4) * 4;
    this.#largest = Math.floor(device.limits.maxBufferSize / 4) * 4;
  }

  /** A part of a buffer, as something to bind; the same part is the same object. */
  window(whole: GpuMemory, start: number, byteLength: number): GpuMemory {
    const known = this.#windows.get(whole) ?? new Map<string, GpuMemory>();
    this.#windows.set(whole, known);
    const key = `${start} ${byteLength}`;
    const made = known.get(key) ?? new Window(whole, this.#nextId++, start, byteLength);
    known.set(key, made);
    return made;
  }

  /** Bytes and number of the buffers that are in use. */
  get facts(): { used: number; peak: number; live: number } {
    return { used: this.#used, peak: this.#peak, live: this.#live };
  }

  /**
   * @param op - what it is for, where an op asks
   * @throws OutOfMemoryError if the device has no buffers of that size
   */
  allocate(byteLength: number, op?: string): GpuMemory {
    if (byteLength > this.#largest) {
      throw new OutOfMemoryError(
        `webgpu: a tensor must have at most ${this.#largest} bytes on this device; got ${byteLength} (${this.#used} are in use); use smaller tensors`,
        { byteLength, limit: this.#largest, used: this.#used },
      );
    }
    const isLarge = byteLength > this.#mostBound;
    const size = Math.min(sizeClass(byteLength), isLarge ? this.#largest : this.#mostBound);
    // one that is used again within a recording was never counted as free
    const again = this.#recorded?.get(size)?.pop();
    if (again) return again;
    const made = this.#reuse(size) ?? this.#create(size, op);
    this.#used += size;
    this.#live++;
    this.#peak = Math.max(this.#peak, this.#used);
    return made;
  }

  #reuse(size: number): GpuMemory | undefined {
    const list = this.#free.get(size);
    for (let memory = list?.pop(); memory; memory = list?.pop()) if (!memory.isInvalid) return memory;
    return undefined;
  }

  #create(size: number, op: string | undefined): GpuMemory {
    return this.#errors.guard(
      "out-of-memory",
      { ...(op ? { op } : {}), byteLength: size },
      () => this.#make(size),
      (made: GpuMemory) => {
        made.isInvalid = true;
      },
    );
  }

  #make(size: number): GpuMemory {
    const buffer = this.#device.createBuffer({ size, usage: USAGE });
    this.hasLarge ||= size > this.#mostBound;
    return { buffer, byteLength: size, id: this.#nextId++, lastBatch: 0, pins: 0, isFreed: false };
  }

  free(memory: GpuMemory): void {
    if (memory.pins > 0) {
      invariant(!memory.isFreed, "a buffer was freed twice");
      memory.isFreed = true;
      return;
    }
    if (this.#recorded) {
      put(this.#recorded, memory);
      return;
    }
    invariant(this.#live > 0, "a buffer was freed twice");
    this.#used -= memory.buffer.size;
    this.#live--;
    if (!memory.isInvalid) put(this.#free, memory);
  }

  /** From now on buffers that are given back go to nobody but whoever asks before {@link endRecording}. */
  beginRecording(): void {
    this.#recorded = new Map();
  }

  /** @param settle - pins the buffers that the recording names */
  endRecording(settle: () => void): void {
    const lists = [...(this.#recorded?.values() ?? [])];
    this.#recorded = undefined;
    settle();
    for (const list of lists) for (const memory of list) this.free(memory);
  }

  /** Keeps a buffer from being used again after it is given back. */
  pin(memory: GpuMemory): void {
    memory.pins++;
  }

  unpin(memory: GpuMemory): void {
    memory.pins--;
    if (memory.pins > 0 || !memory.isFreed) return;
    memory.isFreed = false;
    this.free(memory);
  }

  /** Gives buffers that nobody uses back to the system. */
  trim(): void {
    for (const list of this.#free.values()) for (const { buffer } of list) buffer.destroy();
    this.#free.clear();
  }
}

function put(lists: Map<number, GpuMemory[]>, memory: GpuMemory): void {
  const { size } = memory.buffer;
  const list = lists.get(size);
  if (list) list.push(memory);
  else lists.set(size, [memory]);
}
