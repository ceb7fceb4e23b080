import type { ReferenceContext, ReferenceKernel } from "../../backends/reference/index.ts";
import { Random } from "../../tensor/random.ts";

/** The stream that an op's parameters name, from its first word. */
export function streamOf({ params }: ReferenceContext): Random {
  const seed = (BigInt(params["seedHigh"] as number) << 32n) | BigInt(params["seedLow"] as number);
  return new Random(seed, params["stream"] as number);
}

const fillUniform: ReferenceKernel = (context) => {
  const random = streamOf(context);
  const y = context.input("y");
  for (let i = 0; i < y.length; i++) y[i] = random.uniform();
};

/** Reference kernels of this folder. */
export const randomReference = { fillUniform } as const satisfies Record<string, ReferenceKernel>;
