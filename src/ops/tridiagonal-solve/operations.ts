import type { Tensor } from "../../tensor/tensor.ts";
import { zeros } from "../../tensor/tensor.ts";
import { mul, neg } from "../elementwise/index.ts";
import { concat, slice } from "../movement/index.ts";
import { dense } from "../movement/operations.ts";
import { apply, defineOp, type GradientCall, type Op, type Tensors } from "../op.ts";
import { sum } from "../reduce/index.ts";

/** Systems of equations with three diagonals, by elimination without pivots. */
export const tridiagonalSolveOp: Op = defineOp({
  name: "tridiagonalSolve",
  signature:
    "lower[systems state], diagonal[systems state], upper[systems state], x[systems state columns] -> y[systems state columns]",
  saved: ["lower", "diagonal", "upper", "y"],
  gradient: tridiagonalSolveGradient,
  accumulate: "float32",
});

// dx = T^-T dy, and dT = -dx y^T on the three diagonals
function tridiagonalSolveGradient({ saved, gradients }: GradientCall): Tensors {
  const { lower, diagonal, upper, y } = saved as Record<"lower" | "diagonal" | "upper" | "y", Tensor>;
  const transposed = { lower: later(upper), diagonal, upper: earlier(lower) };
  const dx = apply(tridiagonalSolveOp, { ...transposed, x: dense(gradients["y"]!) })["y"]!;
  const minusProduct = (moved: Tensor): Tensor => neg(sum(mul(dx, moved), { axis: -1 }));
  return { lower: minusProduct(later(y)), diagonal: minusProduct(y), upper: minusProduct(earlier(y)), x: dx };
}

/** Element i - 1 of the second axis at i, and 0 at first. */
function later(x: Tensor): Tensor {
  return concat([blank(x), slice(x, { axis: 1, end: -1 })], 1);
}

/** Element i + 1 of the second axis at i, and 0 at last. */
function earlier(x: Tensor): Tensor {
  return concat([slice(x, { axis: 1, start: 1 }), blank(x)], 1);
}

function blank({ shape, device, dtype }: Tensor): Tensor {
  const [systems, , ...columns] = shape as [number, number, ...number[]];
  return zeros([systems, 1, ...columns], { device, dtype });
}
