/** Complex numbers as (real, imaginary), for reference kernels. */
export type Complex = readonly [re: number, im: number];

export const plus = (a: Complex, b: Complex): Complex => [a[0] + b[0], a[1] + b[1]];
export const times = (a: Complex, b: Complex): Complex => [a[0] * b[0] - a[1] * b[1], a[0] * b[1] + a[1] * b[0]];
export const conjugate = (a: Complex): Complex => [a[0], -a[1]];
export const scaled = (a: Complex, by: number): Complex => [a[0] * by, a[1] * by];

export function inverse([re, im]: Complex): Complex {
  const square = re * re + im * im;
  return [re / square, -im / square];
}

/** The i-th pair of an array. */
export const pairAt = (x: ArrayLike<number>, i: number): Complex => [x[2 * i]!, x[2 * i + 1]!];
