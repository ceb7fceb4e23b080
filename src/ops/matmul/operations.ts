import type { Params } from "../../tensor/device.ts";
import type { Shape } from "../../tensor/shape.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import { dense, reshapeOp } from "../movement/operations.ts";
import { apply, defineOp, type GradientCall, type Op, type Tensors } from "../op.ts";
import { sumTo } from "../reduce/operations.ts";
import { checkInputs, outputShape, parseSignature, type Signature } from "../signature.ts";

type Side = "plain" | "transposed";

const axesOfA: Record<Side, string> = { plain: "rows inner", transposed: "inner rows" };
const axesOfB: Record<Side, string> = { plain: "inner columns", transposed: "columns inner" };
const signatures = new Map<string, Signature>();

/** The signature for given transposes and ranks: leading axes must agree unless one side has none. */
function signatureFor(a: Shape, b: Shape, { transposeA, transposeB }: Params): Signature {
  const leadingOf = (own: Shape, other: Shape): string => (own.length === 2 && other.length > 2 ? "" : "... ");
  const left = `a[${leadingOf(a, b)}${axesOfA[transposeA ? "transposed" : "plain"]}]`;
  const right = `b[${leadingOf(b, a)}${axesOfB[transposeB ? "transposed" : "plain"]}]`;
  const text = `${left}, ${right} -> y[... rows columns]`;
  const known = signatures.get(text) ?? parseSignature(text);
  signatures.set(text, known);
  return known;
}

function matmulShape({ a, b }: Tensors, params: Params): Shape {
  const signature = signatureFor(a!.shape, b!.shape, params);
  const sizes = checkInputs("matmul", signature, { a: a!.shape, b: b!.shape });
  return outputShape("matmul", signature.outputs[0]!, sizes);
}

/** Product of matrices in the last two axes, batched over leading axes. */
export const matmulOp: Op = defineOp({
  name: "matmul",
  signature: "a[*], b[*] -> y[*]",
  shapes: (inputs, params) => ({ y: matmulShape(inputs, params) }),
  saved: ["a", "b"],
  gradient: (call) => ({
    a: call.needs.has("a") ? gradientOfA(call) : undefined,
    b: call.needs.has("b") ? gradientOfB(call) : undefined,
  }),
  accumulate: "float32",
});

/** {@link matmulOp}, applied. */
export function multiply(a: Tensor, b: Tensor, transposeA: boolean, transposeB: boolean): Tensor {
  return apply(matmulOp, { a, b }, { transposeA, transposeB })["y"]!;
}

// With A and B for what is multiplied after transposing: dA = dY B^T and dB = A^T dY.
function gradientOfA({ saved, gradients, shapes, params }: GradientCall): Tensor {
  const dy = gradients["y"]!;
  const b = saved["b"]!;
  const full = params["transposeA"]
    ? multiply(b, dy, Boolean(params["transposeB"]), true)
    : multiply(dy, b, false, !params["transposeB"]);
  return sumTo(full, shapes["a"]!);
}

function gradientOfB({ saved, gradients, shapes, params }: GradientCall): Tensor {
  const { transposeA, transposeB } = params;
  let dy = gradients["y"]!;
  let a = saved["a"]!;
  // one product over all batches instead of a product a batch and their sum
  if (a.shape.length > 2 && shapes["b"]!.length === 2 && !transposeA) {
    dy = asRows(dy);
    a = asRows(a);
  }
  const full = transposeB ? multiply(dy, a, true, Boolean(transposeA)) : multiply(a, dy, !transposeA, false);
  return sumTo(full, shapes["b"]!);
}

function asRows(x: Tensor): Tensor {
  const columns = x.shape.at(-1)!;
  const rows = x.shape.slice(0, -1).reduce((product, size) => product * size, 1);
  return apply(reshapeOp, { x: dense(x) }, { shape: [rows, columns] })["y"]!;
}
