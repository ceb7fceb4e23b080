import type { WasmKernel, WasmKernelContext } from "../../backends/wasm/index.ts";
import { bytesPerElement } from "../../tensor/dtype.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import { isQuantized } from "../../tensor/weight-formats.ts";
import { type Operand, rowsOf, transposed } from "../matmul/operand.ts";
import { encodeProduct } from "../matmul/product.ts";
import { encodeUnpack, unpackedRows, weightOperand, weightTypeNumber } from "../matmul/weight.ts";

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

const linear: WasmKernel = (context, { inputs, outputs, axes }) => {
  const [x, w, bias, y] = [inputs["x"]!, inputs["w"]!, inputs["bias"], outputs["y"]!];
  if (y.size === 0) return;
  encodeProduct(context, {
    a: rowsOf(context, x),
    b: weightOperand(context, w),
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
  const access = { reads: [context.range(w)], writes: [context.range(packed)] };
  const [from, to] = [context.address(w), context.address(packed)];
  const sizes = [axes["columns"]!, axes["rows"]!];
  const type = weightTypeNumber(packed);
  const rowBytes = w.strides[0]! * bytesPerElement(w.dtype);
  if (w.layout === "blocks") context.command("packBlocks", [from, to, ...sizes, type], access);
  else if (isQuantized(packed.dtype)) context.command("roundWeight", [from, rowBytes, to, ...sizes, type], access);
  else if (packed.dtype === "float32")
    context.command("packPanels", [from, 4, rowBytes, to, ...sizes, 1, 0, 0], access);
  else context.command("packHalves", [from, rowBytes, to, ...sizes, type], access);
};

const unpackWeight: WasmKernel = (context, { inputs, outputs, axes }) => {
  const { packed, w } = { packed: inputs["packed"]!, w: outputs["w"]! };
  if (w.size === 0) return;
  if (packed.layout === "panels8") {
    encodeUnpack(context, packed, context.range(w), 0, axes["rows"]!);
    return;
  }
  const words = [context.address(packed), packed.strides[0]! * 4, 4, context.address(w)];
  const sizes = [axes["rows"]!, axes["columns"]!, 1, 0, 0];
  context.command("gatherRows", [...words, ...sizes], { reads: [context.range(packed)], writes: [context.range(w)] });
};

/** Commands of this folder's ops. */
export const linearWasm = {
  linear,
  linearInputGradient,
  linearWeightGradient,
  packWeight,
  unpackWeight,
} as const satisfies Record<string, WasmKernel>;
