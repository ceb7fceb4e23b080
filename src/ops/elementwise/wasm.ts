import { mergeRows, rowWords, type WasmKernel, type WasmKernelContext } from "../../backends/wasm/index.ts";
import { broadcastStrides } from "../../tensor/shape.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import { type BinaryName, binaryTable, type UnaryBackwardName, type UnaryName, unaryTable } from "./table.ts";

const FLOAT_BYTES = 4;

/** One command over the elements of `y`; a strided kernel takes the distance of elements inside a row too. */
function encode(
  context: WasmKernelContext,
  kernel: string,
  operands: readonly Tensor[],
  y: Tensor,
  strided: boolean,
): void {
  const rows = mergeRows(
    y.shape,
    operands.map(({ shape, strides }) => broadcastStrides(shape, strides, y.shape)),
    !strided,
  );
  if (y.size === 0) return;
  const words = [
    ...[rows.columns, rows.rows, rows.sizes.length, context.address(y)],
    ...operands.map((operand) => context.address(operand)),
    ...(strided ? rows.inner : []),
    ...rowWords(rows, FLOAT_BYTES),
  ];
  context.command(kernel, words, {
    reads: operands.map((operand) => context.range(operand)),
    writes: [context.range(y)],
  });
}

const unary: WasmKernel = (context, { op, inputs, outputs }) =>
  encode(context, op, [inputs["x"]!], outputs["y"]!, false);

const unaryBackward: WasmKernel = (context, { op, inputs, outputs }) =>
  encode(context, op, [inputs["x"]!, inputs["y"]!, inputs["dy"]!], outputs["dx"]!, false);

const binary: WasmKernel = (context, { op, inputs, outputs }) =>
  encode(context, op, [inputs["a"]!, inputs["b"]!], outputs["y"]!, true);

function table<Name extends string>(names: readonly Name[], kernel: WasmKernel): Record<Name, WasmKernel> {
  return Object.fromEntries(names.map((name) => [name, kernel])) as Record<Name, WasmKernel>;
}

const unaryNames = Object.keys(unaryTable) as UnaryName[];

/** Wasm kernels of all rows and their gradients; the AssemblyScript is printed by `kernel.gen.mjs`. */
export const elementwiseWasm = {
  ...table(unaryNames, unary),
  ...table(
    unaryNames.map((name): UnaryBackwardName => `${name}Backward`),
    unaryBackward,
  ),
  ...table(Object.keys(binaryTable) as BinaryName[], binary),
} as const satisfies Record<string, WasmKernel>;
