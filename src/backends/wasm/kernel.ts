import type { KernelCall } from "../../tensor/device.ts";
import type { Tensor } from "../../tensor/tensor.ts";

/** Bytes in wasm memory: address and length. */
export type Range = readonly [address: number, byteLength: number];

/** What a command touches, so that barriers go only where one command needs another's result. */
export interface Access {
  readonly reads: readonly Range[];
  readonly writes: readonly Range[];
  /**
   * Of a kernel that waits at a barrier of its own: what it touches behind that. Every thread writes the whole of these `writes`, the
   * same bits, so that a later command may read them without another barrier.
   */
  readonly afterBarrier?: { readonly reads: readonly Range[]; readonly writes: readonly Range[] };
}

/** What the host side of a kernel writes its commands with. */
export interface WasmKernelContext {
  readonly threads: number;
  /** Memory for the commands of this call; given back, in list order, when the call has been encoded. */
  scratch(byteLength: number): number;
  /**
   * Appends one command.
   *
   * @param kernel - name of an exported AssemblyScript function `(args: usize, thread: i32, threads: i32): void`
   * @param words - its arguments: addresses, integers, or floats through {@link f32}
   */
  command(kernel: string, words: readonly number[], access: Access): void;
  /** Byte address of a tensor's first element. */
  address(tensor: Tensor): number;
  /** From a tensor's first to its last byte. */
  range(tensor: Tensor): Range;
}

/** Encodes one op call as commands. */
export type WasmKernel = (context: WasmKernelContext, call: KernelCall) => void;

const float = new Float32Array(1);
const bits = new Int32Array(float.buffer);

/** A float32 as an argument word. */
export function f32(value: number): number {
  float[0] = value;
  return bits[0]!;
}
