import type { Bound, WebgpuKernelContext } from "../../backends/webgpu/index.ts";
import { failureCode, type Program, type WebgpuKernel } from "../../backends/webgpu/index.ts";
import { bytesPerElement } from "../../tensor/dtype.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import { isQuantized } from "../../tensor/weight-formats.ts";
import { weightOf } from "../linear/webgpu.ts";
import { formatOf, type GpuFormat, quadWeight, scalesAt } from "../linear/weight.webgpu.ts";
import { denseCopy, fillPart } from "../movement/webgpu.ts";

const WORKGROUP = 64;

/** Integer rows as dense ones: the tensor itself if it is. */
export function denseIds(context: WebgpuKernelContext, ids: Tensor): { bound: Bound; offset: number } {
  return ids.dense ? { bound: ids, offset: ids.offset } : { bound: denseCopy(context, ids), offset: 0 };
}

const element: Readonly<Record<GpuFormat, string>> = {
  float32: "table[at]",
  float16: "unpack2x16float(table[at / 2u])[at % 2u]",
  int8: "load_table(at / 4u)[at % 4u]",
  int4: "load_table(at / 4u)[at % 4u]",
};

const gather = (format: GpuFormat): Program => ({
  name: `embedding${format === "float32" ? "" : ` ${format}`}`,
  bindings: [
    { name: "table", type: format === "float32" ? "f32" : "u32" },
    { name: "ids", type: "i32" },
    { name: "out", type: "f32", write: true },
    { name: "failure", type: "atomic<u32>", write: true },
  ],
  params: [
    ...(["count:u32", "channels:u32", "vocab:u32", "tableOffset:u32", "tableRow:u32"] as const),
    ...(["idsOffset:u32", "outOffset:u32", "code:u32", "scalesAt:u32", "firstRow:u32", "rows:u32"] as const),
  ],
  workgroup: WORKGROUP,
  declarations: `${failureCode}${isQuantized(format) ? quadWeight("table", format, "p.scalesAt").load : ""}`,
  body: `
  if (index >= p.count) { return; }
  let token = index / p.channels;
  let id = ids[p.idsOffset + token];
  var value = 0.0;
  // rows of other parts of the table
  if (id >= 0 && u32(id) < p.vocab && u32(id) - p.firstRow >= p.rows) { return; }
  if (id < 0 || u32(id) >= p.vocab) { fail(p.code, id, token); }
  else {
    let at = p.tableOffset + (u32(id) - p.firstRow) * p.tableRow + index % p.channels;
    value = ${element[format]};
  }
  out[p.outOffset + index] = value;`,
});
const gatherPrograms = {
  float32: gather("float32"),
  float16: gather("float16"),
  int8: gather("int8"),
  int4: gather("int4"),
};

/** Tokens whose ids are looked through together; an id has one bit for each such block, in words of 32. */
const BLOCK = 64;
const WORD = 32;

/** Notes in which blocks each id occurs. */
const mark: Program = {
  name: "embeddingBackward mark",
  bindings: [
    { name: "ids", type: "i32" },
    { name: "blocks", type: "atomic<u32>", write: true },
  ],
  params: ["tokens:u32", "vocab:u32", "words:u32", "idsOffset:u32"],
  workgroup: WORKGROUP,
  body: `
  if (index >= p.tokens) { return; }
  let id = ids[p.idsOffset + index];
  if (id < 0 || u32(id) >= p.vocab) { return; }
  let block = index / ${BLOCK}u;
  atomicOr(&blocks[u32(id) * p.words + block / ${WORD}u], 1u << (block % ${WORD}u));`,
};

/** A thread owns a channel of a row of the table and adds up its tokens in order: no two threads add to one place. */
const collect: Program = {
  name: "embeddingBackward",
  bindings: [
    { name: "ids", type: "i32" },
    { name: "blocks", type: "u32" },
    { name: "dy", type: "f32" },
    { name: "out", type: "f32", write: true },
  ],
  params: [
    ...(["count:u32", "channels:u32", "tokens:u32", "words:u32"] as const),
    ...(["idsOffset:u32", "dyOffset:u32", "dyRow:u32", "outOffset:u32", "firstRow:u32"] as const),
  ],
  workgroup: WORKGROUP,
  body: `
  if (index >= p.count) { return; }
  let row = p.firstRow + index / p.channels;
  let channel = index % p.channels;
  var sum = 0.0;
  for (var word = 0u; word < p.words; word++) {
    var left = blocks[row * p.words + word];
    while (left != 0u) {
      let first = (word * ${WORD}u + firstTrailingBit(left)) * ${BLOCK}u;
      left &= left - 1u;
      for (var t = first; t < min(p.tokens, first + ${BLOCK}u); t++) {
        if (ids[p.idsOffset + t] == i32(row)) { sum += dy[p.dyOffset + t * p.dyRow + channel]; }
      }
    }
  }
  out[p.outOffset + index] = sum;`,
};

