import type { ReferenceKernel } from "../../backends/reference/index.ts";
import { sizeOf } from "../../tensor/shape.ts";
import { addProduct, matrix } from "../matmul/reference.ts";
import { type Composed, composed } from "../op.ts";

const linear: ReferenceKernel = ({ input, output, shape, axes, has }) => {
  const inner = axes["inFeatures"]!;
  const columns = axes["outFeatures"]!;
  const rows = sizeOf(shape("y").slice(0, -1));
  const y = output("y");
  if (has("bias")) for (let r = 0; r < rows; r++) y.set(input("bias") as Float64Array, r * columns);
  addProduct(y, 0, { rows, inner, columns }, matrix(input("x"), 0, inner), matrix(input("w"), 0, inner, true));
};

const linearInputGradient: ReferenceKernel = ({ input, output, shape, axes }) => {
  const columns = axes["inFeatures"]!;
  const inner = axes["outFeatures"]!;
  const rows = sizeOf(shape("dx").slice(0, -1));
  const dy = matrix(input("dy"), 0, inner);
  addProduct(output("dx"), 0, { rows, inner, columns }, dy, matrix(input("w"), 0, columns));
};

const linearWeightGradient: ReferenceKernel = ({ input, output, shape, axes, wants }) => {
  const columns = axes["inFeatures"]!;
  const rows = axes["outFeatures"]!;
  const inner = sizeOf(shape("dy").slice(0, -1));
  const dy = input("dy");
  addProduct(output("dw"), 0, { rows, inner, columns }, matrix(dy, 0, rows, true), matrix(input("x"), 0, columns));
  if (!wants("dbias")) return;
  const sums = new Float64Array(rows);
  for (let i = 0; i < dy.length; i++) sums[i % rows]! += dy[i]!;
  output("dbias").set(sums as Float64Array);
};

/** Reference kernels of this folder; packing leaves a weight as it is. */
export const linearReference = {
  linear,
  linearInputGradient,
  linearWeightGradient,
  packWeight: composed(({ w }) => ({ packed: w!.adopted() })),
  unpackWeight: composed(({ packed }) => ({ w: packed!.adopted() })),
} as const satisfies Record<string, ReferenceKernel | Composed>;
