import { Embedding } from "../layers/embedding.ts";
import type { InitialiseOptions } from "../layers/initialisers.ts";
import { Linear } from "../layers/linear.ts";
import type { MambaMixerConfig, MambaMixerParameters } from "../layers/mamba-mixer.ts";
import { initialiseMambaMixer } from "../layers/mamba-mixer-initialise.ts";
import { Norm, type NormParameters } from "../layers/norm.ts";
import type { Tensor } from "../tensor/tensor.ts";
import type { MambaConfig } from "./config.ts";

/** Parameters of one residual layer. */
export type MambaBlockParameters = { readonly norm: NormParameters; readonly mixer: MambaMixerParameters };

/** Parameters of a Mamba language model; flattened names are those of checkpoints, in camel case. */
export type MambaLMParameters = {
  readonly backbone: {
    readonly embedding: { readonly weight: Tensor };
    readonly layers: { readonly [index: string]: MambaBlockParameters };
    readonly normF: NormParameters;
  };
  /** Absent where the head is the embedding. */
  readonly lmHead?: { readonly weight: Tensor };
};

/** The mixer's part of a model configuration. */
export function mixerConfig(config: MambaConfig): MambaMixerConfig {
  const { dModel, dInner, dState, dConv, dtRank, bias, convBias, selective } = config;
  const mixerNormEpsilon = config.architecture === "falcon-mamba" ? config.mixerNormEpsilon : 0;
  return { dModel, dInner, dState, dConv, dtRank, bias, convBias, selective, mixerNormEpsilon };
}

/**
 * Draws all parameters of a model as the official code does.
 *
 * The embedding is normal with `embeddingStd`; a head of its own is drawn as any linear layer.
 *
 * @see {@link initialiseMambaMixer} for the mixer; state-spaces/mamba, `_init_weights` of `mixer_seq_simple.py`
 */
export function initialiseMambaLM(config: MambaConfig, options: InitialiseOptions): MambaLMParameters {
  const { initialisation, nLayer, dModel, paddedVocabSize } = config;
  const outProjDivisor = initialisation.rescaleOutProjection ? Math.sqrt(nLayer) : 1;
  const norm = (): NormParameters => Norm.create(config.norm, dModel, config.normEpsilon, options).parameters;
  const embedding = Embedding.create(paddedVocabSize, dModel, initialisation.embeddingStd, options).parameters;
  const layers: Record<string, MambaBlockParameters> = {};
  for (let i = 0; i < nLayer; i++) {
    layers[i] = {
      norm: norm(),
      mixer: initialiseMambaMixer(mixerConfig(config), { ...initialisation, outProjDivisor }, options),
    };
  }
  const backbone = { embedding, layers, normF: norm() };
  if (config.tieEmbeddings) return { backbone };
  return { backbone, lmHead: Linear.create(dModel, paddedVocabSize, false, options).parameters };
}
