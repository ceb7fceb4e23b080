import type { Range, WasmKernelContext } from "../../backends/wasm/index.ts";
import type { DType } from "../../tensor/dtype.ts";
import { type Operand, partOf } from "./operand.ts";
import { ScratchLoop } from "./scratch-loop.ts";
import { encodeBlockProduct, roundsActivations, weightTypeNumber } from "./weight.ts";

/** A matrix [inner columns] in panels of 8 columns: a packed weight [columns inner], or float32 as [ceil(columns / 8)] [inner] [8]. */
export interface Panels {
  readonly address: number;
  readonly range: Range;
  readonly dtype: DType;
}

/** y = a b (+ bias), or y += a b; y has dense columns. */
export interface Product {
  /** [rows inner] */
  readonly a: Operand;
  /** [inner columns] */
  readonly b: Operand | Panels;
  readonly y: Pick<Operand, "address" | "rowStride" | "batchStride" | "range">;
  readonly rows: number;
  readonly inner: number;
  readonly columns: number;
  /** Default 1. */
  readonly batches?: number;
  /** [columns] */
  readonly bias?: { readonly address: number; readonly range: Range };
  readonly add?: boolean;
}

/** Bytes of scratch for each side that has to be brought into order. */
const PACK_BYTES = 16 * 2 ** 20;
/** Longest part of `inner` that is packed at once: a multiple of the steps that gemm.as.ts sums in registers. */
const INNER_CHUNK = 10 * 384;
/** Bytes of scratch a thread has in gemm.as.ts, and behind it for panels of 16 bits. */
const EDGE_BYTES = 192;
const WIDENED_BYTES = 12_288;
/** Rows for which packing b costs more than it saves. */
const FEW_ROWS = 3;

/** Appends the commands of a product. */
export function encodeProduct(context: WasmKernelContext, product: Product): void {
  const { b, rows, columns, batches = 1 } = product;
  if (rows === 0 || columns === 0 || batches === 0) return;
  if (isOperand(b) && !readsDirectly(product)) encodePacked(context, { ...product, b });
  else if (roundsActivations(b)) encodeBlockProduct(context, { ...product, b });
  else if (product.a.columnStride === 4) encodeOrdered(context, product);
  else encodeGathered(context, product);
}

function isOperand(b: Operand | Panels): b is Operand {
  return "rowStride" in b;
}

/** Whether b needs no packing although it is not in panels. */
function readsDirectly({ a, b, rows, columns, batches = 1 }: Product): boolean {
  if (!isOperand(b) || rows > FEW_ROWS || a.columnStride !== 4) return false;
  return b.columnStride === 4 ? columns % 8 === 0 : b.rowStride === 4 && batches === 1;
}

/** Packs b part by part, so that scratch stays small. */
function encodePacked(context: WasmKernelContext, product: Product & { b: Operand }): void {
  const { a, b, y, rows, inner, columns, batches = 1, bias } = product;
  const innerChunk = Math.min(inner, INNER_CHUNK);
  const columnChunk = Math.min(columns, Math.max(8, Math.floor(PACK_BYTES / (innerChunk * 32 || 1)) * 8));
  const bytes = panelBytes(innerChunk, columnChunk);
  const fits = innerChunk === inner && columnChunk === columns;
  const perBatch = b.batchStride === 0 ? 0 : bytes;
  const together = fits ? Math.min(batches, Math.max(1, Math.floor(PACK_BYTES / (perBatch || 1)))) : 1;
  const packed = context.scratch(perBatch === 0 ? bytes : bytes * together);
  const step = new ScratchLoop(context);
  for (let batch = 0; batch < batches; batch += together) {
    const count = Math.min(together, batches - batch);
    for (let k = 0; k < inner || k === 0; k += innerChunk || 1) {
      for (let column = 0; column < columns; column += columnChunk) {
        step.rewind();
        const innerPart = Math.min(innerChunk, inner - k);
        const part = { inner: innerPart, columns: Math.min(columnChunk, columns - column) };
        const from = shifted(partOf(b, k, column), batch);
        const panels = encodePack(step, from, packed, part, b.batchStride === 0 ? 1 : count);
        const target = shifted({ ...y, address: y.address + column * 4 }, batch);
        const ordered: Product = {
          ...{ a: shifted(partOf(a, 0, k), batch), b: panels, y: target, rows, ...part, batches: count },
          bias: bias && { address: bias.address + column * 4, range: bias.range },
          add: product.add || k > 0,
        };
        if (a.columnStride === 4) encodeOrdered(step, ordered);
        else encodeGathered(step, ordered);
      }
    }
  }
}

