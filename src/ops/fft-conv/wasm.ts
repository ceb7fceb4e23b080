import type { Range, WasmKernel, WasmKernelContext } from "../../backends/wasm/index.ts";
import type { KernelCall } from "../../tensor/device.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import { powerOfTwo } from "../fourier/power-of-two.ts";
import { encodeTurns } from "../fourier/wasm.ts";

const FLOAT_BYTES = 4;
/** An element of a transform: four complex numbers. */
const ELEMENT_BYTES = 32;

interface Shared {
  /** Arguments from u to the scratch. */
  readonly words: readonly number[];
  readonly reads: readonly Range[];
  readonly scratch: Range;
}

/** Batch and time strides in bytes. */
const timeStrides = ({ strides }: Tensor): [number, number] => [strides[0]! * FLOAT_BYTES, strides[1]! * FLOAT_BYTES];

/** What both directions have in common; `buffers` of one transform each are scratch for a thread. */
function encodeShared(context: WasmKernelContext, { inputs, axes }: KernelCall, buffers: number): Shared {
  const [u, k] = [inputs["u"]!, inputs["k"]!];
  const { after, D } = inputs;
  const { batch, length, channels } = axes as { batch: number; length: number; channels: number };
  const taps = Math.min(axes["taps"]!, length);
  const afterTaps = after ? Math.min(axes["afterTaps"]!, Math.max(0, length - 1)) : 0;
  const { count, table } = encodeTurns(context, powerOfTwo(length + Math.max(taps - 1, afterTaps)));
  const bytes = context.threads * buffers * ELEMENT_BYTES * count;
  const scratch: Range = [context.scratch(bytes), bytes];
  const row = (x: Tensor | undefined): number[] => (x ? [context.address(x), x.strides[0]! * FLOAT_BYTES] : [0, 0]);
  return {
    words: [
      ...[context.address(u), ...timeStrides(u), ...row(k), ...row(after), D ? context.address(D) : 0],
      ...[batch, length, channels, taps, afterTaps, count, table[0], scratch[0]],
    ],
    reads: [table, ...[u, k, after, D].filter((x) => x !== undefined).map((x) => context.range(x))],
    scratch,
  };
}

const fftConv: WasmKernel = (context, call) => {
  const y = call.outputs["y"]!;
  if (y.size === 0) return;
  const { words, reads, scratch } = encodeShared(context, call, 3);
  context.command("fftConv", [...words, context.address(y)], { reads, writes: [context.range(y), scratch] });
};

/** Zeroes the gradient of taps that reach no step. */
function clearRest(context: WasmKernelContext, gradient: Tensor | undefined): void {
  if (!gradient || gradient.size === 0) return;
  const range = context.range(gradient);
  context.command("clearBytes", [...range], { reads: [], writes: [range] });
}

const fftConvBackward: WasmKernel = (context, call) => {
  const { du, dk, dAfter, dD } = call.outputs;
  const dy = call.inputs["dy"]!;
  for (const gradient of [dk, dAfter]) clearRest(context, gradient);
  if (du!.size === 0) return clearRest(context, dD);
  const { words, reads, scratch } = encodeShared(context, call, 6);
  const made = [du, dk, dAfter, dD];
  const addresses = made.map((x) => (x ? context.address(x) : 0));
  context.command("fftConvBackward", [...words, context.address(dy), ...timeStrides(dy), ...addresses], {
    reads: [...reads, context.range(dy)],
    writes: [...made.filter((x) => x !== undefined).map((x) => context.range(x)), scratch],
  });
};

/** Wasm kernels of this folder. */
export const fftConvWasm = { fftConv, fftConvBackward } as const satisfies Record<string, WasmKernel>;
