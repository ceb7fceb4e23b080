import type { ReferenceKernel } from "../../backends/reference/index.ts";

/** How often a number of the spectrum counts in the sum over all frequencies: with its conjugate, or alone. */
const countOf = (node: number, length: number): number => (node === 0 || 2 * node === length ? 1 : 2);

/** Cosine and sine of 2 pi node t / length; the product is reduced before it is rounded. */
function turn(node: number, t: number, length: number): [number, number] {
  const angle = (2 * Math.PI * ((node * t) % length)) / length;
  return [Math.cos(angle), Math.sin(angle)];
}

const realFourier: ReferenceKernel = ({ input, output, axes, params }) => {
  const { length, nodes, channels } = axes as { length: number; nodes: number; channels: number };
  const [x, spectrum] = [input("x"), output("spectrum")];
  for (let node = 0; node < nodes; node++) {
    const scale = params["adjoint"] ? countOf(node, length) / length : 1;
    for (let channel = 0; channel < channels; channel++) {
      let [re, im] = [0, 0];
      for (let t = 0; t < length; t++) {
        const [cosine, sine] = turn(node, t, length);
        re += x[t * channels + channel]! * cosine;
        im -= x[t * channels + channel]! * sine;
      }
      spectrum[2 * (node * channels + channel)] = scale * re;
      spectrum[2 * (node * channels + channel) + 1] = scale * im;
    }
  }
};

const inverseRealFourier: ReferenceKernel = ({ input, output, axes, params }) => {
  const { length, nodes, channels } = axes as { length: number; nodes: number; channels: number };
  const [spectrum, x] = [input("spectrum"), output("x")];
  for (let t = 0; t < length; t++) {
    for (let channel = 0; channel < channels; channel++) {
      let sum = 0;
      for (let node = 0; node < nodes; node++) {
        const [cosine, sine] = turn(node, t, length);
        const at = 2 * (node * channels + channel);
        const scale = params["adjoint"] ? 1 : countOf(node, length) / length;
        sum += scale * (spectrum[at]! * cosine - spectrum[at + 1]! * sine);
      }
      x[t * channels + channel] = sum;
    }
  }
};

/** Reference kernels of this folder. */
export const fourierReference = { realFourier, inverseRealFourier } as const satisfies Record<string, ReferenceKernel>;
