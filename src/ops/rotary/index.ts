import type { Tensor } from "../../tensor/tensor.ts";
import { apply } from "../op.ts";
import { rotaryOp } from "./operations.ts";

/** Options of {@link rotary}. */
export interface RotaryOptions {
  /** Position of the first token; default 0. */
  readonly offset?: number;
  /** Angle per position falls from 1 towards 1 / base over the pairs of channels; default 10000. */
  readonly base?: number;
}

/**
 * Rotary position embedding: turns each pair of channels (i, i + width / 2) by an angle that grows with the position, so that
 * products of queries and keys depend on the distance of their positions alone.
 *
 *     angle[t, i] = (offset + t) base^(-2 i / width),   i from 0 to width / 2 - 1
 *     y[i]             = x[i] cos(angle) - x[i + width / 2] sin(angle)
 *     y[i + width / 2] = x[i + width / 2] cos(angle) + x[i] sin(angle)
 *
 * Angles are taken and reduced in float64, in radians, on every device: a float32 has no fraction left at large positions.
 *
 * @param x - [batch length heads width], width even
 * @param options - see {@link RotaryOptions}
 * @returns y [batch length heads width]
 * @throws ShapeError if x does not have four axes, or the width is odd; ConfigError if offset or base cannot be
 * @see Su et al. 2021, "RoFormer: enhanced transformer with rotary position embedding", section 3.2.2
 */
export function rotary(x: Tensor, options: RotaryOptions = {}): Tensor {
  const { offset = 0, base = 10_000 } = options;
  return apply(rotaryOp, { x }, { offset, base, inverse: false })["y"]!;
}
