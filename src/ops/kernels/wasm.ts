import type { WasmKernel } from "../../backends/wasm/index.ts";
import { attentionWasm } from "../attention/wasm.ts";
import { castWasm } from "../cast/wasm.ts";
import { cauchyWasm } from "../cauchy/wasm.ts";
import { causalConvWasm } from "../causal-conv/wasm.ts";
import { crossEntropyWasm } from "../cross-entropy/wasm.ts";
import { diagonalScanWasm } from "../diagonal-scan/wasm.ts";
import { dropoutWasm } from "../dropout/wasm.ts";
import { elementwiseWasm } from "../elementwise/wasm.ts";
import { embeddingWasm } from "../embedding/wasm.ts";
import { fftConvWasm } from "../fft-conv/wasm.ts";
import { fourierWasm } from "../fourier/wasm.ts";
import { layerNormWasm } from "../layer-norm/wasm.ts";
import { likeliestTokenWasm } from "../likeliest-token/wasm.ts";
import { linearWasm } from "../linear/wasm.ts";
import { linearCrossEntropyWasm } from "../linear-cross-entropy/wasm.ts";
import { mambaBlockStepWasm } from "../mamba-block-step/wasm.ts";
import { matmulWasm } from "../matmul/wasm.ts";
import { movementWasm } from "../movement/wasm.ts";
import type { Composed } from "../op.ts";
import type { OpName } from "../operations.ts";
import { optimizerUpdateWasm } from "../optimizer-update/wasm.ts";
import { randomWasm } from "../random/wasm.ts";
import { reduceWasm } from "../reduce/wasm.ts";
import { rmsNormWasm } from "../rms-norm/wasm.ts";
import { rotaryWasm } from "../rotary/wasm.ts";
import { sampleTokenWasm } from "../sample-token/wasm.ts";
import { selectiveScanWasm } from "../selective-scan/wasm.ts";
import { softmaxWasm } from "../softmax/wasm.ts";
import { stateSpaceStepWasm } from "../state-space-step/wasm.ts";
import { stateUpdateWasm } from "../state-update/wasm.ts";
import { tridiagonalSolveWasm } from "../tridiagonal-solve/wasm.ts";
import { vandermondeWasm } from "../vandermonde/wasm.ts";

/** Every op on the wasm backend. */
export const wasmKernels = {
  ...elementwiseWasm,
  ...movementWasm,
  ...reduceWasm,
  ...matmulWasm,
  ...linearWasm,
  ...linearCrossEntropyWasm,
  ...embeddingWasm,
  ...rmsNormWasm,
  ...layerNormWasm,
  ...selectiveScanWasm,
  ...causalConvWasm,
  ...stateSpaceStepWasm,
  ...stateUpdateWasm,
  ...mambaBlockStepWasm,
  ...softmaxWasm,
  ...crossEntropyWasm,
  ...castWasm,
  ...randomWasm,
  ...dropoutWasm,
  ...optimizerUpdateWasm,
  ...attentionWasm,
  ...rotaryWasm,
  ...vandermondeWasm,
  ...cauchyWasm,
  ...fourierWasm,
  ...fftConvWasm,
  ...likeliestTokenWasm,
  ...sampleTokenWasm,
  ...diagonalScanWasm,
  ...tridiagonalSolveWasm,
} as const satisfies Record<OpName, WasmKernel | Composed>;
