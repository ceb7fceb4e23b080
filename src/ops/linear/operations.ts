import type { DType } from "../../tensor/dtype.ts";
import { MambaError } from "../../tensor/errors.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import { apply, defineOp, type GradientCall, type Op, type Tensors } from "../op.ts";
import { sumTo } from "../reduce/operations.ts";

/** y = x w^T + bias over the last axis. */
export const linearOp: Op = defineOp({
  name: "linear",
  signature: "x[... inFeatures], w[outFeatures inFeatures], bias?[outFeatures] -> y[... outFeatures]",
  packed: ["w"],
  saved: ["x", "w"],
  gradient: (call) => ({ x: gradientOfX(call), ...gradientOfWeight(call) }),
  accumulate: "float32",
});

/** dx = dy w. */
export const linearInputGradientOp: Op = defineOp({
  name: "linearInputGradient",
  signature: "dy[... outFeatures], w[outFeatures inFeatures] -> dx[... inFeatures]",
  packed: ["w"],
  accumulate: "float32",
});

/** dw = dy^T x over all leading axes, and with `bias` dbias = sum of dy. */
export const linearWeightGradientOp: Op = defineOp({
  name: "linearWeightGradient",
  signature: "x[... inFeatures], dy[... outFeatures] -> dw[outFeatures inFeatures], dbias?[outFeatures]",
  produces: (_, __, { bias }) => bias === true,
  accumulate: "float32",
});

/** A weight in the panels that matrix kernels read. Param `dtype`: int8 and int4 round a float32 weight on the way. */
export const packWeightOp: Op = defineOp({
  name: "packWeight",
  signature: "w[rows columns] -> packed[rows columns]",
  dtypes: { w: ["float64", "float32", "float16", "bfloat16", "int8", "int4"] },
  packed: ["w"],
  outputDtype: (_, __, { dtype }) => dtype as DType,
  outputLayout: "panels8",
  gradient: () => {
    throw packedGradient("packWeight");
  },
  accumulate: "float32",
});

/** A packed weight as plain rows again, of a float type. */
export const unpackWeightOp: Op = defineOp({
  name: "unpackWeight",
  signature: "packed[rows columns] -> w[rows columns]",
  packed: ["packed"],
  outputDtype: (_, { packed }) => (packed!.dtype === "float64" ? "float64" : "float32"),
  gradient: () => {
    throw packedGradient("unpackWeight");
  },
  accumulate: "float32",
});

/** The error of every rule that would have to give a packed weight a gradient. */
export function packedGradient(op: string): MambaError {
  return new MambaError(
    `backward of ${op}: a weight that is trained must be unpacked; got one in panels; train the unpacked weight and pack it afterwards`,
    "PACKED_GRADIENT",
    { op },
  );
}

/** Throws if a weight that is packed, or of a type for weights only, is asked for its gradient. */
export function assertUnpacked(op: string, w: Tensor): void {
  if (w.layout !== "strided" || (w.dtype !== "float32" && w.dtype !== "float64")) throw packedGradient(op);
}

function gradientOfX({ saved, gradients, needs }: GradientCall): Tensor | undefined {
  if (!needs.has("x")) return undefined;
  return apply(linearInputGradientOp, { dy: gradients["y"], w: saved["w"] })["dx"];
}

function gradientOfWeight({ saved, gradients, needs, shapes }: GradientCall): Tensors {
  const dy = gradients["y"]!;
  if (!needs.has("w")) return needs.has("bias") ? { bias: sumTo(dy, shapes["bias"]!) } : {};
  assertUnpacked("linear", saved["w"]!);
  const { dw, dbias } = apply(linearWeightGradientOp, { x: saved["x"], dy }, { bias: needs.has("bias") });
  return { w: dw, bias: dbias };
}
