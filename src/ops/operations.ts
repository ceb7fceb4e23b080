import { attentionBackwardOp, attentionOp } from "./attention/operations.ts";
import { castOp, markNonFiniteOp } from "./cast/operations.ts";
import { cauchyBackwardOp, cauchyOp } from "./cauchy/operations.ts";
import { causalConvBackwardOp, causalConvOp, convUpdateOp } from "./causal-conv/operations.ts";
import { crossEntropyBackwardOp, crossEntropyOp } from "./cross-entropy/operations.ts";
import { diagonalScanBackwardOp, diagonalScanOp } from "./diagonal-scan/operations.ts";
import { dropoutOp } from "./dropout/operations.ts";
import { binaryOperations, unaryBackwardOperations, unaryOperations } from "./elementwise/operations.ts";
import { embeddingBackwardOp, embeddingOp } from "./embedding/operations.ts";
import { fftConvBackwardOp, fftConvOp } from "./fft-conv/operations.ts";
import { inverseRealFourierOp, realFourierOp } from "./fourier/operations.ts";
import { layerNormBackwardOp, layerNormOp } from "./layer-norm/operations.ts";
import { likeliestTokenOp } from "./likeliest-token/operations.ts";
import {
  linearInputGradientOp,
  linearOp,
  linearWeightGradientOp,
  packWeightOp,
  unpackWeightOp,
} from "./linear/operations.ts";
import { linearCrossEntropyBackwardOp, linearCrossEntropyOp } from "./linear-cross-entropy/operations.ts";
import { mambaBlockStepOp } from "./mamba-block-step/operations.ts";
import { matmulOp } from "./matmul/operations.ts";
import { concatOp, copyOp, placeSliceOp } from "./movement/operations.ts";
import type { Op } from "./op.ts";
import { adamwUpdateOp, addSquaredNormOp, averageUpdateOp, sgdUpdateOp } from "./optimizer-update/operations.ts";
import { fillUniformOp } from "./random/operations.ts";
import { reduceMaxBackwardOp, reduceMaxOp, reduceSumOp } from "./reduce/operations.ts";
import { rmsNormBackwardOp, rmsNormOp } from "./rms-norm/operations.ts";
import { rotaryOp } from "./rotary/operations.ts";
import { sampleTokenOp } from "./sample-token/operations.ts";
import { selectiveScanBackwardOp, selectiveScanOp } from "./selective-scan/operations.ts";
import { logSoftmaxBackwardOp, logSoftmaxOp, softmaxBackwardOp, softmaxOp } from "./softmax/operations.ts";
import { stateSpaceStepOp } from "./state-space-step/operations.ts";
import { stateUpdateOp } from "./state-update/operations.ts";
import { tridiagonalSolveOp } from "./tridiagonal-solve/operations.ts";
import { vandermondeBackwardOp, vandermondeOp } from "./vandermonde/operations.ts";

/** Every op that needs a kernel, by name. Views (reshape, slice, ...) run without one. */
export const operations = {
  ...unaryOperations,
  ...unaryBackwardOperations,
  ...binaryOperations,
  copy: copyOp,
  placeSlice: placeSliceOp,
  concat: concatOp,
  reduceSum: reduceSumOp,
  reduceMax: reduceMaxOp,
  reduceMaxBackward: reduceMaxBackwardOp,
  matmul: matmulOp,
  linear: linearOp,
  linearInputGradient: linearInputGradientOp,
  linearWeightGradient: linearWeightGradientOp,
  packWeight: packWeightOp,
  unpackWeight: unpackWeightOp,
  embedding: embeddingOp,
  embeddingBackward: embeddingBackwardOp,
  rmsNorm: rmsNormOp,
  rmsNormBackward: rmsNormBackwardOp,
  layerNorm: layerNormOp,
  layerNormBackward: layerNormBackwardOp,
  softmax: softmaxOp,
  softmaxBackward: softmaxBackwardOp,
  logSoftmax: logSoftmaxOp,
  logSoftmaxBackward: logSoftmaxBackwardOp,
  crossEntropy: crossEntropyOp,
  crossEntropyBackward: crossEntropyBackwardOp,
  linearCrossEntropy: linearCrossEntropyOp,
  linearCrossEntropyBackward: linearCrossEntropyBackwardOp,
  cast: castOp,
  markNonFinite: markNonFiniteOp,
  fillUniform: fillUniformOp,
  dropout: dropoutOp,
  selectiveScan: selectiveScanOp,
  selectiveScanBackward: selectiveScanBackwardOp,
  causalConv: causalConvOp,
  causalConvBackward: causalConvBackwardOp,
  convUpdate: convUpdateOp,
  stateSpaceStep: stateSpaceStepOp,
  stateUpdate: stateUpdateOp,
  mambaBlockStep: mambaBlockStepOp,
  adamwUpdate: adamwUpdateOp,
  sgdUpdate: sgdUpdateOp,
  averageUpdate: averageUpdateOp,
  addSquaredNorm: addSquaredNormOp,
  attention: attentionOp,
  attentionBackward: attentionBackwardOp,
  rotary: rotaryOp,
  vandermonde: vandermondeOp,
  vandermondeBackward: vandermondeBackwardOp,
  cauchy: cauchyOp,
  cauchyBackward: cauchyBackwardOp,
  realFourier: realFourierOp,
  inverseRealFourier: inverseRealFourierOp,
  fftConv: fftConvOp,
  fftConvBackward: fftConvBackwardOp,
  likeliestToken: likeliestTokenOp,
  sampleToken: sampleTokenOp,
  diagonalScan: diagonalScanOp,
  diagonalScanBackward: diagonalScanBackwardOp,
  tridiagonalSolve: tridiagonalSolveOp,
} as const satisfies Record<string, Op>;

/** Names of the ops that every backend has a kernel or a composition for. */
export type OpName = keyof typeof operations;
