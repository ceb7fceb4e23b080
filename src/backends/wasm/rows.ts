import { type Shape, sizeOf } from "../../tensor/shape.ts";

/** A walk over all elements of a shape, row by row, with as few axes as the operands' strides allow. */
export interface Rows {
  /** Elements of a row. */
  readonly columns: number;
  /** Rows in all. */
  readonly rows: number;
  /** Sizes of the axes that rows are counted by, outermost first. */
  readonly sizes: readonly number[];
  /** By operand: element strides of those axes. */
  readonly strides: readonly (readonly number[])[];
  /** By operand: element stride inside a row. */
  readonly inner: readonly number[];
}

interface Axis {
  size: number;
  strides: readonly number[];
}

/**
 * Merges neighbouring axes that every operand can walk as one. A dense result can be walked by any of them.
 *
 * @param shape - common shape, after broadcasting
 * @param operands - element strides of each operand for that shape
 * @param contiguous - the kernel needs stride 1 inside rows: where there is another, rows have one element
 */
export function mergeRows(shape: Shape, operands: readonly (readonly number[])[], contiguous = false): Rows {
  const axes: Axis[] = [];
  shape.forEach((size, i) => {
    if (size === 1) return;
    const strides = operands.map((operand) => operand[i]!);
    const outer = axes.at(-1);
    if (outer?.strides.every((stride, k) => stride === strides[k]! * size)) {
      axes[axes.length - 1] = { size: outer.size * size, strides };
    } else axes.push({ size, strides });
  });
  const single = { size: 1, strides: operands.map(() => 1) };
  if (contiguous && axes.at(-1)?.strides.some((stride) => stride !== 1)) axes.push(single);
  const last = axes.pop() ?? single;
  return {
    columns: last.size,
    rows: sizeOf(axes.map(({ size }) => size)),
    sizes: axes.map(({ size }) => size),
    strides: operands.map((_, k) => axes.map((axis) => axis.strides[k]!)),
    inner: last.strides,
  };
}

/** The words that `assembly/rows.as.ts` finds rows by: sizes, then strides in bytes by operand. */
export function rowWords({ sizes, strides }: Rows, bytesPerElement: number): number[] {
  return [...sizes, ...strides.flatMap((operand) => operand.map((stride) => stride * bytesPerElement))];
}

/** The rows of operands `[... channels]`: leading axes merged, the last one kept whole. */
export function leadingRows(shape: Shape, operands: readonly (readonly number[])[]): Rows {
  const leading = mergeRows(
    shape.slice(0, -1),
    operands.map((strides) => strides.slice(0, -1)),
  );
  return {
    columns: shape.at(-1)!,
    rows: leading.rows * leading.columns,
    sizes: [...leading.sizes, leading.columns],
    strides: leading.strides.map((strides, k) => [...strides, leading.inner[k]!]),
    inner: operands.map(() => 1),
  };
}
