import type { BatchSource, LabelledSource } from "../../data/index.ts";
import type { LanguageModel, MambaLM, SequenceClassifier, TransformerLM } from "../../models/index.ts";
import type { Device } from "../../tensor/device.ts";
import { ConfigError } from "../../tensor/errors.ts";
import { type CompleteTrainConfig, labelledDataOf, newModelOf } from "../../training/index.ts";
import { openModelFiles, warnAll } from "../open-model.ts";
import { type DeviceFlags, deviceOptions, type SourceFlags } from "../options.ts";
import type { Terminal } from "../terminal.ts";
import { openClassifierTraining } from "./open-classifier-training.ts";
import { openData, type TrainingData } from "./open-data.ts";
import { readTokenizer, type TokenizerFiles } from "./read-tokenizer.ts";
import type { RunFolder } from "./run-folder.ts";
import { trainedModel } from "./trained-model.ts";

/** What is trained, on what. */
export type TrainingSubject =
  | { readonly model: LanguageModel; readonly data: BatchSource; readonly validation?: BatchSource | undefined }
  | {
      readonly classifier: SequenceClassifier;
      readonly data: LabelledSource;
      readonly validation?: LabelledSource | undefined;
    };

/** A device, the data, and models to train on it. */
export interface OpenTraining {
  readonly device: Device;
  readonly subject: TrainingSubject;
  /** Batches that validation has, where it is not endless. */
  readonly validationBatches?: number | undefined;
  /** Another model with the same parameters as the first had, to be disposed; none where they come from a folder. */
  readonly renewed?: () => TrainingSubject & Disposable;
  /** Writes `model/` of a run, a folder that other verbs take. */
  save(folder: RunFolder): Promise<void>;
  dispose(): Promise<void>;
}

/**
 * Opens what a configuration needs.
 *
 * @param cacheFolder - where tokens of text are kept; a resumed run finds them there
 */
export async function openTraining(
  config: CompleteTrainConfig,
  flags: DeviceFlags & SourceFlags,
  cacheFolder: string | undefined,
  terminal: Terminal,
): Promise<OpenTraining> {
  const labelled = labelledDataOf(config);
  if (labelled) return openClassifierTraining({ ...config, data: labelled }, flags);
  const { openDevice } = await import("../../ops/devices.ts");
  const { device: wanted, ...options } = deviceOptions(flags);
  const source = "from" in config.model ? await openSource(config.model.from, flags, terminal) : undefined;
  const data = await openData(config, { tokenizer: source?.tokenizer, flags, cacheFolder }, terminal);
  let device: Device | undefined;
  try {
    device = await openDevice(wanted, options);
    if (source) return opened(config, device, data, { model: await source.load(device) });
    const own = device;
    const newModel = (): MambaLM | TransformerLM => newModelOf(config, data.training.vocabSize, own);
    return opened(config, device, data, { model: newModel(), newModel });
  } catch (error) {
    device?.dispose();
    await data.close();
    throw error;
  }
}

function opened(
  config: CompleteTrainConfig,
  device: Device,
  data: TrainingData,
  { model, newModel }: { readonly model: MambaLM | TransformerLM; readonly newModel?: () => MambaLM | TransformerLM },
): OpenTraining {
  checkVocabulary(model, data);
  const trained = trainedModel(model, config);
  const sources = { data: data.training, validation: data.validation };
  const renewed = (): TrainingSubject & Disposable => {
    const again = newModel!();
    return { model: again, ...sources, [Symbol.dispose]: () => again.dispose() };
  };
  const dispose = async (): Promise<void> => {
    trained.dispose();
    model.dispose();
    device.dispose();
    await data.close();
  };
  return {
    ...{ device, subject: { model: trained.model, ...sources }, validationBatches: data.validationBatches },
    ...(newModel ? { renewed } : {}),
    save: (folder) => trained.save(folder, data.tokenizerFiles),
    dispose,
  };
}

/** A model to go on from: its tokenizer first, its weights once there is a device. */
interface ModelSource {
  readonly tokenizer: TokenizerFiles | undefined;
  load(device: Device): Promise<MambaLM>;
}

async function openSource(name: string, flags: SourceFlags, terminal: Terminal): Promise<ModelSource> {
  const files = await openModelFiles(name, flags, terminal);
  const { loadMamba } = await import("../../pretrained/load-mamba.ts");
  const load = async (device: Device): Promise<MambaLM> => {
    const { model, warnings } = await loadMamba(files, { device, pack: false, signal: terminal.signal });
    warnAll(warnings, terminal);
    return model;
  };
  return { tokenizer: await readTokenizer(files), load };
}

function checkVocabulary(model: LanguageModel, { training }: TrainingData): void {
  if (model.vocabSize >= training.vocabSize) return;
  throw new ConfigError(
    `train: the model must have at least the ${training.vocabSize} ids of the data; it has ${model.vocabSize}; use the model's own tokenizer`,
    { expected: training.vocabSize, actual: model.vocabSize },
  );
}
