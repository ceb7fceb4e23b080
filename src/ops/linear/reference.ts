import { type ReferenceKernel, weightElements } from "../../backends/reference/index.ts";
import type { DType, TypedArray } from "../../tensor/dtype.ts";
import { notRepresentable, type QuantizedType, quantizeMatrix, roundActivations } from "../../tensor/quantize.ts";
import { quantizedTensor } from "../../tensor/quantized-tensor.ts";
import { sizeOf } from "../../tensor/shape.ts";
import { type Tensor, tensor } from "../../tensor/tensor.ts";
import { isQuantized } from "../../tensor/weight-formats.ts";
import { addProduct, matrix } from "../matmul/reference.ts";
import { type Composed, composed } from "../op.ts";

const linear: ReferenceKernel = ({ input, weight, dtype, output, shape, axes, has }) => {
  const inner = axes["inFeatures"]!;
  const columns = axes["outFeatures"]!;
  const rows = sizeOf(shape("y").slice(0, -1));
  const y = output("y");
  if (has("bias")) for (let r = 0; r < rows; r++) y.set(input("bias") as Float64Array, r * columns);
  const x = activationsFor(dtype("w"), input("x"));
  addProduct(y, 0, { rows, inner, columns }, matrix(x, 0, inner), matrix(weight("w"), 0, inner, true));
};

/** Activations as a product with a weight of some type sees them. */
export function activationsFor(weight: DType, x: TypedArray): TypedArray {
  return isQuantized(weight) ? roundActivations(x) : x;
}

const linearInputGradient: ReferenceKernel = ({ input, weight, output, shape, axes }) => {
  const columns = axes["inFeatures"]!;
  const inner = axes["outFeatures"]!;
  const rows = sizeOf(shape("dx").slice(0, -1));
  const dy = matrix(input("dy"), 0, inner);
  addProduct(output("dx"), 0, { rows, inner, columns }, dy, matrix(weight("w"), 0, columns));
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

function pack(w: Tensor, dtype: DType): Tensor {
  if (w.dtype !== dtype) {
    const [rows, columns] = w.shape as [number, number];
    const matrix = quantizeMatrix(Float32Array.from(weightElements(w)), rows, columns, dtype as QuantizedType);
    return quantizedTensor(matrix, { device: w.device });
  }
  if (dtype === "float16" && !weightElements(w).every(Number.isFinite)) throw notRepresentable("packWeight", dtype);
  return w.adopted();
}

function unpack(packed: Tensor): Tensor {
  const { dtype, shape, device } = packed;
  if (dtype === "float64" || dtype === "float32") return packed.adopted();
  return tensor(weightElements(packed), shape, { device, dtype: "float32" });
}

/** Reference kernels of this folder; packing leaves a weight as it is, up to its type. */
export const linearReference = {
  linear,
  linearInputGradient,
  linearWeightGradient,
  packWeight: composed(({ w }, { dtype }) => ({ packed: pack(w!, dtype as DType) })),
  unpackWeight: composed(({ packed }) => ({ w: unpack(packed!) })),
} as const satisfies Record<string, ReferenceKernel | Composed>;
