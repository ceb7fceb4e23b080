import type { ReferenceKernel } from "../../backends/reference/index.ts";
import { forEachOffset } from "../../backends/reference/index.ts";
import { broadcastStrides, denseStrides } from "../../tensor/shape.ts";
import { type BinaryName, binaryTable, type UnaryBackwardName, type UnaryName, unaryTable } from "./table.ts";

function unary(name: UnaryName): ReferenceKernel {
  const { value } = unaryTable[name];
  return ({ input, output }) => {
    const x = input("x");
    const y = output("y");
    for (let i = 0; i < y.length; i++) y[i] = value(x[i]!);
  };
}

function unaryBackward(name: UnaryName): ReferenceKernel {
  const { derivative } = unaryTable[name];
  return ({ input, output }) => {
    const x = input("x");
    const y = input("y");
    const dy = input("dy");
    const dx = output("dx");
    for (let i = 0; i < dx.length; i++) dx[i] = dy[i]! * derivative(x[i]!, y[i]!);
  };
}

function binary(name: BinaryName): ReferenceKernel {
  const value = binaryTable[name];
  return ({ input, output, shape }) => {
    const target = shape("y");
    const a = input("a");
    const b = input("b");
    const y = output("y");
    const atB = new Int32Array(y.length);
    const stridesOf = (side: string) => broadcastStrides(shape(side), denseStrides(shape(side)), target);
    forEachOffset(target, stridesOf("b"), 0, (i, at) => {
      atB[i] = at;
    });
    forEachOffset(target, stridesOf("a"), 0, (i, at) => {
      y[i] = value(a[at]!, b[atB[i]!]!);
    });
  };
}

const unaryNames = Object.keys(unaryTable) as UnaryName[];

/** Reference kernels of all rows and their gradients. */
export const elementwiseReference = {
  ...(Object.fromEntries(unaryNames.map((name) => [name, unary(name)])) as Record<UnaryName, ReferenceKernel>),
  ...(Object.fromEntries(unaryNames.map((name) => [`${name}Backward`, unaryBackward(name)])) as Record<
    UnaryBackwardName,
    ReferenceKernel
  >),
  ...(Object.fromEntries((Object.keys(binaryTable) as BinaryName[]).map((name) => [name, binary(name)])) as Record<
    BinaryName,
    ReferenceKernel
  >),
};
