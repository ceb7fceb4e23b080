import { writeFileAtomically } from "#platform";
import { type LanguageModel, MambaLM, type TransformerLM } from "../../models/index.ts";
import { type ParameterToSave, saveMamba, saveTransformer } from "../../pretrained/index.ts";
import { ConfigError } from "../../tensor/errors.ts";
import { flattenParameters } from "../../tensor/parameters.ts";
import { type CompleteTrainConfig, encodeLora, LoraLM, lora } from "../../training/index.ts";
import type { RunFolder } from "./run-folder.ts";

/** A model as a run sees it: all of its parameters are trained, or low-rank updates of some. */
export interface TrainedModel {
  /** What is trained. */
  readonly model: LanguageModel;
  /** Writes `model/`, a folder that every verb takes, and `adapter.safetensors` for low-rank updates. */
  save(folder: RunFolder, files: Readonly<Record<string, unknown>>): Promise<void>;
  /** Frees what training needs besides the model. */
  dispose(): void;
}

/**
 * Readies a model for training as a configuration says.
 *
 * @throws ConfigError if low-rank updates are asked for on the baseline
 */
export function trainedModel(base: MambaLM | TransformerLM, { lora: wanted, seed }: CompleteTrainConfig): TrainedModel {
  if (!wanted) return whole(base);
  if (base instanceof MambaLM) return lowRank(base, { ...wanted, seed });
  throw new ConfigError("train: lora must go with a Mamba model; the model is the baseline; leave lora out", {});
}

function whole(model: MambaLM | TransformerLM): TrainedModel {
  return { model, save: (folder, files) => saveModel(model, folder, files), dispose: () => {} };
}

function lowRank(
  base: MambaLM,
  { match, ...options }: { rank: number; alpha?: number; match?: string; seed: number },
): TrainedModel {
  const adapters = lora(base.parameters, { ...options, ...(match ? { match: new RegExp(match) } : {}) });
  return {
    model: new LoraLM(base, adapters),
    async save(folder, files) {
      const bytes = await encodeLora(adapters);
      await writeFileAtomically(folder.file("adapter.safetensors"), (write) => write(bytes));
      adapters.merge();
      try {
        await saveModel(base, folder, files);
      } finally {
        adapters.unmerge();
      }
    },
    dispose: () => adapters.dispose(),
  };
}

async function saveModel(
  model: MambaLM | TransformerLM,
  folder: RunFolder,
  files: Readonly<Record<string, unknown>>,
): Promise<void> {
  const target = folder.subfolder("model");
  if (!(model instanceof MambaLM)) return saveTransformer(target, model, files);
  const parameters: ReadonlyMap<string, ParameterToSave> = flattenParameters(model.parameters);
  await saveMamba(target, model.config, parameters, { files });
}
