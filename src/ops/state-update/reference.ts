import type { ReferenceKernel } from "../../backends/reference/index.ts";
import { sigmoid, softplus } from "../elementwise/functions.ts";

const stateUpdate: ReferenceKernel = ({ input, output, has, axes, params }) => {
  const { batch, channels, state, groups } = axes as Record<"batch" | "channels" | "state" | "groups", number>;
  const [h, u, delta, A] = [input("h"), input("u"), input("delta"), input("A")];
  const [B, C, y] = [input("B"), input("C"), output("y")];
  const per = (name: string, c: number): number => (has(name) ? input(name)[c]! : 0);
  for (let b = 0; b < batch; b++) {
    for (let c = 0; c < channels; c++) {
      const at = b * channels + c;
      const raw = delta[at]! + per("deltaBias", c);
      const step = params["deltaSoftplus"] ? softplus(raw) : raw;
      const group = (b * groups + Math.floor((c * groups) / channels)) * state;
      let sum = per("D", c) * u[at]!;
      for (let n = 0; n < state; n++) {
        const next = Math.exp(step * A[c * state + n]!) * h[at * state + n]! + step * u[at]! * B[group + n]!;
        h[at * state + n] = next;
        sum += C[group + n]! * next;
      }
      const z = has("z") ? input("z")[at]! : 0;
      y[at] = has("z") ? sum * z * sigmoid(z) : sum;
    }
  }
};

/** Reference kernels of this folder. */
export const stateUpdateReference = { stateUpdate } as const satisfies Record<string, ReferenceKernel>;
