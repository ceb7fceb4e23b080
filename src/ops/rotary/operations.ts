import type { Params } from "../../tensor/device.ts";
import { ConfigError, ShapeError } from "../../tensor/errors.ts";
import { apply, defineOp, type Op } from "../op.ts";

/**
 * Rotary position embedding. Parameters: `offset`, the position of the first token; `base`; `inverse`, whether to turn back,
 * which is the gradient, for a rotation's transpose is its inverse.
 */
export const rotaryOp: Op = defineOp({
  name: "rotary",
  signature: "x[batch length heads width] -> y[batch length heads width]",
  axes: (params, { width }) => {
    check(params, width!);
    return {};
  },
  gradient: ({ gradients, params }) => ({
    x: apply(rotaryOp, { x: gradients["y"] }, { ...params, inverse: !params["inverse"] })["y"],
  }),
  accumulate: "float32",
});

function check({ offset, base }: Params, width: number): void {
  if (width % 2 !== 0) {
    throw new ShapeError(`rotary: the width of a head must be even; got ${width}; change the number of heads`, {
      width,
    });
  }
  if (!Number.isSafeInteger(offset) || (offset as number) < 0) {
    throw new ConfigError(
      `rotary: offset must be a whole number, at least 0; got ${offset}; pass the tokens before the first`,
      { key: "offset", actual: offset },
    );
  }
  if (!((base as number) > 0 && Number.isFinite(base))) {
    throw new ConfigError(`rotary: base must be positive and finite; got ${base}; pass 10000 or more`, {
      key: "base",
      actual: base,
    });
  }
}
