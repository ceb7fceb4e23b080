import {
  type Bound,
  groupSum,
  type Program,
  programNamed,
  type WebgpuKernel,
  type WebgpuKernelContext,
} from "../../backends/webgpu/index.ts";
import { Tensor } from "../../tensor/tensor.ts";
import type { GpuMatrix } from "../matmul/product.webgpu.ts";

const WORKGROUP = 64;
/** Elements that one workgroup adds up; more are added in two steps. */
const CHUNK = 4096;

const params = [
  ...["outer:u32", "middle:u32", "inner:u32", "xOffset:u32", "outerStride:u32", "middleStride:u32", "innerStride:u32"],
  ...["outOffset:u32", "chunks:u32", "chunk:u32"],
] as Program["params"];

const sumProgram: Program = {
  name: "reduceSum",
  bindings: [
    { name: "x", type: "f32" },
    { name: "out", type: "f32", write: true },
  ],
  params,
  workgroup: WORKGROUP,
  declarations: groupSum(WORKGROUP),
  body: `
  let chunk = group % p.chunks;
  let place = group / p.chunks;
  let start = p.xOffset + (place / p.inner) * p.outerStride + (place % p.inner) * p.innerStride;
  let end = min(p.middle, (chunk + 1u) * p.chunk);
  var sum = 0.0;
  if (place < p.outer * p.inner) {
    for (var m = chunk * p.chunk + lane; m < end; m += ${WORKGROUP}u) { sum += x[start + m * p.middleStride]; }
  }
  let total = groupSum(lane, sum);
  if (lane == 0u && place < p.outer * p.inner) { out[p.outOffset + group] = total; }`,
};

const shortSumProgram: Program = {
  name: "reduceSum short",
  bindings: sumProgram.bindings,
  params,
  workgroup: WORKGROUP,
  body: `
  if (index >= p.outer * p.inner) { return; }
  let start = p.xOffset + (index / p.inner) * p.outerStride + (index % p.inner) * p.innerStride;
  var sum = 0.0;
  for (var m = 0u; m < p.middle; m++) { sum += x[start + m * p.middleStride]; }
  out[p.outOffset + index] = sum;`,
};

/** Threads of a workgroup that adds up columns. */
const COLUMN_THREADS = 256;
/** Rows that each of them takes, loads that it has under way at a time: the sums wait for memory, not for arithmetic. */
const [ROWS_EACH, LOADS] = [16, 4];

/**
 * Columns side by side in neighbouring threads, one or four a thread; `chunk` rows a workgroup.
 *
 * @param tile - threads side by side
 */
const columnSumProgram = (tile: number, isWide: boolean): Program =>
  programNamed(`reduceSum columns ${tile}${isWide ? " by four" : ""}`, () => {
    const type = isWide ? "vec4<f32>" : "f32";
    const rows = COLUMN_THREADS / tile;
    const loads = Array.from({ length: LOADS }, (_, k) => k);
    return {
      bindings: [
        { name: "x", type },
        { name: "out", type, write: true },
      ],
      params: [...params, "tiles:u32"],
      workgroup: COLUMN_THREADS,
      declarations: `var<workgroup> parts: array<${type}, ${COLUMN_THREADS}>;`,
      body: `
  let column = (group % p.tiles) * ${tile}u + lane % ${tile}u;
  let chunk = (group / p.tiles) % p.chunks;
  let outer = group / (p.tiles * p.chunks);
  let start = p.xOffset + outer * p.outerStride + column * p.innerStride;
  var sum = ${type}();
  if (column < p.inner && outer < p.outer) {
    let end = min(p.middle, (chunk + 1u) * p.chunk);
    var m = chunk * p.chunk + lane / ${tile}u;
    ${loads.map((k) => `var sum${k} = ${type}();`).join(" ")}
    for (; m + ${(LOADS - 1) * rows}u < end; m += ${LOADS * rows}u) {
      ${loads.map((k) => `sum${k} += x[start + (m + ${k * rows}u) * p.middleStride];`).join("\n      ")}
    }
    for (; m < end; m += ${rows}u) { sum += x[start + m * p.middleStride]; }
    ${loads.map((k) => `sum += sum${k};`).join(" ")}
  }
  parts[lane] = sum;
  workgroupBarrier();
  if (lane < ${tile}u && column < p.inner && outer < p.outer) {
    for (var k = lane + ${tile}u; k < ${COLUMN_THREADS}u; k += ${tile}u) { sum += parts[k]; }
    out[p.outOffset + (outer * p.chunks + chunk) * p.inner + column] = sum;
  }`,
    };
  });

