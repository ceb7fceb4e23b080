import { valueAndGrad } from "../autograd/index.ts";
import { foundNonFinite } from "../ops/cast/index.ts";
import { add, div, minimum, mul, sqrt } from "../ops/elementwise/index.ts";
import { concat, reshape } from "../ops/movement/index.ts";
import { addSquaredNorm } from "../ops/optimizer-update/index.ts";
import { flattenParameters, nestParameters, type Parameters } from "../tensor/parameters.ts";
import { scope } from "../tensor/scope.ts";
import { type Tensor, zeros } from "../tensor/tensor.ts";
import type { Optimizer } from "./optimizer.ts";
import { atPrecision, checkPrecision, type TrainingPrecision } from "./precision.ts";

/** Options of {@link trainStep}. */
export interface TrainStepOptions {
  readonly optimizer: Optimizer;
  readonly learningRate: number;
  /** Largest global norm of the gradients; longer ones are scaled down. Default: no limit. */
  readonly clipNorm?: number;
  /** The loss is multiplied by it while gradients are computed, and they are divided by it again; default 1. */
  readonly lossScale?: number;
  /** Of matrix products; default: what the device is set to. `mixed` wants a {@link lossScale}. */
  readonly precision?: TrainingPrecision;
}

/** Numbers of a step, on the device until somebody reads them. */
export interface TrainStepResult {
  /** Mean of the losses of the micro-batches, [1]. */
  readonly loss: Tensor;
  /** Global norm of the gradients before clipping, [1]; where it is not finite, nothing was updated. */
  readonly gradientNorm: Tensor;
}

/** Added to the norm before dividing, as `torch.nn.utils.clip_grad_norm_` does. */
const CLIP_EPSILON = 1e-6;

/**
 * One step of training: gradients of the mean loss over micro-batches, clipped by their global norm, then one update in place.
 * Nothing is read back to the host. Gradients that are not finite leave the parameters and the optimizer's tensors as they were.
 *
 * @param parameters - changed in place
 * @param objectives - one function per micro-batch, each returning its loss, a tensor of one element; more than one means
 *   gradient accumulation, with the memory of one
 * @returns loss and norm; dispose them
 * @throws ConfigError if the device cannot work at `precision`
 */
export function trainStep<P extends Parameters>(
  parameters: P,
  objectives: readonly ((parameters: P) => Tensor)[],
  { optimizer, learningRate, clipNorm, lossScale = 1, precision }: TrainStepOptions,
): TrainStepResult {
  const [{ device }] = flattenParameters(parameters).values() as unknown as [Tensor];
  checkPrecision("trainStep", precision, device);
  return scope(() => {
    const { loss, gradients } = atPrecision(device, precision, () =>
      accumulatedGradients(parameters, objectives, lossScale),
    );
    const norm = divided(globalNorm(gradients), lossScale);
    const clip = clipNorm === undefined ? undefined : minimum(div(clipNorm, add(norm, CLIP_EPSILON)), 1);
    const scale = clip ? divided(clip, lossScale) : lossScale === 1 ? undefined : full(1 / lossScale, norm);
    optimizer.update(parameters, gradients, { learningRate, scale, skip: foundNonFinite([norm]) });
    return { loss: divided(loss, lossScale), gradientNorm: norm };
  });
}

/** Reads the numbers of a step in one go and frees them. */
export async function readStep({
  loss,
  gradientNorm,
}: TrainStepResult): Promise<{ readonly loss: number; readonly gradNorm: number }> {
  const one = (x: Tensor): Tensor => reshape(x, [1]);
  const both = scope(() => concat([one(loss), one(gradientNorm)]));
  for (const made of [loss, gradientNorm]) made.dispose();
  const [first, second] = (await both.read()) as unknown as [number, number];
  both.dispose();
  return { loss: first, gradNorm: second };
}

function divided(x: Tensor, by: number): Tensor {
  return by === 1 ? x : mul(x, 1 / by);
}

function full(value: number, { device, dtype }: Tensor): Tensor {
  return add(zeros([1], { device, dtype }), value);
}

/**
 * Mean loss and mean gradients over micro-batches, both multiplied by `scale`.
 *
 * @returns tensors that the caller owns
 */
export function accumulatedGradients<P extends Parameters>(
  parameters: P,
  objectives: readonly ((parameters: P) => Tensor)[],
  scale = 1,
): { loss: Tensor; gradients: P } {
  const share = scale / objectives.length;
  let total: { loss: Tensor; gradients: Map<string, Tensor> } | undefined;
  for (const objective of objectives) {
    const { value, gradients } = valueAndGrad(
      (own: P) => (share === 1 ? objective(own) : mul(objective(own), share)),
      parameters,
    );
    const flat = flattenParameters(gradients);
    if (!total) {
      total = { loss: value, gradients: flat };
      continue;
    }
    const before = total;
    total = {
      loss: replaced(before.loss, value),
      gradients: new Map([...flat].map(([name, fresh]) => [name, replaced(before.gradients.get(name)!, fresh)])),
    };
  }
  return { loss: total!.loss, gradients: nestParameters(total!.gradients) as P };
}

/** a + b; frees both. */
function replaced(a: Tensor, b: Tensor): Tensor {
  const sum = scope(() => add(a, b));
  a.dispose();
  b.dispose();
  return sum;
}

/** Square root of the sum of the squares of all elements, [1]. */
export function globalNorm(gradients: Parameters): Tensor {
  const all = [...flattenParameters(gradients).values()];
  const { device, dtype } = all[0]!;
  return scope(() => {
    const total = zeros([1], { device, dtype });
    addSquaredNorm(all, total);
    return sqrt(total);
  });
}
