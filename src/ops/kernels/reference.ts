import type { ReferenceKernel } from "../../backends/reference/index.ts";
import { attentionReference } from "../attention/reference.ts";
import { castReference } from "../cast/reference.ts";
import { cauchyReference } from "../cauchy/reference.ts";
import { causalConvReference } from "../causal-conv/reference.ts";
import { crossEntropyReference } from "../cross-entropy/reference.ts";
import { diagonalScanReference } from "../diagonal-scan/reference.ts";
import { dropoutReference } from "../dropout/reference.ts";
import { elementwiseReference } from "../elementwise/reference.ts";
import { embeddingReference } from "../embedding/reference.ts";
import { fftConvReference } from "../fft-conv/reference.ts";
import { fourierReference } from "../fourier/reference.ts";
import { layerNormReference } from "../layer-norm/reference.ts";
import { likeliestTokenReference } from "../likeliest-token/reference.ts";
import { linearReference } from "../linear/reference.ts";
import { linearCrossEntropyReference } from "../linear-cross-entropy/reference.ts";
import { mambaBlockStepReference } from "../mamba-block-step/reference.ts";
import { matmulReference } from "../matmul/reference.ts";
import { movementReference } from "../movement/reference.ts";
import type { Composed } from "../op.ts";
import type { OpName } from "../operations.ts";
import { optimizerUpdateReference } from "../optimizer-update/reference.ts";
import { randomReference } from "../random/reference.ts";
import { reduceReference } from "../reduce/reference.ts";
import { rmsNormReference } from "../rms-norm/reference.ts";
import { rotaryReference } from "../rotary/reference.ts";
import { sampleTokenReference } from "../sample-token/reference.ts";
import { selectiveScanReference } from "../selective-scan/reference.ts";
import { softmaxReference } from "../softmax/reference.ts";
import { stateSpaceStepReference } from "../state-space-step/reference.ts";
import { stateUpdateReference } from "../state-update/reference.ts";
import { tridiagonalSolveReference } from "../tridiagonal-solve/reference.ts";
import { vandermondeReference } from "../vandermonde/reference.ts";

/** Every op on the reference backend. */
export const referenceKernels = {
  ...elementwiseReference,
  ...movementReference,
  ...reduceReference,
  ...matmulReference,
  ...linearReference,
  ...embeddingReference,
  ...rmsNormReference,
  ...layerNormReference,
  ...castReference,
  ...crossEntropyReference,
  ...dropoutReference,
  ...linearCrossEntropyReference,
  ...randomReference,
  ...softmaxReference,
  ...selectiveScanReference,
  ...causalConvReference,
  ...stateSpaceStepReference,
  ...stateUpdateReference,
  ...mambaBlockStepReference,
  ...optimizerUpdateReference,
  ...attentionReference,
  ...rotaryReference,
  ...vandermondeReference,
  ...cauchyReference,
  ...fourierReference,
  ...fftConvReference,
  ...likeliestTokenReference,
  ...sampleTokenReference,
  ...diagonalScanReference,
  ...tridiagonalSolveReference,
} as const satisfies Record<OpName, ReferenceKernel | Composed>;
