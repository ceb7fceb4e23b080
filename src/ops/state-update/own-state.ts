import { ShapeError } from "../../tensor/errors.ts";
import { formatShape } from "../../tensor/shape.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import { copy } from "../movement/index.ts";

/**
 * The tensor that a step changes: a dense copy of `state`, or with `inPlace` an alias of it.
 *
 * @param op - who asks, for the error
 * @param argument - name of the state there
 * @throws ShapeError if a state that is to be changed in place is not dense
 */
export function ownState(op: string, argument: string, state: Tensor, inPlace: boolean): Tensor {
  if (!inPlace) return copy(state);
  if (state.dense) return state.adopted();
  throw new ShapeError(
    `${op}: ${argument} must be dense to be changed in place; got a view of shape ${formatShape(state.shape)}; leave out inPlace`,
    { op, argument, actual: state.shape },
  );
}
