import { convertArray } from "../../tensor/dtype.ts";
import { type Tensor, tensor } from "../../tensor/tensor.ts";
import { apply } from "../op.ts";
import { binary, unaryOperations } from "./operations.ts";
import type { BinaryName, UnaryName } from "./table.ts";

type Unary = (x: Tensor) => Tensor;
/** A number stands for a tensor of one element. */
type Binary = (a: Tensor | number, b: Tensor | number) => Tensor;

function unary(name: UnaryName): Unary {
  return (x) => apply(unaryOperations[name], { x })["y"]!;
}

function binaryWithNumbers(name: BinaryName): Binary {
  return (a, b) => {
    const like = (typeof a === "number" ? b : a) as Tensor;
    return binary(name, asTensor(a, like), asTensor(b, like));
  };
}

function asTensor(value: Tensor | number, like: Tensor): Tensor {
  if (typeof value !== "number") return value;
  return tensor(convertArray(Float64Array.of(value), "float64", like.dtype), [], {
    device: like.device,
    dtype: like.dtype,
  });
}

/** -x */
export const neg: Unary = unary("neg");
/** e^x */
export const exp: Unary = unary("exp");
/** e^x - 1, accurate near 0 */
export const expm1: Unary = unary("expm1");
/** Natural logarithm. */
export const log: Unary = unary("log");
/** ln(1 + x), accurate near 0 */
export const log1p: Unary = unary("log1p");
/** Square root. */
export const sqrt: Unary = unary("sqrt");
/** 1 / sqrt(x) */
export const rsqrt: Unary = unary("rsqrt");
/** 1 / x */
export const reciprocal: Unary = unary("reciprocal");
/** |x| */
export const abs: Unary = unary("abs");
/** x^2 */
export const square: Unary = unary("square");
/** max(x, 0) */
export const relu: Unary = unary("relu");
/** 1 / (1 + e^-x) */
export const sigmoid: Unary = unary("sigmoid");
/** Hyperbolic tangent. */
export const tanh: Unary = unary("tanh");
/** x sigmoid(x), also called swish */
export const silu: Unary = unary("silu");
/** ln(1 + e^x); x itself above 20, as in PyTorch */
export const softplus: Unary = unary("softplus");
/** x Phi(x) with the exact normal distribution function (PyTorch's default GELU) */
export const gelu: Unary = unary("gelu");
/** Sine of radians. */
export const sin: Unary = unary("sin");
/** Cosine of radians. */
export const cos: Unary = unary("cos");
/** Angle in radians, from -pi / 2 to pi / 2, whose tangent is x. */
export const atan: Unary = unary("atan");

/** a + b, broadcast as NumPy does */
export const add: Binary = binaryWithNumbers("add");
/** a - b, broadcast */
export const sub: Binary = binaryWithNumbers("sub");
/** a b element by element, broadcast */
export const mul: Binary = binaryWithNumbers("mul");
/** a / b, broadcast */
export const div: Binary = binaryWithNumbers("div");
/** The larger of a and b, broadcast; the gradient of equals goes to a. */
export const maximum: Binary = binaryWithNumbers("maximum");
/** The smaller of a and b, broadcast; the gradient of equals goes to a. */
export const minimum: Binary = binaryWithNumbers("minimum");
/** 1 where a >= b, else 0, broadcast */
export const greaterEqual: Binary = binaryWithNumbers("greaterEqual");
