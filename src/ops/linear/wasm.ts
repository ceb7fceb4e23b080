import type { Range, WasmKernel, WasmKernelContext } from "../../backends/wasm/index.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import { type Operand, rowsOf, transposed } from "../matmul/operand.ts";
import { encodeProduct, type Panels } from "../matmul/product.ts";

/** A dense tensor [... features] that a kernel writes. */
function denseRows(context: WasmKernelContext, x: Tensor): Operand {
  const rowStride = x.shape.at(-1)! * 4;
  return { address: context.address(x), rowStride, columnStride: 4, batchStride: 0, range: context.range(x) };
}

function rowCount(x: Tensor): number {
  return x.shape.slice(0, -1).reduce((product, size) => product * size, 1);
}

/** A weight [rows columns], not packed, as it lies. */
function weightRows(context: WasmKernelContext, w: Tensor): Operand {
  const rowStride = w.strides[0]! * 4;
  return { address: context.address(w), rowStride, columnStride: 4, batchStride: 0, range: context.range(w) };
}

function panelsOf(context: WasmKernelContext, w: Tensor): Panels {
  return { address: context.address(w), range: context.range(w) };
}

/** A packed weight as rows in scratch. */
function unpackedRows(context: WasmKernelContext, packed: Tensor): Operand {
  const [rows, columns] = packed.shape as [number, number];
  const bytes = rows * columns * 4;
  const to = context.scratch(bytes);
  const range: Range = [to, bytes];
  const words = [context.address(packed), to, columns, rows];
  context.command("unpackPanels", words, { reads: [context.range(packed)], writes: [range] });
  return { address: to, rowStride: columns * 4, columnStride: 4, batchStride: 0, range };
}

const linear: WasmKernel = (context, { inputs, outputs, axes }) => {
  const [x, w, bias, y] = [inputs["x"]!, inputs["w"]!, inputs["bias"], outputs["y"]!];
  if (y.size === 0) return;
  encodeProduct(context, {
    a: rowsOf(context, x),
    b: w.layout === "panels8" ? panelsOf(context, w) : transposed(weightRows(context, w)),
    y: denseRows(context, y),
    ...{ rows: rowCount(y), inner: axes["inFeatures"]!, columns: axes["outFeatures"]! },
    bias: bias && { address: context.address(bias), range: context.range(bias) },
  });
};

const linearInputGradient: WasmKernel = (context, { inputs, outputs, axes }) => {
  const [dy, w, dx] = [inputs["dy"]!, inputs["w"]!, outputs["dx"]!];
  if (dx.size === 0) return;
  encodeProduct(context, {
    a: rowsOf(context, dy),
    b: w.layout === "panels8" ? unpackedRows(context, w) : weightRows(context, w),
    y: denseRows(context, dx),
    ...{ rows: rowCount(dx), inner: axes["outFeatures"]!, columns: axes["inFeatures"]! },
  });
};

const linearWeightGradient: WasmKernel = (context, { inputs, outputs, axes }) => {
  const [dw, dbias] = [outputs["dw"]!, outputs["dbias"]];
  const dy = rowsOf(context, inputs["dy"]!);
  const [inner, rows, columns] = [rowCount(inputs["dy"]!), axes["outFeatures"]!, axes["inFeatures"]!];
  if (dw.size > 0) {
    const x = rowsOf(context, inputs["x"]!);
    encodeProduct(context, { a: transposed(dy), b: x, y: denseRows(context, dw), rows, inner, columns });
  }
  if (!dbias || rows === 0) return;
  const words = [dy.address, dy.rowStride, inner, rows, context.address(dbias)];
  context.command("sumColumns", words, { reads: [dy.range], writes: [context.range(dbias)] });
};

const packWeight: WasmKernel = (context, { inputs, outputs, axes }) => {
  const [w, packed] = [inputs["w"]!, outputs["packed"]!];
  if (packed.size === 0) return;
  const { address, rowStride } = weightRows(context, w);
  const words = [address, 4, rowStride, context.address(packed), axes["columns"]!, axes["rows"]!, 1, 0, 0];
  context.command("packPanels", words, { reads: [context.range(w)], writes: [context.range(packed)] });
};

const unpackWeight: WasmKernel = (context, { inputs, outputs, axes }) => {
  const { packed, w } = { packed: inputs["packed"]!, w: outputs["w"]! };
  if (w.size === 0) return;
  const reads = [context.range(packed)];
  if (packed.layout === "panels8") {
    const words = [context.address(packed), context.address(w), axes["columns"]!, axes["rows"]!];
    context.command("unpackPanels", words, { reads, writes: [context.range(w)] });
    return;
  }
  const words = [context.address(packed), packed.strides[0]! * 4, 4, context.address(w)];
  const sizes = [axes["rows"]!, axes["columns"]!, 1, 0, 0];
  context.command("gatherRows", [...words, ...sizes], { reads, writes: [context.range(w)] });
};

/** Commands of this folder's ops. */
export const linearWasm = {
  linear,
  linearInputGradient,
  linearWeightGradient,
  packWeight,
  unpackWeight,
} as const satisfies Record<string, WasmKernel>;
