import type { WasmKernel, WasmKernelContext } from "../../backends/wasm/index.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import { leadingRuns, type Operand, transposed } from "./operand.ts";
import { encodeProduct } from "./product.ts";

/** The last two axes of a tensor, the leading ones left out. */
function lastTwo(context: WasmKernelContext, x: Tensor, swap: boolean): Operand {
  const [rowStride, columnStride] = x.strides.slice(-2).map((stride) => stride * 4) as [number, number];
  // an axis of one element has any stride
  const [rows, columns] = x.shape.slice(-2) as [number, number];
  const operand = {
    address: context.address(x),
    rowStride: rows === 1 ? columns * 4 : rowStride,
    columnStride: columns === 1 ? 4 : columnStride,
    batchStride: 0,
    range: context.range(x),
  };
  return swap ? transposed(operand) : operand;
}

function leadingStrides(x: Tensor, axes: number): readonly number[] {
  return x.shape.length > 2 ? x.strides.slice(0, -2) : new Array<number>(axes).fill(0);
}

const matmul: WasmKernel = (context, { inputs, outputs, params }) => {
  const [a, b, y] = [inputs["a"]!, inputs["b"]!, outputs["y"]!];
  if (y.size === 0) return;
  const left = lastTwo(context, a, Boolean(params["transposeA"]));
  const right = lastTwo(context, b, Boolean(params["transposeB"]));
  const result = lastTwo(context, y, false);
  const leading = y.shape.slice(0, -2);
  const [rows, columns] = y.shape.slice(-2) as [number, number];
  const inner = a.shape.at(params["transposeA"] ? -2 : -1)!;
  const strides = [a, b, y].map((x) => leadingStrides(x, leading.length));
  for (const { offsets, count, strides: own } of leadingRuns(leading, strides)) {
    const [atA, atB, atY] = offsets.map((offset) => offset * 4) as [number, number, number];
    const [stepA, stepB, stepY] = own.map((stride) => stride * 4) as [number, number, number];
    // one b for rows that go on from batch to batch: a single product
    const folds = stepB === 0 && (count === 1 || stepA === rows * left.rowStride);
    encodeProduct(context, {
      a: { ...left, address: left.address + atA, batchStride: folds ? 0 : stepA },
      b: { ...right, address: right.address + atB, batchStride: stepB },
      y: { ...result, address: result.address + atY, batchStride: folds ? 0 : stepY },
      ...{ rows: folds ? rows * count : rows, inner, columns, batches: folds ? 1 : count },
    });
  }
};

/** Commands of this folder's ops. */
export const matmulWasm = { matmul } as const satisfies Record<string, WasmKernel>;
