import type { Tensor } from "../../tensor/tensor.ts";
import { defineOp, type Op, type Tensors } from "../op.ts";

/**
 * One step of AdamW on any number of parameters, in place: inputs `parameter0`, `gradient0`, `mean0`, `square0`, `parameter1`, ...,
 * all dense. Parameters: `learningRates` and `weightDecays`, one of each a parameter; `beta1`, `beta2`, `epsilon`, `step` counted
 * from 1. `scale`, one number on the device, multiplies the gradients: clipping and loss scaling need no read-back. `skip`, where it
 * is not 0, leaves everything as it is.
 */
export const adamwUpdateOp: Op = defineOp({
  name: "adamwUpdate",
  signature: "-> ",
  variadic: true,
  dtypes: { skip: ["int32"] },
  accumulate: "float32",
});

/** Parameters of {@link adamwUpdateOp}. */
export type AdamwParams = Readonly<Record<"beta1" | "beta2" | "epsilon" | "step", number>> &
  Readonly<Record<"learningRates" | "weightDecays", readonly number[]>>;

/** What one parameter's step reads and changes. */
export type AdamwSlot = Readonly<Record<"parameter" | "gradient" | "mean" | "square", Tensor>>;

/** The inputs of {@link adamwUpdateOp}, parameter by parameter. */
export function adamwSlots(inputs: Tensors): AdamwSlot[] {
  const slots: AdamwSlot[] = [];
  for (let i = 0; inputs[`parameter${i}`]; i++) {
    const [parameter, gradient, mean, square] = ["parameter", "gradient", "mean", "square"].map(
      (role) => inputs[`${role}${i}`]!,
    ) as [Tensor, Tensor, Tensor, Tensor];
    slots.push({ parameter, gradient, mean, square });
  }
  return slots;
}

/** One step of gradient descent with momentum, in place. Parameters: `learningRate`, `momentum`, `weightDecay`. */
export const sgdUpdateOp: Op = defineOp({
  name: "sgdUpdate",
  signature: "parameter[...], gradient[...], velocity?[...], scale?[1], skip?[1] -> ",
  dtypes: { skip: ["int32"] },
  mutates: ["parameter"],
  accumulate: "float32",
});

/** average = decay average + (1 - decay) x, in place. Parameter: `decay`. */
export const averageUpdateOp: Op = defineOp({
  name: "averageUpdate",
  signature: "average[...], x[...] -> ",
  mutates: ["average"],
  accumulate: "float32",
});

/** Adds the sums of x^2 of any number of dense tensors `part0`, `part1`, ... to `total`, in place. */
export const addSquaredNormOp: Op = defineOp({
  name: "addSquaredNorm",
  signature: "-> ",
  variadic: true,
  mutates: ["total"],
  accumulate: "float32",
});
