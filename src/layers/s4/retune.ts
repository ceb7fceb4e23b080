import { convertArray } from "../../tensor/dtype.ts";
import { ConfigError } from "../../tensor/errors.ts";
import { type Tensor, tensor } from "../../tensor/tensor.ts";
import { type LowRankFeature, tuned } from "./dense.ts";
import type { S4Config, S4Parameters } from "./s4-layer.ts";

/** Where C stands: tuned to a length, or as it is for 0. */
export interface Tuning {
  readonly from: number;
  readonly to: number;
}

/** A tensor's values in float64. */
export async function readDouble(x: Tensor): Promise<Float64Array> {
  return (await convertArray(await x.read(), x.dtype, "float64")) as Float64Array;
}

/** The features of a low-rank system in float64, sharing copies in turn. */
export async function readFeatures({ kernel }: S4Parameters, config: S4Config): Promise<LowRankFeature[]> {
  const { A_real, A_imag, P, invDt } = kernel;
  if (!P) throw new ConfigError("S4Layer: a low-rank system must have P; got none; give it", { key: "P" });
  const [copies, half] = A_real.shape as [number, number];
  const [re, im, low, dt] = (await Promise.all([A_real, A_imag, P, invDt].map(readDouble))) as [
    Float64Array,
    Float64Array,
    Float64Array,
    Float64Array,
  ];
  const rank = P.shape[0]!;
  const sign = config.imaginarySign ?? -1;
  const isExp = (config.dtTransform ?? "exp") === "exp";
  return Array.from({ length: config.dModel }, (_, feature) => {
    const copy = feature % copies;
    const A = Float64Array.from({ length: 2 * half }, (__, i) => {
      const at = copy * half + (i >> 1);
      return i % 2 === 0 ? -Math.exp(re[at]!) : sign * im[at]!;
    });
    const rows = Array.from({ length: rank }, (__, r) =>
      low.subarray(2 * (r * copies + copy) * half).subarray(0, 2 * half),
    );
    const step = dt[feature]!;
    return {
      ...{ A, P: Float64Array.from(rows.flatMap((row) => [...row])), half },
      dt: isExp ? Math.exp(step) : Math.log1p(Math.exp(step)),
    };
  });
}

/**
 * C of a low-rank system, tuned to another length. In the convolution a kernel is cut at the length L that C is tuned to by
 * C (1 - A-bar^L) in the place of C; the recurrence needs C itself. Works in float64 on the host, in about state^3 log L steps a feature.
 *
 * @returns C [channels dModel half 2] as a new tensor
 * @see Gu, Goel & Ré 2021 (S4), appendix C.3
 */
export async function retuned(parameters: S4Parameters, config: S4Config, { from, to }: Tuning): Promise<Tensor> {
  const { C } = parameters.kernel;
  const features = await readFeatures(parameters, config);
  const values = await readDouble(C);
  const [channels, dModel, half] = C.shape as [number, number, number, number];
  for (let channel = 0; channel < channels; channel++) {
    for (let feature = 0; feature < dModel; feature++) {
      const at = 2 * (channel * dModel + feature) * half;
      let own: Float64Array = values.slice(at, at + 2 * half);
      if (from > 0) own = tuned(own, features[feature]!, from, true);
      if (to > 0) own = tuned(own, features[feature]!, to, false);
      values.set(own, at);
    }
  }
  return tensor(convertArray(values, "float64", C.dtype), C.shape, { device: C.device, dtype: C.dtype });
}
