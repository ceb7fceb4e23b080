import { apply, defineOp, type Op } from "../op.ts";

const signature = "u[batch length channels], k[taps channels], after?[afterTaps channels], D?[channels]";

/** Long convolution over time, by Fourier transforms. */
export const fftConvOp: Op = defineOp({
  name: "fftConv",
  signature: `${signature} -> y[batch length channels]`,
  saved: ["u", "k", "after", "D"],
  gradient: ({ saved, gradients }) => {
    const { u, k, after, D } = saved;
    const made = apply(fftConvBackwardOp, { u, k, after, D, dy: gradients["y"] });
    return { u: made["du"], k: made["dk"], after: made["dAfter"], D: made["dD"] };
  },
  accumulate: "float32",
});

/** Gradients of all inputs. */
export const fftConvBackwardOp: Op = defineOp({
  name: "fftConvBackward",
  signature: `${signature}, dy[batch length channels] -> du[batch length channels], dk[taps channels], dAfter?[afterTaps channels], dD?[channels]`,
  produces: (output, { after, D }) => (output === "dAfter" ? after !== undefined : D !== undefined),
  accumulate: "float32",
});
