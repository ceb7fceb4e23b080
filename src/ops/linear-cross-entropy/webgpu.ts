import {
  type Bound,
  failureCode,
  groupMax,
  groupSum,
  type Program,
  type WebgpuKernel,
  type WebgpuKernelContext,
  wgslMath,
} from "../../backends/webgpu/index.ts";
import type { KernelCall } from "../../tensor/device.ts";
import { Tensor } from "../../tensor/tensor.ts";
import { logitGradientProgram } from "../cross-entropy/webgpu.ts";
import { rowsOf, weightOf } from "../linear/webgpu.ts";
import { HALF_VECTOR } from "../matmul/gpu-matrix.ts";
import { encodeProduct, type GpuMatrix, roundsProducts, transposedMatrix } from "../matmul/product.webgpu.ts";
import { halfStride, roundedMatrix } from "../matmul/rounded.webgpu.ts";
import { fill } from "../movement/webgpu.ts";
import { HALF_GRADIENT_THREADS, halfGradientProgram } from "./half-gradient.webgpu.ts";

const WORKGROUP = 64;

/** Threads that share a token's logits of a block. */
const BLOCK_THREADS = 256;

/** Takes a block of logits into each token's maximum, sum under it, and the logit of its target; rows are whole vectors of four. */
const takeIn: Program = {
  name: "linearCrossEntropy block",
  bindings: [
    { name: "logits", type: "vec4<f32>" },
    { name: "targets", type: "i32" },
    { name: "state", type: "f32", write: true },
  ],
  params: ["tokens:u32", "columns:u32", "stride:u32", "firstToken:u32", "firstRow:u32", "targetsOffset:u32"],
  workgroup: BLOCK_THREADS,
  declarations: `${wgslMath("exp") + groupMax(BLOCK_THREADS) + groupSum(BLOCK_THREADS)}
fn inside(c: u32) -> vec4<bool> { return 4u * c + vec4<u32>(0u, 1u, 2u, 3u) < vec4<u32>(p.columns); }`,
  body: `
  let row = min(group, p.tokens - 1u);
  let token = p.firstToken + row;
  let start = row * (p.stride / 4u);
  let vectors = (p.columns + 3u) / 4u;
  let before = select(state[3u * token], -3.4e38, p.firstRow == 0u);
  var most = vec4<f32>(before);
  for (var c = lane; c < vectors; c += ${BLOCK_THREADS}u) { most = max(most, select(most, logits[start + c], inside(c))); }
  let top = groupMax(lane, max(max(most.x, most.y), max(most.z, most.w)));
  var part = vec4<f32>(0.0);
  for (var c = lane; c < vectors; c += ${BLOCK_THREADS}u) {
    let x = logits[start + c] - top;
    part += select(vec4<f32>(0.0), vec4<f32>(expOf(x.x), expOf(x.y), expOf(x.z), expOf(x.w)), inside(c));
  }
  let fresh = groupSum(lane, dot(part, vec4<f32>(1.0)));
  if (lane > 0u || group >= p.tokens) { return; }
  let kept = select(state[3u * token + 1u] * expOf(before - top), 0.0, p.firstRow == 0u);
  state[3u * token] = top;
  state[3u * token + 1u] = kept + fresh;
  let column = targets[p.targetsOffset + token] - i32(p.firstRow);
  if (column >= 0 && u32(column) < p.columns) { state[3u * token + 2u] = logits[start + u32(column) / 4u][u32(column) % 4u]; }`,
};

const finish: Program = {
  name: "linearCrossEntropy",
  bindings: [
    { name: "state", type: "f32" },
    { name: "targets", type: "i32" },
    { name: "losses", type: "f32", write: true },
    { name: "valid", type: "f32", write: true },
    { name: "logSumExp", type: "f32", write: true },
    { name: "failure", type: "atomic<u32>", write: true },
  ],
  params: ["tokens:u32", "vocab:u32", "targetsOffset:u32", "ignoreIndex:i32", "code:u32"],
  workgroup: WORKGROUP,
  declarations: wgslMath("log") + failureCode,
  body: `
  if (index >= p.tokens) { return; }
  let target_id = targets[p.targetsOffset + index];
  let counts = target_id != p.ignoreIndex && target_id >= 0 && u32(target_id) < p.vocab;
  if (target_id != p.ignoreIndex && !counts) { fail(p.code, target_id, index); }
  let total = state[3u * index] + logOf(state[3u * index + 1u]);
  losses[index] = select(0.0, total - state[3u * index + 2u], counts);
  valid[index] = select(0.0, 1.0, counts);
  logSumExp[index] = select(0.0, total, counts);`,
};

