import { DtypeError, ShapeError } from "../../tensor/errors.ts";
import { formatShape } from "../../tensor/shape.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import { cast } from "../cast/index.ts";
import { reshape } from "../movement/index.ts";
import { dense } from "../movement/operations.ts";
import { apply } from "../op.ts";
import { selectiveScanOp } from "./operations.ts";

/** Options of {@link selectiveScan}. */
export interface SelectiveScanOptions {
  /** [channels], y += D u. */
  D?: Tensor;
  /** [batch length channels], y is multiplied by SiLU(z). */
  z?: Tensor;
  /** [channels], added to delta before the softplus. */
  deltaBias?: Tensor;
  /** Whether delta goes through softplus, which makes it positive; default false. */
  deltaSoftplus?: boolean;
  /** [batch channels state]; default zero. */
  initialState?: Tensor;
  /**
   * int32 [batch length], not decreasing: sequences packed into a row. A new segment starts from zero, only the first from
   * `initialState`. -1 is padding: its output is 0 and the state passes it by.
   */
  segmentIds?: Tensor;
  /** With `segmentIds`: how many segments' end states to give back, for ids 0 to segments - 1. */
  segments?: number;
  /** Run over time from the end. */
  reverse?: boolean;
}

/**
 * The selective state-space recurrence, discretised with zero-order hold for A and Euler's rule for B.
 *
 *     d[t] = softplus(delta[t] + deltaBias)
 *     h[t] = exp(d[t] A) h[t-1] + d[t] B[t] u[t]
 *     y[t] = (C[t] . h[t] + D u[t]) SiLU(z[t])
 *
 * Fused and linear in length: nothing of size length x channels x state is ever in memory. Backward computes the states
 * again from one saved state per 64 steps.
 *
 * u, delta, z and B and C by step may be float16, and y and their gradients are then too; states and everything that is worked out stay
 * in the type of A. On devices without float16 arithmetic the inputs are cast.
 *
 * @param u - [batch length channels]
 * @param delta - [batch length channels], step sizes
 * @param A - [channels state], real, normally negative
 * @param B - [batch length state], [batch length groups state] with consecutive channels sharing a group, or constant
 *   [channels state]
 * @param C - like B
 * @param options - see {@link SelectiveScanOptions}
 * @returns y [batch length channels]; finalState [batch channels state]; and with `segments`, finalStates
 *   [batch segments channels state], zero for segments that do not occur
 * @throws ShapeError if an axis disagrees, or channels are not a multiple of groups
 * @throws DtypeError if u, delta, z, B and C are not of one type
 * @see Gu & Dao 2023, "Mamba: linear-time sequence modeling with selective state spaces", algorithm 2 and section 3.3.2
 */
export function selectiveScan(
  u: Tensor,
  delta: Tensor,
  A: Tensor,
  B: Tensor,
  C: Tensor,
  options: SelectiveScanOptions = {},
): { y: Tensor; finalState: Tensor; finalStates?: Tensor } {
  const { D, z, deltaBias, deltaSoftplus = false, initialState, segmentIds, segments, reverse = false } = options;
  const optional = (x: Tensor | undefined): Tensor | undefined => x && dense(x);
  const rows = { u, delta, ...selective("B", B, u), ...selective("C", C, u), z };
  const isWidened = checkRows(rows, A) && !u.device.features.has("shader-f16");
  const { y, finalState, segmentStates } = apply(
    selectiveScanOp,
    {
      ...(isWidened ? widened(rows, A) : rows),
      A: dense(A),
      D: optional(D),
      deltaBias: optional(deltaBias),
      segmentIds: optional(segmentIds),
      initialState: optional(initialState),
    },
    { deltaSoftplus, reverse, segments: segmentIds && segments },
  );
  return {
    y: isWidened ? cast(y!, "float16") : y!,
    finalState: finalState!,
    ...(segmentStates ? { finalStates: segmentStates } : {}),
  };
}

/** Inputs of the op by step. */
type Rows = Readonly<Record<string, Tensor | undefined>>;

const isConstant = (name: string): boolean => name.startsWith("constant");

/** Whether rows are float16; throws if they are not of one type, or of another than that and A's. */
function checkRows(rows: Rows, A: Tensor): boolean {
  const { dtype } = rows["u"]!;
  if (dtype !== "float16" && dtype !== A.dtype) throw wrongType("u", rows["u"]!, `${A.dtype} like A, or float16`);
  for (const [name, x] of Object.entries(rows)) {
    const expected = isConstant(name) ? A.dtype : dtype;
    if (x && x.dtype !== expected) throw wrongType(name, x, `${expected} like ${isConstant(name) ? "A" : "u"}`);
  }
  return dtype === "float16";
}

function wrongType(argument: string, { dtype }: Tensor, expected: string): DtypeError {
  return new DtypeError(
    `selectiveScan: ${argument} must be ${expected}; got ${dtype}; cast it with cast(${argument}, "${expected.split(" ")[0]}")`,
    { argument, expected, actual: dtype },
  );
}

function widened(rows: Rows, { dtype }: Tensor): Rows {
  const given = Object.entries(rows);
  return Object.fromEntries(given.map(([name, x]) => [name, x && cast(x, dtype as "float32")]));
}

/** B or C under the name that its rank calls for. */
function selective(name: "B" | "C", x: Tensor, u: Tensor): Record<string, Tensor> {
  const rank = x.shape.length;
  if (rank === 2) return { [`constant${name}`]: dense(x) };
  if (rank === 3) {
    const [batch, length, state] = x.shape as [number, number, number];
    return { [name]: reshape(x, [batch, length, 1, state]) };
  }
  const groups = x.shape[2]!;
  const channels = u.shape.at(-1)!;
  if (rank === 4 && channels % groups === 0) return { [name]: x };
  throw new ShapeError(
    `selectiveScan: ${name} must be [channels state], [batch length state] or [batch length groups state] with groups dividing the ${channels} channels; got ${formatShape(x.shape)}; reshape it`,
    { argument: name, actual: x.shape, channels },
  );
}
