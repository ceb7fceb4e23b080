import {
  type Bound,
  type Program,
  programNamed,
  type WebgpuKernel,
  type WebgpuKernelContext,
} from "../../backends/webgpu/index.ts";
import type { KernelCall } from "../../tensor/device.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import { powerOfTwo } from "../fourier/power-of-two.ts";
import {
  complexCode,
  encodeTransform,
  exchange,
  makeSequences,
  type Sequences,
  WORKGROUP,
} from "../fourier/transform.webgpu.ts";
import { fill } from "../movement/webgpu.ts";

/** Bytes of the sequences that are transformed together. */
const MOST_BYTES = 2 ** 26;

/** `pairs` of channels from `firstPair` on go through together; a pair is one complex sequence. */
const sizes = [
  ...(["batch:u32", "length:u32", "channels:u32", "count:u32", "pairs:u32", "firstPair:u32"] as const),
  ...(["taps:u32", "afterTaps:u32"] as const),
];

/** WGSL: what the first and the second channel of a pair have at a frequency, from there and from its negative. */
const splitCode = `${complexCode}
fn firstOf(here: vec2<f32>, there: vec2<f32>) -> vec2<f32> { return 0.5 * (here + conj(there)); }
fn secondOf(here: vec2<f32>, there: vec2<f32>) -> vec2<f32> {
  let less = 0.5 * (here - conj(there));
  return vec2<f32>(less.y, -less.x);
}
fn joined(a: vec2<f32>, b: vec2<f32>) -> vec2<f32> { return vec2<f32>(a.x - b.y, a.y + b.x); }`;

/** Taps from 0 on, and those that look ahead from the end on backwards. */
function kernelProgram(hasAfter: boolean): Program {
  return programNamed(`fftConv kernels${hasAfter ? " after" : ""}`, () => ({
    bindings: [
      { name: "k", type: "f32" },
      ...(hasAfter ? [{ name: "ahead", type: "f32" } as const] : []),
      { name: "target_", type: "vec2<f32>", write: true },
    ],
    params: [...sizes, "kOffset:u32", "kRow:u32", "aheadOffset:u32", "aheadRow:u32"],
    workgroup: WORKGROUP,
    declarations: `
fn tapAt(j: u32, c: u32) -> f32 {
  if (c >= p.channels) { return 0.0; }
  if (j < p.taps) { return k[p.kOffset + j * p.kRow + c]; }
  ${hasAfter ? "if (p.count - 1u - j < p.afterTaps) { return ahead[p.aheadOffset + (p.count - 1u - j) * p.aheadRow + c]; }" : ""}
  return 0.0;
}`,
    body: `
  if (index >= p.count * p.pairs) { return; }
  let c = 2u * (p.firstPair + index % p.pairs);
  let j = index / p.pairs;
  target_[index] = vec2<f32>(tapAt(j, c), tapAt(j, c + 1u));`,
  }));
}

/** Rows of x, then zeros; all of the batch side by side. */
const rowsProgram: Program = {
  name: "fftConv rows",
  bindings: [
    { name: "x", type: "f32" },
    { name: "target_", type: "vec2<f32>", write: true },
  ],
  params: [...sizes, "xOffset:u32", "xBatch:u32", "xTime:u32"],
  workgroup: WORKGROUP,
  body: `
  let columns = p.batch * p.pairs;
  if (index >= p.count * columns) { return; }
  let column = index % columns;
  let t = index / columns;
  let c = 2u * (p.firstPair + column % p.pairs);
  var value = vec2<f32>(0.0);
  if (t < p.length) {
    let at = p.xOffset + column / p.pairs * p.xBatch + t * p.xTime + c;
    value.x = x[at];
    if (c + 1u < p.channels) { value.y = x[at + 1u]; }
  }
  target_[index] = value;`,
};

