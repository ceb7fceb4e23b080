import {
  type Bound,
  denseParts,
  type GpuMemory,
  mergeAxes,
  type Program,
  programNamed,
  type WebgpuKernel,
  type WebgpuKernelContext,
  walkByFour,
  walkCode,
  walkParams,
  walkValues,
} from "../../backends/webgpu/index.ts";
import { bytesPerElement } from "../../tensor/dtype.ts";
import { denseStrides } from "../../tensor/shape.ts";
import { Tensor, type View } from "../../tensor/tensor.ts";

const WORKGROUP = 64;
/** Threads of a program that moves four elements a thread. */
const WIDE_WORKGROUP = 256;
const names = ["x", "out"] as const;

/** Elements of four bytes, whatever they mean, from one walk to another, one or four a thread. */
function copyWords(rank: number, isWide: boolean): Program {
  return programNamed(`copy rank ${rank}${isWide ? " by four" : ""}`, () => ({
    bindings: [
      { name: "xIn", type: isWide ? "vec4<u32>" : "u32" },
      { name: "out", type: isWide ? "vec4<u32>" : "u32", write: true },
    ],
    params: walkParams(names, rank),
    workgroup: isWide ? WIDE_WORKGROUP : WORKGROUP,
    body: `
  if (index >= p.count) { return; }
  ${walkCode(names, rank)}
  out[outAt] = xIn[xAt];`,
  }));
}

/** Smaller elements into dense ones: a thread gathers those of one word. */
function copyParts(width: 1 | 2, rank: number): Program {
  return programNamed(`copy ${width} bytes rank ${rank}`, () => {
    const perWord = 4 / width;
    const bits = 8 * width;
    return {
      bindings: [
        { name: "xIn", type: "u32" },
        { name: "out", type: "u32", write: true },
      ],
      params: [...walkParams(["x"], rank), "outOffset:u32"],
      workgroup: WORKGROUP,
      declarations: `
fn part(index: u32) -> u32 {
  ${walkCode(["x"], rank)}
  return (xIn[xAt / ${perWord}u] >> (${bits}u * (xAt % ${perWord}u))) & ${2 ** bits - 1}u;
}`,
      body: `
  let first = index * ${perWord}u;
  if (first >= p.count) { return; }
  var word = 0u;
  for (var k = 0u; k < ${perWord}u && first + k < p.count; k++) { word |= part(first + k) << (${bits}u * k); }
  out[p.outOffset + index] = word;`,
    };
  });
}

const fillProgram: Program = {
  name: "fill",
  bindings: [{ name: "out", type: "f32", write: true }],
  params: ["count:u32", "outOffset:u32", "value:f32"],
  workgroup: WORKGROUP,
  body: `
  if (index < p.count) { out[p.outOffset + index] = p.value; }`,
};

/** Overwrites a dense float tensor with one number. */
export function fill(context: WebgpuKernelContext, out: Tensor, value: number): void {
  for (const [part] of denseParts(context, [out])) fillPart(context, part!, part!.offset, part!.size, value);
}

const addProgram: Program = {
  name: "add into",
  bindings: [
    { name: "x", type: "f32" },
    { name: "out", type: "f32", write: true },
  ],
  params: ["count:u32", "xOffset:u32", "outOffset:u32"],
  workgroup: WORKGROUP,
  body: `
  if (index < p.count) { out[p.outOffset + index] += x[p.xOffset + index]; }`,
};

/** Adds a dense tensor to a dense view of another, in place. */
export function addInto(context: WebgpuKernelContext, whole: Tensor, view: View, x: Tensor): void {
  const target = new Tensor(whole.storage, whole.dtype, view);
  for (const [own, out] of denseParts(context, [x, target])) {
    const values = { count: out!.size, xOffset: own!.offset, outOffset: out!.offset };
    context.dispatch(addProgram, [own!, out!], values, Math.ceil(out!.size / WORKGROUP));
  }
}

/** Overwrites some floats of a buffer with one number. */
export function fillPart(
  context: WebgpuKernelContext,
  out: Bound,
  outOffset: number,
  count: number,
  value: number,
): void {
  context.dispatch(fillProgram, [out], { count, outOffset, value }, Math.ceil(count / WORKGROUP));
}

/** A dense copy in scratch of a tensor of four-byte elements. */
export function denseCopy(context: WebgpuKernelContext, x: Tensor): GpuMemory {
  const to = context.scratch(4 * x.size);
  copyInto(context, x, to, { strides: denseStrides(x.shape), offset: 0 });
  return to;
}

/** Copies elements of four bytes to any place in another tensor. */
export function copyInto(
  context: WebgpuKernelContext,
  x: Tensor,
  out: Bound,
  place: { readonly strides: readonly number[]; readonly offset: number },
): void {
  if (x.size === 0) return;
  const merged = mergeAxes(x.shape, [x.strides, place.strides]);
  const offsets = [x.offset, place.offset];
  const wide = walkByFour(merged, offsets);
  const params = walkValues(names, wide?.offsets ?? offsets, wide?.merged ?? merged);
  const groups = Math.ceil(params["count"]! / (wide ? WIDE_WORKGROUP : WORKGROUP));
  context.dispatch(copyWords(merged.sizes.length, wide !== undefined), [x, out], params, groups);
}

const copy: WebgpuKernel = (context, { inputs, outputs }) => {
  const [x, y] = [inputs["x"]!, outputs["y"]!];
  if (x.size === 0) return;
  const width = bytesPerElement(x.dtype);
  if (width === 4) return copyInto(context, x, y, y);
  const merged = mergeAxes(x.shape, [x.strides]);
  const words = Math.ceil((x.size * width) / 4);
  const program = copyParts(width as 1 | 2, merged.sizes.length);
  const params = { ...walkValues(["x"], [x.offset], merged), outOffset: (y.offset * width) / 4 };
  context.dispatch(program, [x, y], params, Math.ceil(words / WORKGROUP));
};

const placeSlice: WebgpuKernel = (context, { inputs, outputs, params }) => {
  const [dy, dx] = [inputs["dy"]!, outputs["dx"]!];
  const strides = denseStrides(dx.shape);
  const start = params["start"] as number;
  fill(context, dx, 0);
  copyInto(context, dy, dx, { strides, offset: dx.offset + start * strides[params["axis"] as number]! });
};

const concat: WebgpuKernel = (context, { inputs, outputs, params }) => {
  const y = outputs["y"]!;
  const axis = params["axis"] as number;
  let at = 0;
  for (const part of Object.values(inputs)) {
    if (!part) continue;
    copyInto(context, part, y, { strides: y.strides, offset: y.offset + at * y.strides[axis]! });
    at += part.shape[axis]!;
  }
};

/** WebGPU kernels of this folder. */
export const movementWebgpu = { copy, placeSlice, concat } as const satisfies Record<string, WebgpuKernel>;
