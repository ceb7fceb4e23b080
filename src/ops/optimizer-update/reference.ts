import type { ReferenceContext, ReferenceKernel } from "../../backends/reference/index.ts";
import type { AdamwParams } from "./operations.ts";

/** What multiplies the gradient; undefined if the step is to be skipped. */
function gradientScale({ input, has }: ReferenceContext): number | undefined {
  if (has("skip") && input("skip")[0] !== 0) return undefined;
  return has("scale") ? input("scale")[0]! : 1;
}

const adamwUpdate: ReferenceKernel = (context) => {
  const { input, has, params } = context;
  const scale = gradientScale(context);
  if (scale === undefined) return;
  const { beta1, beta2, epsilon, step, learningRates, weightDecays } = params as AdamwParams;
  const meanCorrection = 1 - beta1 ** step;
  const squareCorrection = 1 - beta2 ** step;
  for (let k = 0; has(`parameter${k}`); k++) {
    const [parameter, gradient] = [input(`parameter${k}`), input(`gradient${k}`)];
    const [mean, square] = [input(`mean${k}`), input(`square${k}`)];
    const [learningRate, weightDecay] = [learningRates[k]!, weightDecays[k]!];
    for (let i = 0; i < parameter.length; i++) {
      const g = gradient[i]! * scale;
      const m = beta1 * mean[i]! + (1 - beta1) * g;
      const v = beta2 * square[i]! + (1 - beta2) * g * g;
      mean[i] = m;
      square[i] = v;
      const kept = parameter[i]! * (1 - learningRate * weightDecay);
      parameter[i] = kept - (learningRate * (m / meanCorrection)) / (Math.sqrt(v / squareCorrection) + epsilon);
    }
  }
};

const sgdUpdate: ReferenceKernel = (context) => {
  const { input, has, params } = context;
  const scale = gradientScale(context);
  if (scale === undefined) return;
  const { learningRate, momentum, weightDecay } = params as Record<string, number>;
  const [parameter, gradient] = [input("parameter"), input("gradient")];
  const velocity = has("velocity") ? input("velocity") : undefined;
  for (let i = 0; i < parameter.length; i++) {
    let g = gradient[i]! * scale + weightDecay! * parameter[i]!;
    if (velocity) {
      g += momentum! * velocity[i]!;
      velocity[i] = g;
    }
    parameter[i] = parameter[i]! - learningRate! * g;
  }
};

const averageUpdate: ReferenceKernel = ({ input, params }) => {
  const [average, x, decay] = [input("average"), input("x"), params["decay"] as number];
  for (let i = 0; i < x.length; i++) average[i] = decay * average[i]! + (1 - decay) * x[i]!;
};

const addSquaredNorm: ReferenceKernel = ({ input, inputNames }) => {
  for (const name of inputNames) {
    if (name === "total") continue;
    let sum = 0;
    for (const value of input(name)) sum += value * value;
    input("total")[0]! += sum;
  }
};

/** Reference kernels of this folder. */
export const optimizerUpdateReference = {
  adamwUpdate,
  sgdUpdate,
  averageUpdate,
  addSquaredNorm,
} as const satisfies Record<string, ReferenceKernel>;
