import type { ReferenceKernel } from "../../backends/reference/index.ts";
import type { TypedArray } from "../../tensor/dtype.ts";
import { type Shape, sizeOf } from "../../tensor/shape.ts";

/** A matrix inside an array: element [r, c] is at offset + r rowStride + c columnStride. */
export interface Matrix {
  readonly data: TypedArray;
  readonly offset: number;
  readonly rowStride: number;
  readonly columnStride: number;
}

/** y += a b over plain loops, with y dense [rows columns] from `offset`; sums are float64 for a float64 `y`. */
export function addProduct(
  y: TypedArray,
  offset: number,
  { rows, inner, columns }: { rows: number; inner: number; columns: number },
  a: Matrix,
  b: Matrix,
): void {
  const line = new Float64Array(columns);
  for (let r = 0; r < rows; r++) {
    line.fill(0);
    for (let k = 0; k < inner; k++) {
      const factor = a.data[a.offset + r * a.rowStride + k * a.columnStride]!;
      const start = b.offset + k * b.rowStride;
      for (let c = 0; c < columns; c++) line[c]! += factor * b.data[start + c * b.columnStride]!;
    }
    const at = offset + r * columns;
    for (let c = 0; c < columns; c++) y[at + c]! += line[c]!;
  }
}

/** A dense matrix [rows columns], or its transpose. */
export function matrix(data: TypedArray, offset: number, columns: number, transposed = false): Matrix {
  return transposed
    ? { data, offset, rowStride: 1, columnStride: columns }
    : { data, offset, rowStride: columns, columnStride: 1 };
}

const matmul: ReferenceKernel = ({ input, output, shape, params }) => {
  const transposeA = Boolean(params["transposeA"]);
  const transposeB = Boolean(params["transposeB"]);
  const a = input("a");
  const b = input("b");
  const y = output("y");
  const [rows, columns] = shape("y").slice(-2) as [number, number];
  const inner = shape("a").at(transposeA ? -2 : -1)!;
  const batches = sizeOf(shape("y").slice(0, -2));
  const step = (own: Shape): number => (own.length > 2 ? sizeOf(own.slice(-2)) : 0);
  const stepA = step(shape("a"));
  const stepB = step(shape("b"));
  for (let i = 0; i < batches; i++) {
    const left = matrix(a, i * stepA, shape("a").at(-1)!, transposeA);
    const right = matrix(b, i * stepB, shape("b").at(-1)!, transposeB);
    addProduct(y, i * rows * columns, { rows, inner, columns }, left, right);
  }
};

/** Reference kernels of this folder. */
export const matmulReference = { matmul } as const satisfies Record<string, ReferenceKernel>;