const embedding: WebgpuKernel = (context, { inputs, outputs, axes }) => {
  const [table, ids, y] = [inputs["table"]!, inputs["ids"]!, outputs["y"]!];
  if (y.size === 0) return;
  const format = formatOf(table) ?? "float32";
  const rows = denseIds(context, ids);
  const { memory, code } = context.failure("ids", axes["vocab"]!);
  const shared = {
    ...{ count: y.size, channels: axes["channels"]!, vocab: axes["vocab"]!, code },
    ...{ scalesAt: scalesAt(table.dtype, table.size), idsOffset: rows.offset, outOffset: y.offset },
  };
  for (const { part, first } of rowParts(context, table)) {
    const own =
      format === "float32"
        ? weightOf(context, part)
        : { bound: part, offset: part.offset, rowStride: part.strides[0]! };
    const places = { tableOffset: own.offset, tableRow: own.rowStride, firstRow: first, rows: part.shape[0]! };
    const bound = [own.bound, rows.bound, y, memory];
    context.dispatch(gatherPrograms[format], bound, { ...shared, ...places }, Math.ceil(y.size / WORKGROUP));
  }
};

/** Rows of a matrix, in parts where it is larger than a binding may be. */
export function rowParts(context: WebgpuKernelContext, matrix: Tensor): { part: Tensor; first: number }[] {
  if (!context.hasLarge || matrix.layout !== "strided") return [{ part: matrix, first: 0 }];
  const whole = context.window(matrix, matrix);
  if (whole) return [{ part: whole, first: 0 }];
  const { maxStorageBufferBindingSize, minStorageBufferOffsetAlignment } = context.limits;
  const [rows, columns] = matrix.shape as [number, number];
  const bytes = matrix.strides[0]! * bytesPerElement(matrix.dtype);
  const count = Math.max(1, Math.floor((maxStorageBufferBindingSize - 2 * minStorageBufferOffsetAlignment) / bytes));
  return Array.from({ length: Math.ceil(rows / count) }, (_, i) => {
    const first = i * count;
    const shape = [Math.min(count, rows - first), columns];
    const offset = matrix.offset + first * matrix.strides[0]!;
    // a row that is too large is refused where it is bound
    return { part: context.window(matrix, { shape, strides: matrix.strides, offset }) ?? matrix, first };
  });
}

const embeddingBackward: WebgpuKernel = (context, { inputs, outputs, axes }) => {
  const [ids, dy, dtable] = [inputs["ids"]!, inputs["dy"]!, outputs["dtable"]!];
  if (dtable.size === 0) return;
  const rows = denseIds(context, ids);
  const gradients = dy.dense ? { bound: dy, offset: dy.offset } : { bound: denseCopy(context, dy), offset: 0 };
  const { channels, vocab } = axes as Record<"channels" | "vocab", number>;
  const words = Math.ceil(ids.size / (BLOCK * WORD));
  const blocks = context.scratch(4 * Math.max(1, vocab * words));
  fillPart(context, blocks, 0, vocab * words, 0);
  const marks = { tokens: ids.size, vocab, words, idsOffset: rows.offset };
  context.dispatch(mark, [rows.bound, blocks], marks, Math.ceil(ids.size / WORKGROUP));
  for (const { part, first } of rowParts(context, dtable)) {
    const values = {
      ...{ count: part.size, channels, tokens: ids.size, words, idsOffset: rows.offset, firstRow: first },
      ...{ dyOffset: gradients.offset, dyRow: channels, outOffset: part.offset },
    };
    context.dispatch(collect, [rows.bound, blocks, gradients.bound, part], values, Math.ceil(part.size / WORKGROUP));
  }
};

/** WebGPU kernels of this folder. */
export const embeddingWebgpu = { embedding, embeddingBackward } as const satisfies Record<string, WebgpuKernel>;
