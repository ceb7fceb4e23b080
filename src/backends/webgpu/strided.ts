import type { Shape } from "../../tensor/shape.ts";

/** Axes of several operands walked together, the last one fastest. */
export interface MergedAxes {
  readonly sizes: readonly number[];
  /** Per operand, per axis, in elements. */
  readonly strides: readonly (readonly number[])[];
}

/** Leaves axes of size 1 out and makes one axis of two wherever no operand can tell. */
export function mergeAxes(shape: Shape, operands: readonly (readonly number[])[]): MergedAxes {
  const sizes: number[] = [];
  const strides: number[][] = operands.map(() => []);
  shape.forEach((size, axis) => {
    if (size === 1) return;
    const last = sizes.length - 1;
    const joins = last >= 0 && operands.every((own, k) => strides[k]![last] === own[axis]! * size);
    if (joins) {
      sizes[last]! *= size;
      operands.forEach((own, k) => {
        strides[k]![last] = own[axis]!;
      });
      return;
    }
    sizes.push(size);
    operands.forEach((own, k) => {
      strides[k]!.push(own[axis]!);
    });
  });
  if (sizes.length > 0) return { sizes, strides };
  return { sizes: [1], strides: operands.map(() => [0]) };
}

/**
 * The same walk four elements at a time, or undefined where elements do not lie in whole groups of four: the last axis has stride 1 in
 * every operand, and all else is a multiple of 4.
 *
 * @returns axes and offsets in units of four elements
 */
export function walkByFour(
  { sizes, strides }: MergedAxes,
  offsets: readonly number[],
): { merged: MergedAxes; offsets: readonly number[] } | undefined {
  const last = sizes.length - 1;
  const fits =
    sizes[last]! % 4 === 0 &&
    offsets.every((offset) => offset % 4 === 0) &&
    strides.every((own) => own.every((stride, axis) => (axis === last ? stride === 1 : stride % 4 === 0)));
  if (!fits) return undefined;
  const quarter = (values: readonly number[]): number[] => values.map((value, i) => (i === last ? value : value / 4));
  return {
    merged: { sizes: sizes.with(last, sizes[last]! / 4), strides: strides.map(quarter) },
    offsets: offsets.map((offset) => offset / 4),
  };
}

/** Parameters of a walk over merged axes: `count`, then for each operand its offset, then sizes and strides. */
export function walkParams(names: readonly string[], rank: number): `${string}:u32`[] {
  const perAxis = Array.from({ length: rank }, (_, axis) => [`size${axis}`, ...names.map((name) => `${name}${axis}`)]);
  return ["count", ...names.map((name) => `${name}Offset`), ...perAxis.flat()].map((name) => `${name}:u32` as const);
}

/** Values of {@link walkParams}. */
export function walkValues(
  names: readonly string[],
  offsets: readonly number[],
  { sizes, strides }: MergedAxes,
): Record<string, number> {
  const values: Record<string, number> = { count: sizes.reduce((product, size) => product * size, 1) };
  names.forEach((name, k) => {
    values[`${name}Offset`] = offsets[k]!;
    sizes.forEach((_, axis) => {
      values[`${name}${axis}`] = strides[k]![axis]!;
    });
  });
  sizes.forEach((size, axis) => {
    values[`size${axis}`] = size;
  });
  return values;
}

/** Statements that leave the place of element `index` of each operand in `NAMEAt`. */
export function walkCode(names: readonly string[], rank: number): string {
  const lines = ["var rest = index;", ...names.map((name) => `var ${name}At = p.${name}Offset;`)];
  for (let axis = rank - 1; axis > 0; axis--) {
    lines.push(`let place${axis} = rest % p.size${axis};`, `rest = rest / p.size${axis};`);
    for (const name of names) lines.push(`${name}At += place${axis} * p.${name}${axis};`);
  }
  for (const name of names) lines.push(`${name}At += rest * p.${name}0;`);
  return lines.join("\n");
}
