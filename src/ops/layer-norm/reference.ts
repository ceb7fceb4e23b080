import type { ReferenceKernel } from "../../backends/reference/index.ts";
import { elementOr, meanOver, normInput } from "../rms-norm/reference.ts";

const layerNorm: ReferenceKernel = (context) => {
  const { output, axes, params, wants } = context;
  const channels = axes["channels"]!;
  const y = output("y");
  const scale = elementOr(context, "weight", 1);
  const shift = elementOr(context, "bias", 0);
  for (let row = 0; row * channels < y.length; row++) {
    const line = normInput(context, row, channels);
    const mean = meanOver(channels, (c) => line[c]!);
    const variance = meanOver(channels, (c) => (line[c]! - mean) ** 2);
    const factor = 1 / Math.sqrt(variance + (params["epsilon"] as number));
    for (let c = 0; c < channels; c++) {
      y[row * channels + c] = (line[c]! - mean) * factor * scale(c) + shift(c);
    }
    if (wants("sum")) output("sum").set(line as Float64Array, row * channels);
  }
};

const layerNormBackward: ReferenceKernel = (context) => {
  const { input, output, axes, params, wants } = context;
  const channels = axes["channels"]!;
  const [x, dy, dx] = [input("x"), input("dy"), output("dx")];
  const scale = elementOr(context, "weight", 1);
  const dsum = elementOr(context, "dsum", 0);
  const dweight = new Float64Array(channels);
  const dbias = new Float64Array(channels);
  for (let at = 0; at < dx.length; at += channels) {
    const mean = meanOver(channels, (c) => x[at + c]!);
    const variance = meanOver(channels, (c) => (x[at + c]! - mean) ** 2);
    const factor = 1 / Math.sqrt(variance + (params["epsilon"] as number));
    const unit = (c: number): number => (x[at + c]! - mean) * factor;
    const scaled = (c: number): number => scale(c) * dy[at + c]!;
    const shift = meanOver(channels, scaled);
    const shared = meanOver(channels, (c) => unit(c) * scaled(c));
    for (let c = 0; c < channels; c++) {
      dx[at + c] = factor * (scaled(c) - shift - unit(c) * shared) + dsum(at + c);
      dweight[c]! += dy[at + c]! * unit(c);
      dbias[c]! += dy[at + c]!;
    }
  }
  if (wants("dweight")) output("dweight").set(dweight as Float64Array);
  if (wants("dbias")) output("dbias").set(dbias as Float64Array);
};

/** Reference kernels of this folder. */
export const layerNormReference = { layerNorm, layerNormBackward } as const satisfies Record<string, ReferenceKernel>;