/** Spectra times those of the kernels, or times their conjugates. */
const multiplyProgram = (isConjugate: boolean): Program =>
  programNamed(`fftConv multiply${isConjugate ? " conjugate" : ""}`, () => {
    const kernel = (part: string): string => (isConjugate ? `conj(${part})` : part);
    return {
      bindings: [
        { name: "source", type: "vec2<f32>" },
        { name: "kernels", type: "vec2<f32>" },
        { name: "target_", type: "vec2<f32>", write: true },
      ],
      params: sizes,
      workgroup: WORKGROUP,
      declarations: splitCode,
      body: `
  let columns = p.batch * p.pairs;
  if (index >= p.count * columns) { return; }
  let column = index % columns;
  let j = index / columns;
  let other = (p.count - j) % p.count;
  let here = source[index];
  let there = source[other * columns + column];
  let pair = column % p.pairs;
  let kernel = kernels[j * p.pairs + pair];
  let negative = kernels[other * p.pairs + pair];
  let a = times(firstOf(here, there), ${kernel("firstOf(kernel, negative)")});
  let b = times(secondOf(here, there), ${kernel("secondOf(kernel, negative)")});
  target_[index] = joined(a, b) / f32(p.count);`,
    };
  });

/** y = the real and imaginary parts of sequences as neighbouring channels, + D x. */
function finishProgram(hasD: boolean): Program {
  return programNamed(`fftConv finish${hasD ? " D" : ""}`, () => ({
    bindings: [
      { name: "source", type: "vec2<f32>" },
      ...(hasD
        ? ([
            { name: "skip", type: "f32" },
            { name: "x", type: "f32" },
          ] as const)
        : []),
      { name: "y", type: "f32", write: true },
    ],
    params: [...sizes, "skipOffset:u32", "xOffset:u32", "xBatch:u32", "xTime:u32", "yOffset:u32"],
    workgroup: WORKGROUP,
    body: `
  let width = min(2u * p.pairs, p.channels - 2u * p.firstPair);
  if (index >= p.batch * p.length * width) { return; }
  let own = index % width;
  let t = (index / width) % p.length;
  let b = index / (width * p.length);
  let value = source[t * p.batch * p.pairs + b * p.pairs + own / 2u];
  let c = 2u * p.firstPair + own;
  var sum = select(value.x, value.y, own % 2u == 1u);
  ${hasD ? "sum = fma(skip[p.skipOffset + c], x[p.xOffset + b * p.xBatch + t * p.xTime + c], sum);" : ""}
  y[p.yOffset + (b * p.length + t) * p.channels + c] = sum;`,
  }));
}

/** Spectra of the kernels' gradients: products of those of u and dy, summed over the batch. */
const sumProgram: Program = {
  name: "fftConv kernel gradients",
  bindings: [
    { name: "u", type: "vec2<f32>" },
    { name: "dy", type: "vec2<f32>" },
    { name: "target_", type: "vec2<f32>", write: true },
  ],
  params: sizes,
  workgroup: WORKGROUP,
  declarations: splitCode,
  body: `
  if (index >= p.count * p.pairs) { return; }
  let pair = index % p.pairs;
  let j = index / p.pairs;
  let other = (p.count - j) % p.count;
  var a = vec2<f32>(0.0);
  var b = vec2<f32>(0.0);
  for (var row = 0u; row < p.batch; row++) {
    let here = (j * p.batch + row) * p.pairs + pair;
    let there = (other * p.batch + row) * p.pairs + pair;
    a += times(conj(firstOf(u[here], u[there])), firstOf(dy[here], dy[there]));
    b += times(conj(secondOf(u[here], u[there])), secondOf(dy[here], dy[there]));
  }
  target_[index] = joined(a, b) / f32(p.count);`,
};

/** Rows of a sequence as rows of a kernel's gradient. */
const tapsProgram: Program = {
  name: "fftConv taps",
  bindings: [
    { name: "source", type: "vec2<f32>" },
    { name: "out", type: "f32", write: true },
  ],
  params: [...sizes, "rows:u32", "isAhead:u32", "outOffset:u32"],
  workgroup: WORKGROUP,
  body: `
  let width = min(2u * p.pairs, p.channels - 2u * p.firstPair);
  if (index >= p.rows * width) { return; }
  let own = index % width;
  let j = index / width;
  let value = source[select(j, p.count - 1u - j, p.isAhead == 1u) * p.pairs + own / 2u];
  out[p.outOffset + j * p.channels + 2u * p.firstPair + own] = select(value.x, value.y, own % 2u == 1u);`,
};

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
