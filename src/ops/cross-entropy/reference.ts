import type { ReferenceContext, ReferenceKernel } from "../../backends/reference/index.ts";
import type { TypedArray } from "../../tensor/dtype.ts";
import { checkId } from "../embedding/reference.ts";
import { elementOr } from "../rms-norm/reference.ts";

/** Whether a token counts; throws if its target is neither ignored nor one of `classes`. */
export function counts(op: string, target: number, position: number, classes: number, ignoreIndex: number): boolean {
  if (target === ignoreIndex) return false;
  checkId(op, "targets", target, classes, position);
  return true;
}

/** ln of the sum of exponentials of `count` elements, without overflow. */
export function logSumExpOf(x: TypedArray, start: number, count: number): number {
  let largest = Number.NEGATIVE_INFINITY;
  for (let i = 0; i < count; i++) largest = Math.max(largest, x[start + i]!);
  let sum = 0;
  for (let i = 0; i < count; i++) sum += Math.exp(x[start + i]! - largest);
  return largest + Math.log(sum);
}

/** Derivative of the objective by one logit of a token that counts. */
export function logitGradient(
  context: ReferenceContext,
): (token: number, probability: number, isTarget: boolean) => number {
  const dlosses = elementOr(context, "dlosses", 0);
  const dlogSumExp = elementOr(context, "dlogSumExp", 0);
  return (token, probability, isTarget) =>
    (dlosses(token) + dlogSumExp(token)) * probability - (isTarget ? dlosses(token) : 0);
}

const crossEntropy: ReferenceKernel = ({ input, output, axes, params }) => {
  const classes = axes["vocabulary"]!;
  const logits = input("logits");
  const [losses, valid, logSumExp] = [output("losses"), output("valid"), output("logSumExp")];
  input("targets").forEach((target, t) => {
    if (!counts("crossEntropy", target, t, classes, params["ignoreIndex"] as number)) return;
    const total = logSumExpOf(logits, t * classes, classes);
    losses[t] = total - logits[t * classes + target]!;
    logSumExp[t] = total;
    valid[t] = 1;
  });
};

const crossEntropyBackward: ReferenceKernel = (context) => {
  const { input, output, axes, params } = context;
  const classes = axes["vocabulary"]!;
  const [logits, logSumExp, dlogits] = [input("logits"), input("logSumExp"), output("dlogits")];
  const gradient = logitGradient(context);
  input("targets").forEach((target, t) => {
    if (!counts("crossEntropyBackward", target, t, classes, params["ignoreIndex"] as number)) return;
    for (let v = 0; v < classes; v++) {
      const at = t * classes + v;
      dlogits[at] = gradient(t, Math.exp(logits[at]! - logSumExp[t]!), v === target);
    }
  });
};

/** Reference kernels of this folder. */
export const crossEntropyReference = { crossEntropy, crossEntropyBackward } as const satisfies Record<
  string,
  ReferenceKernel
>;
