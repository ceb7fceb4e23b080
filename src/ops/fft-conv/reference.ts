import type { ReferenceContext, ReferenceKernel } from "../../backends/reference/index.ts";

/** Calls `f` with every pair of a step and an earlier or equal one of a row, as far apart as there are taps. */
function eachPair(
  { axes }: ReferenceContext,
  taps: number,
  first: number,
  f: (later: number, earlier: number, tap: number) => void,
): void {
  const { batch, length, channels } = axes as { batch: number; length: number; channels: number };
  for (let b = 0; b < batch; b++) {
    for (let t = 0; t < length; t++) {
      for (let j = 0; j < taps && j + first <= t; j++) {
        for (let c = 0; c < channels; c++) {
          f((b * length + t) * channels + c, (b * length + t - j - first) * channels + c, j * channels + c);
        }
      }
    }
  }
}

/** Both kernels with the distance of their first tap; what `after` is multiplied with lies later. */
function eachKernel(context: ReferenceContext, f: (name: "k" | "after", taps: number, first: number) => void): void {
  f("k", context.axes["taps"]!, 0);
  if (context.has("after")) f("after", context.axes["afterTaps"]!, 1);
}

const fftConv: ReferenceKernel = (context) => {
  const { axes, input, output, has } = context;
  const [u, y] = [input("u"), output("y")];
  const sums = new Float64Array(y.length);
  eachKernel(context, (name, taps, first) => {
    const kernel = input(name);
    eachPair(context, taps, first, (later, earlier, tap) => {
      const [from, to] = name === "k" ? [earlier, later] : [later, earlier];
      sums[to]! += kernel[tap]! * u[from]!;
    });
  });
  if (has("D")) for (let i = 0; i < y.length; i++) sums[i]! += input("D")[i % axes["channels"]!]! * u[i]!;
  y.set(sums as Float64Array);
};

const fftConvBackward: ReferenceKernel = (context) => {
  const { axes, input, output, has } = context;
  const [u, dy] = [input("u"), input("dy")];
  const du = new Float64Array(u.length);
  eachKernel(context, (name, taps, first) => {
    const kernel = input(name);
    const dKernel = output(name === "k" ? "dk" : "dAfter");
    eachPair(context, taps, first, (later, earlier, tap) => {
      const [from, to] = name === "k" ? [earlier, later] : [later, earlier];
      du[from]! += kernel[tap]! * dy[to]!;
      dKernel[tap]! += u[from]! * dy[to]!;
    });
  });
  if (has("D")) {
    const channels = axes["channels"]!;
    for (let i = 0; i < u.length; i++) {
      du[i]! += input("D")[i % channels]! * dy[i]!;
      output("dD")[i % channels]! += u[i]! * dy[i]!;
    }
  }
  output("du").set(du as Float64Array);
};

/** Reference kernels of this folder. */
export const fftConvReference = { fftConv, fftConvBackward } as const satisfies Record<string, ReferenceKernel>;
