import type { Bound, WebgpuKernel, WebgpuKernelContext } from "../../backends/webgpu/index.ts";
import type { KernelCall } from "../../tensor/device.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import { powerOfTwo } from "../fourier/power-of-two.ts";
import { encodeTransform, exchange, makeSequences, type Sequences, WORKGROUP } from "../fourier/transform.webgpu.ts";
import { fill } from "../movement/webgpu.ts";
import {
  finishProgram,
  kernelProgram,
  multiplyProgram,
  rowsProgram,
  sumProgram,
  tapsProgram,
} from "./programs.webgpu.ts";

/** Bytes of the sequences that are transformed together. */
const MOST_BYTES = 2 ** 26;

interface Part {
  readonly values: Readonly<Record<string, number>>;
  readonly count: number;
  readonly batch: number;
  readonly pairs: number;
}

/** Parts of the channels whose sequences fit in bounded scratch. */
function partsOf({ inputs, axes }: KernelCall): Part[] {
  const { batch, length, channels } = axes as { batch: number; length: number; channels: number };
  const taps = Math.min(axes["taps"]!, length);
  const afterTaps = inputs["after"] ? Math.min(axes["afterTaps"]!, length - 1) : 0;
  const count = powerOfTwo(length + Math.max(taps - 1, afterTaps));
  const together = Math.max(1, Math.floor(MOST_BYTES / (8 * count * batch)));
  const all = Math.ceil(channels / 2);
  const parts: Part[] = [];
  for (let firstPair = 0; firstPair < all; firstPair += together) {
    const pairs = Math.min(together, all - firstPair);
    parts.push({ values: { batch, length, channels, count, pairs, firstPair, taps, afterTaps }, count, batch, pairs });
  }
  return parts;
}

const groupsOf = (threads: number): number => Math.ceil(threads / WORKGROUP);

function encodeKernels(context: WebgpuKernelContext, inputs: KernelCall["inputs"], part: Part): Sequences {
  const { count, pairs, values } = part;
  const [k, after] = [inputs["k"]!, inputs["after"]];
  const sequences = makeSequences(context, count, pairs);
  const rows = {
    kOffset: k.offset,
    kRow: k.strides[0]!,
    aheadOffset: after?.offset ?? 0,
    aheadRow: after?.strides[0] ?? 0,
  };
  const bound = [k, ...(after ? [after] : []), sequences.data];
  context.dispatch(kernelProgram(after !== undefined), bound, { ...values, ...rows }, groupsOf(count * pairs));
  encodeTransform(context, sequences, false);
  return sequences;
}

const rowPlaces = (x: Tensor): Record<string, number> => ({
  xOffset: x.offset,
  xBatch: x.strides[0]!,
  xTime: x.strides[1]!,
});

function encodeRows(context: WebgpuKernelContext, x: Tensor, { count, batch, pairs, values }: Part): Sequences {
  const sequences = makeSequences(context, count, batch * pairs);
  const threads = count * batch * pairs;
  context.dispatch(rowsProgram, [x, sequences.data], { ...values, ...rowPlaces(x) }, groupsOf(threads));
  encodeTransform(context, sequences, false);
  return sequences;
}

/** From the spectra of x to y = what the kernels make of it + D x. */
function encodeResult(
  context: WebgpuKernelContext,
  part: Part,
  { spectra, kernels, x, D, y }: { spectra: Sequences; kernels: Bound; x: Tensor; D: Tensor | undefined; y: Tensor },
  isConjugate: boolean,
): void {
  const { count, batch, pairs, values } = part;
  const bound = [spectra.data, kernels, spectra.spare];
  context.dispatch(multiplyProgram(isConjugate), bound, values, groupsOf(count * batch * pairs));
  exchange(spectra);
  encodeTransform(context, spectra, true);
  const places = { ...rowPlaces(x), skipOffset: D?.offset ?? 0, yOffset: y.offset };
  const threads = groupsOf(batch * values["length"]! * 2 * pairs);
  const operands = [spectra.data, ...(D ? [D, x] : []), y];
  context.dispatch(finishProgram(D !== undefined), operands, { ...values, ...places }, threads);
}

const fftConv: WebgpuKernel = (context, call) => {
  const { inputs, outputs } = call;
  const y = outputs["y"]!;
  if (y.size === 0) return;
  for (const part of partsOf(call)) {
    const kernels = encodeKernels(context, inputs, part).data;
    const x = inputs["u"]!;
    const spectra = encodeRows(context, x, part);
    encodeResult(context, part, { spectra, kernels, x, D: inputs["D"], y }, false);
  }
};

const fftConvBackward: WebgpuKernel = (context, call) => {
  const { inputs, outputs } = call;
  const { du, dk, dAfter, dD } = outputs;
  for (const gradient of [dk, dAfter, dD]) if (gradient && gradient.size > 0) fill(context, gradient, 0);
  if (du!.size === 0) return;
  for (const part of partsOf(call)) {
    const kernels = encodeKernels(context, inputs, part).data;
    const u = encodeRows(context, inputs["u"]!, part);
    const x = inputs["dy"]!;
    const spectra = encodeRows(context, x, part);
    encodeKernelGradients(context, part, u.data, spectra.data, { dk: dk!, dAfter, dD });
    encodeResult(context, part, { spectra, kernels, x, D: inputs["D"], y: du! }, true);
  }
};

function encodeKernelGradients(
  context: WebgpuKernelContext,
  { count, pairs, values }: Part,
  u: Bound,
  dy: Bound,
  { dk, dAfter, dD }: { dk: Tensor; dAfter: Tensor | undefined; dD: Tensor | undefined },
): void {
  const sums = makeSequences(context, count, pairs);
  context.dispatch(sumProgram, [u, dy, sums.data], values, groupsOf(count * pairs));
  encodeTransform(context, sums, true);
  const store = (out: Tensor | undefined, rows: number, isAhead: boolean): void => {
    if (!out || rows === 0) return;
    const own = { ...values, rows, isAhead: isAhead ? 1 : 0, outOffset: out.offset };
    context.dispatch(tapsProgram, [sums.data, out], own, groupsOf(rows * 2 * pairs));
  };
  store(dk, values["taps"]!, false);
  store(dAfter, values["afterTaps"]!, true);
  // what D gives is what a first tap would
  store(dD, 1, false);
}

/** WebGPU kernels of this folder. */
export const fftConvWebgpu = { fftConv, fftConvBackward } as const satisfies Record<string, WebgpuKernel>;
