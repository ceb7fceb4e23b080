import { ConfigError } from "../tensor/errors.ts";
import { type MambaConfig, mambaConfig } from "./config.ts";

const shapes = {
  "mamba-130m": { dModel: 768, nLayer: 24 },
  "mamba-370m": { dModel: 1024, nLayer: 48 },
  "mamba-790m": { dModel: 1536, nLayer: 48 },
  "mamba-1.4b": { dModel: 2048, nLayer: 48 },
  "mamba-2.8b": { dModel: 2560, nLayer: 64 },
} as const;

/** Names of the published Mamba-1 shapes. */
export type MambaPreset = keyof typeof shapes;

/**
 * The configuration of a published model: GPT-NeoX vocabulary of 50277 padded to 50280, tied head.
 *
 * @throws ConfigError for an unknown name
 * @see Gu & Dao 2023, table 12; state-spaces/mamba README
 */
export function mambaPreset(name: MambaPreset): MambaConfig {
  const shape = shapes[name];
  if (!shape) {
    throw new ConfigError(
      `mambaPreset: name must be one of ${Object.keys(shapes).join(", ")}; got "${name}"; use mambaConfig() for other shapes`,
      { name },
    );
  }
  return mambaConfig({ ...shape, vocabSize: 50277, paddedVocabSize: 50280, bosTokenId: 0, eosTokenIds: [0] });
}

/** Number of parameters, tied weights counted once. */
export function mambaParameterCount(config: MambaConfig): number {
  const { dModel, dInner, dState, dConv, dtRank, nLayer, paddedVocabSize } = config;
  const norm = config.norm === "rms" ? dModel : 2 * dModel;
  const mixer =
    3 * dModel * dInner +
    dInner * (dConv + (config.convBias ? 1 : 0)) +
    dInner * (dtRank + 2 * dState) +
    dtRank * dInner +
    dInner * (2 + dState) +
    (config.bias ? 2 * dInner + dModel : 0);
  const tables = (config.tieEmbeddings ? 1 : 2) * paddedVocabSize * dModel;
  return tables + nLayer * (mixer + norm) + norm;
}
