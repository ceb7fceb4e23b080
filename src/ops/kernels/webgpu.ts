import type { WebgpuKernel } from "../../backends/webgpu/index.ts";
import { attentionWebgpu } from "../attention/webgpu.ts";
import { castWebgpu } from "../cast/webgpu.ts";
import { cauchyWebgpu } from "../cauchy/webgpu.ts";
import { causalConvWebgpu } from "../causal-conv/webgpu.ts";
import { crossEntropyWebgpu } from "../cross-entropy/webgpu.ts";
import { diagonalScanWebgpu } from "../diagonal-scan/webgpu.ts";
import { dropoutWebgpu } from "../dropout/webgpu.ts";
import { elementwiseWebgpu } from "../elementwise/webgpu.ts";
import { embeddingWebgpu } from "../embedding/webgpu.ts";
import { fftConvWebgpu } from "../fft-conv/webgpu.ts";
import { fourierWebgpu } from "../fourier/webgpu.ts";
import { layerNormWebgpu } from "../layer-norm/webgpu.ts";
import { likeliestTokenWebgpu } from "../likeliest-token/webgpu.ts";
import { linearWebgpu } from "../linear/webgpu.ts";
import { linearCrossEntropyWebgpu } from "../linear-cross-entropy/webgpu.ts";
import { mambaBlockStepWebgpu } from "../mamba-block-step/webgpu.ts";
import { matmulWebgpu } from "../matmul/webgpu.ts";
import { movementWebgpu } from "../movement/webgpu.ts";
import type { Composed } from "../op.ts";
import type { OpName } from "../operations.ts";
import { optimizerUpdateWebgpu } from "../optimizer-update/webgpu.ts";
import { randomWebgpu } from "../random/webgpu.ts";
import { reduceWebgpu } from "../reduce/webgpu.ts";
import { rmsNormWebgpu } from "../rms-norm/webgpu.ts";
import { rotaryWebgpu } from "../rotary/webgpu.ts";
import { sampleTokenWebgpu } from "../sample-token/webgpu.ts";
import { selectiveScanWebgpu } from "../selective-scan/webgpu.ts";
import { softmaxWebgpu } from "../softmax/webgpu.ts";
import { stateSpaceStepWebgpu } from "../state-space-step/webgpu.ts";
import { stateUpdateWebgpu } from "../state-update/webgpu.ts";
import { tridiagonalSolveWebgpu } from "../tridiagonal-solve/webgpu.ts";
import { vandermondeWebgpu } from "../vandermonde/webgpu.ts";
import { cutLarge } from "./parts.webgpu.ts";

/** Every op on the WebGPU backend. */
export const webgpuKernels = cutLarge({
  ...elementwiseWebgpu,
  ...movementWebgpu,
  ...reduceWebgpu,
  ...matmulWebgpu,
  ...linearWebgpu,
  ...embeddingWebgpu,
  ...softmaxWebgpu,
  ...rmsNormWebgpu,
  ...optimizerUpdateWebgpu,
  ...crossEntropyWebgpu,
  ...linearCrossEntropyWebgpu,
  ...dropoutWebgpu,
  ...layerNormWebgpu,
  ...randomWebgpu,
  ...rotaryWebgpu,
  ...vandermondeWebgpu,
  ...cauchyWebgpu,
  ...fourierWebgpu,
  ...fftConvWebgpu,
  ...likeliestTokenWebgpu,
  ...sampleTokenWebgpu,
  ...diagonalScanWebgpu,
  ...tridiagonalSolveWebgpu,
  ...castWebgpu,
  ...causalConvWebgpu,
  ...attentionWebgpu,
  ...selectiveScanWebgpu,
  ...stateSpaceStepWebgpu,
  ...stateUpdateWebgpu,
  ...mambaBlockStepWebgpu,
} as const satisfies Record<OpName, WebgpuKernel | Composed>);
