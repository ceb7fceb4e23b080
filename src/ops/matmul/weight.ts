import { type Range, type WasmKernelContext, weightTypes } from "../../backends/wasm/index.ts";
import { BLOCK } from "../../tensor/quantize.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import { isQuantized } from "../../tensor/weight-formats.ts";
import type { Operand } from "./operand.ts";
import type { Panels, Product } from "./product.ts";

/** Bytes of scratch a thread has in blocks.as.ts for tiles at the edge. */
const EDGE_BYTES = 192;
/** Bytes of 32 rounded activations, and of 8 rows by 32 columns of int8. */
const ROUNDED_BLOCK_BYTES = 72;
const INT8_BLOCK_BYTES = 272;
/** Up to so many rows every thread rounds them for itself, which is cheaper than to wait for another. */
const FEW_ROWS = 4;

/** A weight [outFeatures inFeatures] as the right side [inFeatures outFeatures] of a product. */
export function weightOperand(context: WasmKernelContext, w: Tensor): Operand | Panels {
  const [address, range] = [context.address(w), context.range(w)];
  if (w.layout === "panels8") return { address, range, dtype: w.dtype };
  return { address, range, rowStride: 4, columnStride: w.strides[0]! * 4, batchStride: 0 };
}

/** Number by which kernels know the type of a packed weight. */
export function weightTypeNumber({ dtype }: Pick<Tensor, "dtype">): number {
  return weightTypes.indexOf(dtype);
}

/** Appends the commands of a product with an int8 or int4 weight; a has dense columns. */
export function encodeBlockProduct(context: WasmKernelContext, product: Product & { b: Panels }): void {
  const { a, b, y, rows, inner, columns, bias } = product;
  const blocks = inner / BLOCK;
  const isRounded = rows > FEW_ROWS;
  const activations = isRounded ? encodeRounding(context, product) : a;
  const roundedBytes = isRounded ? 0 : rows * blocks * ROUNDED_BLOCK_BYTES;
  const panelBytes = b.dtype === "int4" && rows >= FEW_ROWS ? blocks * INT8_BLOCK_BYTES : 0;
  const bytes = EDGE_BYTES + roundedBytes + panelBytes;
  const scratch = context.scratch(bytes * context.threads);
  context.command(
    "blockProduct",
    [
      ...[
        activations.address,
        isRounded ? 0 : a.rowStride || inner * 4,
        b.address,
        y.address,
        y.rowStride,
        rows,
        blocks,
        columns,
      ],
      ...[bias?.address ?? 0, weightTypeNumber(b), scratch, bytes],
    ],
    {
      reads: bias ? [activations.range, b.range, bias.range] : [activations.range, b.range],
      writes: [y.range, [scratch, bytes * context.threads]],
    },
  );
}

function encodeRounding(
  context: WasmKernelContext,
  { a, b, rows, inner }: Pick<Product, "a" | "rows" | "inner"> & { b: Panels },
): { address: number; range: Range } {
  const blocks = inner / BLOCK;
  const bytes = rows * blocks * ROUNDED_BLOCK_BYTES;
  const address = context.scratch(bytes);
  const range: Range = [address, bytes];
  const words = [a.address, a.rowStride, rows, blocks, address, weightTypeNumber(b)];
  context.command("roundActivations", words, { reads: [a.range], writes: [range] });
  return { address, range };
}

/** A packed weight as float32 rows in scratch, from `row` on; `row` is a multiple of 8. */
export function unpackedRows(context: WasmKernelContext, packed: Tensor, row = 0, rows = packed.shape[0]!): Operand {
  const columns = packed.shape[1]!;
  const bytes = rows * columns * 4;
  const range: Range = [context.scratch(bytes), bytes];
  encodeUnpack(context, packed, range, row, rows);
  return { address: range[0], rowStride: columns * 4, columnStride: 4, batchStride: 0, range };
}

/** Appends the command that writes rows of a packed weight in float32; `row` is a multiple of 8. */
export function encodeUnpack(context: WasmKernelContext, packed: Tensor, to: Range, row: number, rows: number): void {
  const columns = packed.shape[1]!;
  const from = panelAddress(context, packed, row);
  const access = { reads: [context.range(packed)], writes: [to] };
  if (packed.dtype === "float32") context.command("unpackPanels", [from, to[0], columns, rows], access);
  else context.command("unpackWeight", [from, to[0], columns, rows, weightTypeNumber(packed)], access);
}

/** Where the panel of a row begins; `row` is a multiple of 8. */
export function panelAddress(context: WasmKernelContext, packed: Tensor, row: number): number {
  const [, bytes] = context.range(packed);
  return context.address(packed) + (bytes / Math.ceil(packed.shape[0]! / 8)) * (row / 8);
}

/** Whether products round their activations for this weight. */
export function roundsActivations(b: Operand | Panels): b is Panels {
  return "dtype" in b && isQuantized(b.dtype);
}
