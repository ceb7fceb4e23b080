/**
 * `mamba.ts/ops`: every operation on tensors, as free functions, and what it takes to declare another.
 *
 * @module
 */
export * from "../ops/attention/index.ts";
export * from "../ops/cast/index.ts";
export * from "../ops/cauchy/index.ts";
export * from "../ops/causal-conv/index.ts";
export * from "../ops/cross-entropy/index.ts";
export * from "../ops/diagonal-scan/index.ts";
export * from "../ops/dropout/index.ts";
export * from "../ops/elementwise/index.ts";
export * from "../ops/embedding/index.ts";
export * from "../ops/fft-conv/index.ts";
export * from "../ops/fourier/index.ts";
export * from "../ops/layer-norm/index.ts";
export * from "../ops/likeliest-token/index.ts";
export * from "../ops/linear/index.ts";
export * from "../ops/linear-cross-entropy/index.ts";
export * from "../ops/mamba-block-step/index.ts";
export * from "../ops/matmul/index.ts";
export * from "../ops/movement/index.ts";
export {
  apply,
  type Composed,
  composed,
  defineOp,
  type GradientCall,
  type Op,
  type OpSpecification,
  type Tensors,
} from "../ops/op.ts";
export * from "../ops/optimizer-update/index.ts";
export * from "../ops/random/index.ts";
export * from "../ops/reduce/index.ts";
export * from "../ops/rms-norm/index.ts";
export * from "../ops/rotary/index.ts";
export * from "../ops/sample-token/index.ts";
export * from "../ops/selective-scan/index.ts";
export * from "../ops/softmax/index.ts";
export * from "../ops/state-space-step/index.ts";
export * from "../ops/state-update/index.ts";
export * from "../ops/tridiagonal-solve/index.ts";
export * from "../ops/vandermonde/index.ts";