const maxProgram: Program = {
  name: "reduceMax",
  bindings: [
    { name: "x", type: "f32" },
    { name: "out", type: "f32", write: true },
    { name: "place", type: "i32", write: true },
  ],
  params: [...params, "placeOffset:u32"],
  workgroup: WORKGROUP,
  body: `
  if (index >= p.outer * p.inner) { return; }
  let start = p.xOffset + (index / p.inner) * p.outerStride + (index % p.inner) * p.innerStride;
  var most = x[start];
  var at = 0u;
  for (var m = 1u; m < p.middle; m++) {
    let value = x[start + m * p.middleStride];
    if (value > most) { most = value; at = m; }
  }
  out[p.outOffset + index] = most;
  place[p.placeOffset + index] = i32(at);`,
};

const maxBackwardProgram: Program = {
  name: "reduceMaxBackward",
  bindings: [
    { name: "place", type: "i32" },
    { name: "dy", type: "f32" },
    { name: "dx", type: "f32", write: true },
  ],
  params: [
    ...(["count:u32", "middle:u32", "inner:u32", "dxOffset:u32"] as const),
    ...(["placeOffset:u32", "placeOuter:u32", "placeInner:u32", "dyOffset:u32", "dyOuter:u32", "dyInner:u32"] as const),
  ],
  workgroup: WORKGROUP,
  body: `
  if (index >= p.count) { return; }
  let inner = index % p.inner;
  let middle = (index / p.inner) % p.middle;
  let outer = index / (p.inner * p.middle);
  let at = place[p.placeOffset + outer * p.placeOuter + inner * p.placeInner];
  let own = dy[p.dyOffset + outer * p.dyOuter + inner * p.dyInner];
  dx[p.dxOffset + index] = select(0.0, own, at == i32(middle));`,
};

function values(x: Tensor, out: Tensor): Record<string, number> {
  const [outer, middle, inner] = x.shape as [number, number, number];
  const [outerStride, middleStride, innerStride] = x.strides as [number, number, number];
  const strides = { outerStride, middleStride, innerStride };
  return { outer, middle, inner, xOffset: x.offset, ...strides, outOffset: out.offset, chunks: 1, chunk: middle };
}

const reduceSum: WebgpuKernel = (context, { inputs, outputs }) => {
  const [x, y] = [inputs["x"]!, outputs["y"]!];
  sumMiddle(context, x, values(x, y), { bound: y, offset: y.offset, size: y.size });
};

function sumMiddle(
  context: WebgpuKernelContext,
  x: Bound,
  own: Readonly<Record<string, number>>,
  { bound: y, offset, size }: GpuVector,
): void {
  if (size === 0) return;
  const middle = own["middle"]!;
  if (own["inner"]! > 1 && middle > 1) {
    sumColumns(context, x, own, { bound: y, offset, size });
    return;
  }
  if (middle < WORKGROUP) {
    context.dispatch(shortSumProgram, [x, y], own, Math.ceil(size / WORKGROUP));
    return;
  }
  const chunks = Math.ceil(middle / CHUNK);
  if (chunks === 1) {
    context.dispatch(sumProgram, [x, y], own, size);
    return;
  }
  const sums = context.scratch(4 * size * chunks);
  const first = { ...own, chunks, chunk: CHUNK, outOffset: 0 };
  context.dispatch(sumProgram, [x, sums], first, size * chunks);
  const shape = { outer: size, middle: chunks, inner: 1, xOffset: 0, chunks: 1, chunk: chunks, outOffset: offset };
  const strides = { outerStride: chunks, middleStride: 1, innerStride: 0 };
  context.dispatch(sumProgram, [sums, y], { ...shape, ...strides }, size);
}

