import type { WebgpuKernel, WebgpuKernelContext } from "../../backends/webgpu/index.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import { denseCopy } from "../movement/webgpu.ts";
import { encodeProduct, type GpuMatrix, transposedMatrix } from "./product.webgpu.ts";

/** The last two axes as a matrix, leading ones as a batch; copied where those are no single stride. */
export function matrixOf(context: WebgpuKernelContext, x: Tensor): GpuMatrix & { batch: number } {
  const rank = x.shape.length;
  const leading = x.shape.slice(0, -2);
  const batch = leading.reduce((product, size) => product * size, 1);
  const [rows, columns] = x.shape.slice(-2) as [number, number];
  const long = leading.flatMap((size, axis) => (size === 1 ? [] : [axis]));
  const isEven = long.every((axis, i) => {
    const next = long[i + 1];
    return next === undefined || x.strides[axis] === x.strides[next]! * x.shape[next]!;
  });
  if (!isEven) {
    const shared = { offset: 0, rowStride: columns, columnStride: 1, batchStride: rows * columns };
    return { bound: denseCopy(context, x), ...shared, batch };
  }
  return {
    bound: x,
    offset: x.offset,
    rowStride: x.strides[rank - 2]!,
    columnStride: x.strides[rank - 1]!,
    batchStride: long.length ? x.strides[long.at(-1)!]! : 0,
    batch,
  };
}

const matmul: WebgpuKernel = (context, { inputs, outputs, params }) => {
  const [a, b, y] = [inputs["a"]!, inputs["b"]!, outputs["y"]!];
  if (y.size === 0) return;
  const left = matrixOf(context, a);
  const right = matrixOf(context, b);
  const [rows, columns] = y.shape.slice(-2) as [number, number];
  const inner = a.shape.at(params["transposeA"] ? -2 : -1)!;
  const batch = y.size / (rows * columns);
  encodeProduct(context, {
    ...{ batch, rows, inner, columns },
    a: params["transposeA"] ? transposedMatrix(left) : left,
    b: params["transposeB"] ? transposedMatrix(right) : right,
    y: matrixOf(context, y),
  });
};

/** WebGPU kernels of this folder. */
export const matmulWebgpu = { matmul } as const satisfies Record<string, WebgpuKernel>;
