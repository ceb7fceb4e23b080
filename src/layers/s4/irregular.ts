import { diagonalScan } from "../../ops/diagonal-scan/index.ts";
import { add, mul } from "../../ops/elementwise/index.ts";
import { concat, reshape, slice } from "../../ops/movement/index.ts";
import { broadcastTo } from "../../ops/reduce/index.ts";
import { type Tensor, tensor } from "../../tensor/tensor.ts";
import { type ComplexTensor, complexDiv, joined, plusReal, scaled } from "./complex.ts";
import type { Discretization } from "./kernels.ts";
import type { S4System } from "./system.ts";

/** What a scan over samples starts from. */
export interface DiagonalSamples {
  /** [batch length dModel] */
  readonly u: Tensor;
  /** [batch length]; samples are equally spaced without. */
  readonly deltas: Tensor | undefined;
  /** [batch dModel half 2] */
  readonly state: Tensor | undefined;
  /** [channels dModel] skip. */
  readonly D: Tensor;
  readonly discretization: Discretization;
}

/**
 * A diagonal system over samples at any times, by a scan: A-bar and B-bar of step t are those of the step size dt deltas[t].
 *
 * @returns y [batch length, channels dModel], one channel after the other, and the state after the last sample
 */
export function scanDiagonal(system: S4System, samples: DiagonalSamples): { y: Tensor; state: Tensor } {
  const { u, state, D, discretization } = samples;
  const { device, dtype, shape } = u;
  const one = tensor(Float64Array.of(1), [1, 1], { device, dtype });
  const given = samples.deltas ?? broadcastTo(one, shape.slice(0, 2));
  const delta = broadcastTo(reshape(given, [...shape.slice(0, 2), 1]), shape);
  const { A, dt } = system;
  const input: ComplexTensor = system.B ?? plusReal(scaled(A, 0), 1);
  const gain = joined(complexDiv(input, A));
  const decay = joined(scaled(A, dt));
  const options = { discretization, initialState: state };
  const scans = system.C.map((C) => diagonalScan(u, delta, decay, gain, joined(C), options));
  const parts = scans.map(({ y }, channel) =>
    add(y, mul(u, reshape(slice(D, { axis: 0, start: channel, end: channel + 1 }), [shape[2]!]))),
  );
  return { y: parts.length === 1 ? parts[0]! : concat(parts, -1), state: scans[0]!.finalState };
}