function shifted<T extends { address: number; batchStride: number }>(operand: T, batch: number): T {
  return { ...operand, address: operand.address + batch * operand.batchStride };
}

interface Packed extends Panels {
  readonly batchStride: number;
}

/** Bytes of a matrix [inner columns] in panels. */
export function panelBytes(inner: number, columns: number): number {
  return Math.ceil(columns / 8) * inner * 32;
}

/** Appends the command that writes a matrix [inner columns], or several, in panels at `to`. */
export function encodePack(
  context: WasmKernelContext,
  from: Operand,
  to: number,
  { inner, columns }: { inner: number; columns: number },
  batches = 1,
): Packed {
  const bytes = panelBytes(inner, columns);
  const batchStride = batches === 1 ? 0 : bytes;
  const words = [from.address, from.rowStride, from.columnStride, to, inner, columns, batches];
  const range: Range = [to, bytes * batches];
  context.command("packPanels", [...words, from.batchStride, bytes], { reads: [from.range], writes: [range] });
  return { address: to, range, batchStride, dtype: "float32" };
}

/** Brings a into dense rows, part by part, and multiplies each. */
function encodeGathered(context: WasmKernelContext, product: Product): void {
  const { a, b, y, rows, inner, batches = 1 } = product;
  const rowBytes = inner * 4;
  const rowChunk = Math.min(rows, Math.max(16, Math.floor(PACK_BYTES / (rowBytes || 1) / 16) * 16));
  const together =
    rowChunk < rows ? 1 : Math.min(batches, Math.max(1, Math.floor(PACK_BYTES / (rows * rowBytes || 1))));
  const batchStride = rowChunk * rowBytes;
  const to = context.scratch(together * batchStride);
  const step = new ScratchLoop(context);
  for (let batch = 0; batch < batches; batch += together) {
    const count = Math.min(together, batches - batch);
    for (let row = 0; row < rows; row += rowChunk) {
      step.rewind();
      const part = Math.min(rowChunk, rows - row);
      const from = shifted(partOf(a, row, 0), batch);
      const words = [from.address, from.rowStride, from.columnStride, to, part, inner, count];
      const range: Range = [to, count * batchStride];
      step.command("gatherRows", [...words, a.batchStride, batchStride], { reads: [a.range], writes: [range] });
      encodeOrdered(step, {
        ...product,
        a: { address: to, rowStride: rowBytes, columnStride: 4, batchStride, range },
        b: { ...b, address: b.address + batch * batchStrideOf(b) },
        y: shifted({ ...y, address: y.address + row * y.rowStride }, batch),
        rows: part,
        batches: count,
      });
    }
  }
}

function batchStrideOf(b: Operand | Panels): number {
  return (b as Partial<Operand>).batchStride ?? 0;
}

/** One command; a has dense rows, b is in panels or may be read as it is. */
function encodeOrdered(context: WasmKernelContext, product: Product): void {
  const { a, b, y, rows, inner, columns, batches = 1, bias, add } = product;
  const reads = bias ? [a.range, b.range, bias.range] : [a.range, b.range];
  const target = [y.address, y.rowStride, rows, inner, columns, bias && !add ? bias.address : 0, add ? 1 : 0];
  if (isOperand(b) && b.columnStride !== 4) {
    const words = [a.address, a.rowStride, b.address, b.columnStride, ...target];
    context.command("thinProduct", words, { reads, writes: [y.range] });
    return;
  }
  const isHalf = !isOperand(b) && b.dtype !== "float32";
  const [panelStride, step] = isOperand(b) ? [32, b.rowStride] : isHalf ? [inner * 16, 16] : [inner * 32, 32];
  const edgeBytes = context.threads * (isHalf ? EDGE_BYTES + WIDENED_BYTES : EDGE_BYTES);
  const edge = columns % 8 === 0 && !isHalf ? 0 : context.scratch(edgeBytes);
  const words = [a.address, a.rowStride, b.address, panelStride, ...target, edge, batches];
  const strides = [a.batchStride, batchStrideOf(b), y.batchStride];
  const writes: Range[] = edge === 0 ? [y.range] : [y.range, [edge, edgeBytes]];
  const type = isHalf ? weightTypeNumber(b) : 0;
  context.command("gemmPanels", [...words, ...strides, step, type], { reads, writes });
}