/** A block of logits in scratch: tokens from `firstToken`, classes from `firstRow`. */
interface Block {
  readonly logits: Bound;
  readonly firstToken: number;
  readonly tokens: number;
  readonly firstRow: number;
  readonly rows: number;
  /** Elements of a row of logits: its classes, padded. */
  readonly stride: number;
}

interface Operands {
  readonly x: GpuMatrix;
  readonly weight: GpuMatrix;
}

/** Both sides, in float16 where products are rounded to it: they are read once for every block. */
function operandsOf(context: WebgpuKernelContext, { inputs, axes, params }: KernelCall): Operands {
  const x = rowsOf(context, inputs["x"]!);
  const weight = weightOf(context, inputs["weight"]!);
  const inner = axes["dModel"]!;
  if (!roundsProducts(context) || inner === 0) return { x, weight };
  return {
    x: roundedMatrix(context, x, axes["tokens"]!, inner),
    weight: roundedMatrix(context, weight, params["vocabSize"] as number, inner),
  };
}

/** Some rows of a matrix, bound by a window where it is larger than a binding may be. */
function from(context: WebgpuKernelContext, matrix: GpuMatrix, row: number, count: number, columns: number): GpuMatrix {
  const { bound, rowStride } = matrix;
  const offset = matrix.offset + row * rowStride;
  if (!context.hasLarge || !(bound instanceof Tensor)) return { ...matrix, offset };
  const part = context.window(bound, { shape: [count, columns], strides: [rowStride, 1], offset });
  return part ? { ...matrix, bound: part, offset: part.offset } : { ...matrix, offset };
}

/** Blocks that a GPU is busy with, whatever the chunks that suit caches: at most 128 MiB of logits, one binding of any device. */
const BLOCK_TOKENS = 4096;
const BLOCK_ELEMENTS = 2 ** 25;

function blockOf(
  { limits }: WebgpuKernelContext,
  tokens: number,
  vocabSize: number,
): { tokenChunk: number; rowChunk: number } {
  const elements = Math.min(BLOCK_ELEMENTS, Math.floor(limits.maxStorageBufferBindingSize / 4));
  const tokenChunk = Math.min(tokens, BLOCK_TOKENS, Math.max(1, Math.floor(elements / 128)));
  const mostRows = Math.max(1, Math.floor(elements / tokenChunk / 128)) * 128;
  return { tokenChunk, rowChunk: Math.min(vocabSize, mostRows) };
}

/** Works out the logits block by block: all rows of the first tokens, then of the next. */
function forEachBlock(
  context: WebgpuKernelContext,
  { axes, params }: KernelCall,
  { x, weight }: Operands,
  f: (block: Block) => void,
): void {
  const [tokens, inner] = [axes["tokens"]!, axes["dModel"]!];
  const vocabSize = params["vocabSize"] as number;
  const { tokenChunk, rowChunk } = blockOf(context, tokens, vocabSize);
  const logits = context.scratch(4 * tokenChunk * halfStride(rowChunk));
  for (let firstToken = 0; firstToken < tokens; firstToken += tokenChunk) {
    for (let firstRow = 0; firstRow < vocabSize; firstRow += rowChunk) {
      const [rows, columns] = [Math.min(tokenChunk, tokens - firstToken), Math.min(rowChunk, vocabSize - firstRow)];
      const stride = halfStride(columns);
      encodeProduct(context, {
        ...{ batch: 1, rows, inner, columns },
        a: from(context, x, firstToken, rows, inner),
        b: transposedMatrix(from(context, weight, firstRow, columns, inner)),
        y: { bound: logits, offset: 0, rowStride: stride, columnStride: 1, batchStride: 0 },
      });
      f({ logits, firstToken, tokens: rows, firstRow, rows: columns, stride });
    }
  }
}

