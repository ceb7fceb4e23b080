import { ConfigError } from "../tensor/errors.ts";

/** Everything that fixes the shape and arithmetic of a {@link TransformerLM}. */
export interface TransformerConfig {
  /** Ids that mean something; rows of the embedding. */
  vocabSize: number;
  dModel: number;
  nLayer: number;
  heads: number;
  /** Inner size of the MLP. */
  hidden: number;
  normEpsilon: number;
  tieEmbeddings: boolean;
  /** Standard deviation of new weights. */
  std: number;
}

/** The fields a caller must give; everything else has a default. */
export type TransformerConfigInput = Partial<TransformerConfig> &
  Pick<TransformerConfig, "vocabSize" | "dModel" | "nLayer" | "heads">;

/**
 * Completes a configuration (MLP of 8/3 dModel, rounded up to a multiple of 8; head tied to the embedding) and checks it.
 *
 * @throws ConfigError naming the field that cannot be
 */
export function transformerConfig(input: TransformerConfigInput): TransformerConfig {
  const config: TransformerConfig = {
    hidden: Math.ceil((8 * input.dModel) / 3 / 8) * 8,
    normEpsilon: 1e-5,
    tieEmbeddings: true,
    std: 0.02,
    ...input,
  };
  for (const key of ["vocabSize", "dModel", "nLayer", "heads", "hidden"] as const) {
    if (Number.isSafeInteger(config[key]) && config[key] >= 1) continue;
    throw wrong(key, "be a positive integer", config[key]);
  }
  if (config.dModel % (2 * config.heads) !== 0) {
    throw wrong("heads", `share dModel ${config.dModel} out in even widths`, config.heads);
  }
  for (const key of ["normEpsilon", "std"] as const)
    if (!(config[key] > 0)) throw wrong(key, "be positive", config[key]);
  return config;
}

function wrong(key: string, must: string, value: unknown): ConfigError {
  return new ConfigError(`transformer configuration: ${key} must ${must}; got ${value}; change it`, { key, value });
}
