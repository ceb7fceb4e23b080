import type { ReferenceContext, ReferenceKernel } from "../../backends/reference/index.ts";

/** Calls `f` for each term of each channel: its place among the pairs, and its channel. */
function eachTerm({ axes }: ReferenceContext, f: (pair: number, channel: number) => void): void {
  const { channels, state } = axes as { channels: number; state: number };
  for (let channel = 0; channel < channels; channel++) {
    for (let n = 0; n < state; n++) f(channel * state + n, channel);
  }
}

const factorOf = ({ params }: ReferenceContext): number => (params["conjugate"] ? 2 : 1);

const vandermonde: ReferenceKernel = (context) => {
  const { channels, length } = context.axes as { channels: number; length: number };
  const [v, x, k] = [context.input("v"), context.input("x"), context.output("k")];
  const sums = new Float64Array(k.length);
  eachTerm(context, (pair, channel) => {
    const [re, im] = [v[2 * pair]!, v[2 * pair + 1]!];
    for (let t = 0; t < length; t++) {
      const size = factorOf(context) * Math.exp(t * x[2 * pair]!);
      const angle = t * x[2 * pair + 1]!;
      sums[t * channels + channel]! += size * (re * Math.cos(angle) - im * Math.sin(angle));
    }
  });
  k.set(sums as Float64Array);
};

const vandermondeBackward: ReferenceKernel = (context) => {
  const { channels, length } = context.axes as { channels: number; length: number };
  const [v, x, dk] = [context.input("v"), context.input("x"), context.input("dk")];
  const [dv, dx] = [context.output("dv"), context.output("dx")];
  eachTerm(context, (pair, channel) => {
    // sums of dk exp(t conj(x)), and of t dk exp(t conj(x))
    let [re, im, slopeRe, slopeIm] = [0, 0, 0, 0];
    for (let t = 0; t < length; t++) {
      const given = factorOf(context) * dk[t * channels + channel]! * Math.exp(t * x[2 * pair]!);
      const angle = t * x[2 * pair + 1]!;
      re += given * Math.cos(angle);
      im -= given * Math.sin(angle);
      slopeRe += t * given * Math.cos(angle);
      slopeIm -= t * given * Math.sin(angle);
    }
    dv[2 * pair] = re;
    dv[2 * pair + 1] = im;
    dx[2 * pair] = v[2 * pair]! * slopeRe + v[2 * pair + 1]! * slopeIm;
    dx[2 * pair + 1] = v[2 * pair]! * slopeIm - v[2 * pair + 1]! * slopeRe;
  });
};

/** Reference kernels of this folder. */
export const vandermondeReference = { vandermonde, vandermondeBackward } as const satisfies Record<
  string,
  ReferenceKernel
>;