const linearCrossEntropy: WebgpuKernel = (context, call) => {
  const { inputs, outputs, axes, params } = call;
  const tokens = axes["tokens"]!;
  if (tokens === 0) return;
  const targets = inputs["targets"]!;
  const { losses, valid, logSumExp } = outputs;
  const state = context.scratch(12 * tokens);
  const vocab = params["vocabSize"] as number;
  forEachBlock(context, call, operandsOf(context, call), (block) => {
    const { tokens, rows, stride, firstToken, firstRow } = block;
    const values = { tokens, columns: rows, stride, firstToken, firstRow, targetsOffset: targets.offset };
    context.dispatch(takeIn, [block.logits, targets, state], values, tokens);
  });
  const { memory, code } = context.failure("targets", vocab);
  const values = { tokens, vocab, targetsOffset: targets.offset, ignoreIndex: params["ignoreIndex"] as number, code };
  const bound = [state, targets, losses!, valid!, logSumExp!, memory];
  context.dispatch(finish, bound, values, Math.ceil(tokens / WORKGROUP));
};

/** What turns a block of logits into their gradients, in memory of its own that the next block overwrites. */
function logitGradients(
  context: WebgpuKernelContext,
  { inputs, axes, params }: KernelCall,
  isHalf: boolean,
): (block: Block) => GpuMatrix {
  const { dlosses, dlogSumExp } = inputs;
  const [targets, logSumExp] = [inputs["targets"]!, inputs["logSumExp"]!];
  const given = [dlosses, dlogSumExp].filter((one) => one !== undefined);
  const vocab = params["vocabSize"] as number;
  const { tokenChunk, rowChunk } = blockOf(context, axes["tokens"]!, vocab);
  const bound = context.scratch((isHalf ? 2 : 4) * tokenChunk * halfStride(rowChunk));
  const shared = {
    ...{ vocab, targetsOffset: targets.offset, logSumExpOffset: logSumExp.offset },
    ...{ ignoreIndex: params["ignoreIndex"] as number, logitsOffset: 0, outOffset: 0 },
    ...{ dlossesOffset: dlosses?.offset ?? 0, dlogSumExpOffset: dlogSumExp?.offset ?? 0 },
  };
  const make = isHalf ? halfGradientProgram : logitGradientProgram;
  const program = make(dlosses !== undefined, dlogSumExp !== undefined);
  return ({ logits, firstToken, tokens, firstRow, rows, stride }) => {
    const [rowStride, vectors] = isHalf ? [stride, stride / HALF_VECTOR] : [rows, 0];
    const count = tokens * (isHalf ? vectors : rows);
    const values = { ...shared, count, vectors, classes: rows, firstToken, firstRow, logitsRow: stride };
    const threads = isHalf ? HALF_GRADIENT_THREADS : WORKGROUP;
    context.dispatch(program, [logits, targets, logSumExp, ...given, bound], values, Math.ceil(count / threads));
    return { bound, offset: 0, rowStride, columnStride: 1, batchStride: 0, isHalf };
  };
}

const linearCrossEntropyBackward: WebgpuKernel = (context, call) => {
  const { outputs, axes } = call;
  const { dx, dweight } = outputs;
  const inner = axes["dModel"]!;
  for (const out of [dx, dweight]) if (out && out.size > 0) fill(context, out, 0);
  if (axes["tokens"] === 0) return;
  const operands = operandsOf(context, call);
  const gradientOf = logitGradients(context, call, operands.weight.isHalf ?? false);
  /** out[first ...] += a b */
  const accumulate = (a: GpuMatrix, b: GpuMatrix, rows: number, depth: number, out: Tensor, first: number): void => {
    const whole = { bound: out, offset: out.offset, rowStride: inner, columnStride: 1, batchStride: 0 };
    const y = from(context, whole, first, rows, inner);
    encodeProduct(context, { batch: 1, rows, inner: depth, columns: inner, a, b, y, adds: true });
  };
  forEachBlock(context, call, operands, (block) => {
    const { firstToken, tokens, firstRow, rows } = block;
    const own = gradientOf(block);
    if (dx) {
      accumulate(own, from(context, operands.weight, firstRow, rows, inner), tokens, rows, dx, firstToken);
    }
    if (dweight) {
      const x = from(context, operands.x, firstToken, tokens, inner);
      accumulate(transposedMatrix(own), x, rows, tokens, dweight, firstRow);
    }
  });
};

/** WebGPU kernels of this folder. */
export const linearCrossEntropyWebgpu = {
  linearCrossEntropy,
  linearCrossEntropyBackward,
} as const satisfies Record<string, WebgpuKernel>;
