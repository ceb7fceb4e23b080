import type { DType } from "../../tensor/dtype.ts";

/** Types of packed weights, in the order in which src/ops/matmul/weights.as.ts numbers them. */
export const weightTypes: readonly DType[] = ["float32", "float16", "bfloat16", "int8", "int4"];
