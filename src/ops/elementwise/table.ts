import { gelu, geluDerivative, sigmoid, softplus, softplusDerivative } from "./functions.ts";

/** y = value(x), dy/dx = derivative(x, y). */
export interface UnaryRow {
  readonly value: (x: number) => number;
  readonly derivative: (x: number, y: number) => number;
}

/** Functions of one tensor. A new row needs its expression in `kernel.gen.mjs` too; the parity test finds a missing one. */
export const unaryTable = {
  neg: { value: (x) => -x, derivative: () => -1 },
  exp: { value: Math.exp, derivative: (_, y) => y },
  expm1: { value: Math.expm1, derivative: (_, y) => y + 1 },
  log: { value: Math.log, derivative: (x) => 1 / x },
  log1p: { value: Math.log1p, derivative: (x) => 1 / (1 + x) },
  sqrt: { value: Math.sqrt, derivative: (_, y) => 0.5 / y },
  rsqrt: { value: (x) => 1 / Math.sqrt(x), derivative: (x, y) => (-0.5 * y) / x },
  reciprocal: { value: (x) => 1 / x, derivative: (_, y) => -y * y },
  abs: { value: Math.abs, derivative: (x) => Math.sign(x) },
  square: { value: (x) => x * x, derivative: (x) => 2 * x },
  relu: { value: (x) => (x > 0 || Number.isNaN(x) ? x : 0), derivative: (x) => (x > 0 ? 1 : 0) },
  sigmoid: { value: sigmoid, derivative: (_, y) => y * (1 - y) },
  tanh: { value: Math.tanh, derivative: (_, y) => 1 - y * y },
  silu: { value: (x) => x * sigmoid(x), derivative: (x) => sigmoid(x) * (1 + x * (1 - sigmoid(x))) },
  softplus: { value: softplus, derivative: softplusDerivative },
  gelu: { value: gelu, derivative: geluDerivative },
  sin: { value: Math.sin, derivative: (x) => Math.cos(x) },
  cos: { value: Math.cos, derivative: (x) => -Math.sin(x) },
  atan: { value: Math.atan, derivative: (x) => 1 / (1 + x * x) },
} as const satisfies Record<string, UnaryRow>;

/** Functions of two tensors, broadcast as NumPy does. Their gradients are compositions, in `index.ts`. */
export const binaryTable = {
  add: (a, b) => a + b,
  sub: (a, b) => a - b,
  mul: (a, b) => a * b,
  div: (a, b) => a / b,
  maximum: (a, b) => Math.max(a, b),
  minimum: (a, b) => Math.min(a, b),
  greaterEqual: (a, b) => (a >= b ? 1 : 0),
} as const satisfies Record<string, (a: number, b: number) => number>;

export type UnaryName = keyof typeof unaryTable;
export type BinaryName = keyof typeof binaryTable;
export type UnaryBackwardName = `${UnaryName}Backward`;