/** Sums the middle axis where the inner one is longer than 1, in as many rounds as its length asks for. */
function sumColumns(context: WebgpuKernelContext, x: Bound, own: Readonly<Record<string, number>>, y: GpuVector): void {
  const { outer, middle, inner } = own as Record<"outer" | "middle" | "inner", number>;
  const isWide = own["innerStride"] === 1 && y.offset % 4 === 0 && counted.every((name) => own[name]! % 4 === 0);
  const unit = isWide ? 4 : 1;
  const tile = Math.min(64 / unit, 2 ** Math.ceil(Math.log2(inner / unit)));
  const tiles = Math.ceil(inner / unit / tile);
  const chunk = (COLUMN_THREADS / tile) * ROWS_EACH;
  const chunks = middle <= 2 * chunk ? 1 : Math.ceil(middle / chunk);
  const isLast = chunks === 1;
  const out = isLast ? y.bound : context.scratch(4 * outer * chunks * inner);
  const places = Object.fromEntries(counted.map((name) => [name, own[name]! / unit]));
  const outOffset = isLast ? y.offset / unit : 0;
  const values = { ...own, ...places, tiles, chunks, chunk: isLast ? middle : chunk, outOffset };
  context.dispatch(columnSumProgram(tile, isWide), [x, out], values, outer * chunks * tiles);
  if (isLast) return;
  const sizes = { outer, middle: chunks, inner, xOffset: 0 };
  sumColumns(context, out, { ...sizes, outerStride: chunks * inner, middleStride: inner, innerStride: 1 }, y);
}

/** What is counted in fours where columns are taken four at a time. */
const counted = ["inner", "xOffset", "outerStride", "middleStride"] as const;

/** A dense vector in a buffer: a tensor's, or of scratch. */
export interface GpuVector {
  readonly bound: Bound;
  readonly offset: number;
  readonly size: number;
}

/** Sums the rows of a matrix away: total [columns]. */
export function sumRows(
  context: WebgpuKernelContext,
  matrix: GpuMatrix,
  rows: number,
  given: Tensor | GpuVector,
): void {
  const total = given instanceof Tensor ? { bound: given, offset: given.offset, size: given.size } : given;
  const { bound, offset, rowStride } = matrix;
  const sizes = { outer: 1, middle: rows, inner: total.size, xOffset: offset };
  const strides = { outerStride: 0, middleStride: rowStride, innerStride: 1 };
  sumMiddle(context, bound, { ...sizes, ...strides, outOffset: total.offset, chunks: 1, chunk: rows }, total);
}

const reduceMax: WebgpuKernel = (context, { inputs, outputs }) => {
  const [x, y, at] = [inputs["x"]!, outputs["y"]!, outputs["at"]!];
  if (y.size === 0) return;
  const own = { ...values(x, y), placeOffset: at.offset };
  context.dispatch(maxProgram, [x, y, at], own, Math.ceil(y.size / WORKGROUP));
};

const reduceMaxBackward: WebgpuKernel = (context, { inputs, outputs, axes }) => {
  const [at, dy, dx] = [inputs["at"]!, inputs["dy"]!, outputs["dx"]!];
  if (dx.size === 0) return;
  const sizes = { count: dx.size, middle: axes["middle"]!, inner: axes["inner"]!, dxOffset: dx.offset };
  const ofPlace = { placeOffset: at.offset, placeOuter: at.strides[0]!, placeInner: at.strides[1]! };
  const ofDy = { dyOffset: dy.offset, dyOuter: dy.strides[0]!, dyInner: dy.strides[1]! };
  context.dispatch(maxBackwardProgram, [at, dy, dx], { ...sizes, ...ofPlace, ...ofDy }, Math.ceil(dx.size / WORKGROUP));
};

/** WebGPU kernels of this folder. */
export const reduceWebgpu = { reduceSum, reduceMax, reduceMaxBackward } as const satisfies Record<string, WebgpuKernel>;
