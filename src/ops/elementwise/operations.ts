import { broadcastShapes } from "../../tensor/shape.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import { apply, defineOp, type GradientCall, type Op, type Tensors } from "../op.ts";
import { sumTo } from "../reduce/operations.ts";
import { type BinaryName, binaryTable, type UnaryBackwardName, type UnaryName, unaryTable } from "./table.ts";

function unaryOp(name: UnaryName): Op {
  return defineOp({
    name,
    signature: "x[...] -> y[...]",
    saved: ["x", "y"],
    gradient: ({ saved, gradients }) => ({
      x: apply(unaryBackwardOperations[`${name}Backward`], { x: saved["x"], y: saved["y"], dy: gradients["y"] })["dx"],
    }),
    accumulate: "float32",
  });
}

function unaryBackwardOp(name: UnaryName): Op {
  return defineOp({ name: `${name}Backward`, signature: "x[...], y[...], dy[...] -> dx[...]", accumulate: "float32" });
}

const unaryNames = Object.keys(unaryTable) as UnaryName[];

/** Ops of the unary rows. */
export const unaryOperations: Readonly<Record<UnaryName, Op>> = Object.fromEntries(
  unaryNames.map((name) => [name, unaryOp(name)]),
) as Record<UnaryName, Op>;

/** Gradients of the unary rows, as ops of their own. */
export const unaryBackwardOperations: Readonly<Record<UnaryBackwardName, Op>> = Object.fromEntries(
  unaryNames.map((name) => [`${name}Backward`, unaryBackwardOp(name)]),
) as Record<UnaryBackwardName, Op>;

type BinaryGradient = (dy: Tensor, a: Tensor, b: Tensor, y: Tensor) => { a?: Tensor; b?: Tensor };

/** The op of a binary row, applied. */
export function binary(name: BinaryName, a: Tensor, b: Tensor): Tensor {
  return apply(binaryOperations[name], { a, b })["y"]!;
}

const negate = (x: Tensor): Tensor => apply(unaryOperations.neg, { x })["y"]!;

const binaryGradients: Record<BinaryName, BinaryGradient> = {
  add: (dy) => ({ a: dy, b: dy }),
  sub: (dy) => ({ a: dy, b: negate(dy) }),
  mul: (dy, a, b) => ({ a: binary("mul", dy, b), b: binary("mul", dy, a) }),
  div: (dy, _, b, y) => {
    const a = binary("div", dy, b);
    return { a, b: negate(binary("mul", a, y)) };
  },
  maximum: (dy, a, b) => routed(dy, binary("greaterEqual", a, b)),
  minimum: (dy, a, b) => routed(dy, binary("greaterEqual", b, a)),
  greaterEqual: () => ({}),
};

function routed(dy: Tensor, toA: Tensor): { a: Tensor; b: Tensor } {
  const a = binary("mul", dy, toA);
  return { a, b: binary("sub", dy, a) };
}

const binarySaved: Record<BinaryName, readonly string[]> = {
  add: [],
  sub: [],
  mul: ["a", "b"],
  div: ["b", "y"],
  maximum: ["a", "b"],
  minimum: ["a", "b"],
  greaterEqual: [],
};

function binaryGradient(name: BinaryName, { saved, gradients, shapes, needs }: GradientCall): Tensors {
  const raw = binaryGradients[name](gradients["y"]!, saved["a"]!, saved["b"]!, saved["y"]!);
  const fit = (side: "a" | "b"): Tensor | undefined =>
    raw[side] && needs.has(side) ? sumTo(raw[side], shapes[side]!) : undefined;
  return { a: fit("a"), b: fit("b") };
}

function binaryOp(name: BinaryName): Op {
  return defineOp({
    name,
    signature: "a[*], b[*] -> y[*]",
    shapes: ({ a, b }) => ({ y: broadcastShapes(name, [a!.shape, b!.shape]) }),
    saved: binarySaved[name],
    gradient: (call) => binaryGradient(name, call),
    accumulate: "float32",
  });
}

/** Ops of the binary rows. */
export const binaryOperations: Readonly<Record<BinaryName, Op>> = Object.fromEntries(
  (Object.keys(binaryTable) as BinaryName[]).map((name) => [name, binaryOp(name)]),
) as Record<BinaryName, Op>;
