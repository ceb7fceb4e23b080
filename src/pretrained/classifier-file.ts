import { type FileSet, readJson } from "../checkpoints/index.ts";
import { SequenceClassifier, type SequenceClassifierConfig } from "../models/index.ts";
import type { Device } from "../tensor/device.ts";
import { ConfigError } from "../tensor/errors.ts";
import { loadOwn, saveOwn } from "./own-file.ts";

const MODEL_TYPE = "mamba.ts-classifier";

/** Whether a parsed `config.json` is that of a classifier of sequences. */
export function isClassifierConfig(json: unknown): boolean {
  return (json as { model_type?: unknown } | null)?.model_type === MODEL_TYPE;
}

/**
 * Writes a classifier of sequences as a folder.
 *
 * @throws MambaError with code `FILE` if a file cannot be written
 */
export async function saveClassifier(folder: string, { config, parameters }: SequenceClassifier): Promise<void> {
  await saveOwn(folder, { model_type: MODEL_TYPE, ...config }, parameters);
}

/**
 * Reads a folder that {@link saveClassifier} wrote.
 *
 * @throws ConfigError if the configuration is another model's
 * @throws CheckpointError if a parameter is missing or has another shape
 */
export async function loadClassifier(files: FileSet, device: Device): Promise<SequenceClassifier> {
  const json = await readJson(files, "config.json");
  if (!isClassifierConfig(json)) {
    throw new ConfigError(`${files.name}: model_type must be ${MODEL_TYPE}; it is another; load it as what it is`, {});
  }
  const { model_type: _, ...config } = json as SequenceClassifierConfig & { model_type: string };
  const dtype = device.name === "reference" ? "float64" : "float32";
  const model = SequenceClassifier.create(config, { device, dtype });
  try {
    await loadOwn(files, model.parameters);
    return model;
  } catch (error) {
    model.dispose();
    throw error;
  }
}
