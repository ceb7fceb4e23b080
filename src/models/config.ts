import { ConfigError } from "../tensor/errors.ts";

/** Initialisation of a Mamba-1 model's parameters; see `docs` of each field in the paper, section 3.6. */
export interface MambaInitialisation {
  /** Smallest and largest step size after softplus, drawn log-uniformly. */
  dtMin: number;
  dtMax: number;
  /** Lower bound of the drawn step size. */
  dtFloor: number;
  /** `random`: uniform in +-dtScale / sqrt(dtRank); `constant`: that bound itself. */
  dtScheme: "random" | "constant";
  dtScale: number;
  /** Standard deviation of the embedding. */
  embeddingStd: number;
  /** Divide `out_proj` by sqrt(nLayer), as the original code does. */
  rescaleOutProjection: boolean;
}

/**
 * Everything that fixes the shape and arithmetic of a Mamba-1 language model, in one vocabulary.
 *
 * Both checkpoint dialects are translated to it in `checkpoints/`; models see nothing else.
 */
export interface MambaConfig {
  /** `falcon-mamba` adds weightless RMS norms on delta, B and C inside the mixer. */
  architecture: "mamba" | "falcon-mamba";
  /** Ids that mean something. */
  vocabSize: number;
  /** Rows of the embedding, at least `vocabSize`; logits of the rest are masked. */
  paddedVocabSize: number;
  dModel: number;
  nLayer: number;
  dInner: number;
  dState: number;
  dConv: number;
  dtRank: number;
  /** Bias on the input and output projections of the mixer. */
  bias: boolean;
  convBias: boolean;
  norm: "rms" | "layer";
  normEpsilon: number;
  /**
   * Whether delta, B and C depend on the input: the selection that Mamba adds. False gives a time-invariant model with the
   * same parameters, the baseline that shows what selection does.
   */
  selective: boolean;
  /** Epsilon of FalconMamba's inner norms. */
  mixerNormEpsilon: number;
  tieEmbeddings: boolean;
  residualInFloat32: boolean;
  initialisation: MambaInitialisation;
  bosTokenId?: number;
  eosTokenIds: number[];
  padTokenId?: number;
}

/** The fields a caller must give; everything else has the reference's default. */
export type MambaConfigInput = Partial<Omit<MambaConfig, "initialisation">> &
  Pick<MambaConfig, "vocabSize" | "dModel" | "nLayer"> & { initialisation?: Partial<MambaInitialisation> };

const defaultInitialisation: MambaInitialisation = {
  dtMin: 0.001,
  dtMax: 0.1,
  dtFloor: 1e-4,
  dtScheme: "random",
  dtScale: 1,
  embeddingStd: 0.02,
  rescaleOutProjection: true,
};

/**
 * Completes a configuration with the reference's defaults (expand 2, state 16, convolution 4,
 * dtRank = ceil(dModel / 16)) and checks it.
 *
 * @throws ConfigError naming the field that cannot be
 */
export function mambaConfig(input: MambaConfigInput): MambaConfig {
  const { initialisation, ...given } = input;
  const config: MambaConfig = {
    architecture: "mamba",
    paddedVocabSize: input.vocabSize,
    dInner: 2 * input.dModel,
    dState: 16,
    dConv: 4,
    dtRank: Math.ceil(input.dModel / 16),
    bias: false,
    convBias: true,
    norm: "rms",
    normEpsilon: 1e-5,
    selective: true,
    mixerNormEpsilon: 1e-6,
    tieEmbeddings: true,
    residualInFloat32: true,
    eosTokenIds: [],
    ...given,
    initialisation: { ...defaultInitialisation, ...initialisation },
  };
  checkMambaConfig(config);
  return config;
}

const sizes = ["vocabSize", "paddedVocabSize", "dModel", "nLayer", "dInner", "dState", "dConv", "dtRank"] as const;

function checkMambaConfig(config: MambaConfig): void {
  for (const key of sizes) {
    const value = config[key];
    if (!Number.isSafeInteger(value) || value < 1) {
      throw new ConfigError(
        `model configuration: ${key} must be a positive integer; got ${value}; correct the configuration`,
        {
          key,
          value,
        },
      );
    }
  }
  if (config.paddedVocabSize < config.vocabSize) {
    throw new ConfigError(
      `model configuration: paddedVocabSize must be at least vocabSize ${config.vocabSize}; got ${config.paddedVocabSize}; leave it out`,
      { key: "paddedVocabSize", value: config.paddedVocabSize },
    );
  }
  if (!(config.normEpsilon > 0)) {
    throw new ConfigError(
      `model configuration: normEpsilon must be positive; got ${config.normEpsilon}; the reference uses 1e-5`,
      { key: "normEpsilon", value: config.normEpsilon },
    );
  }
}
