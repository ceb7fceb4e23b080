import { type FileSet, readJson } from "../checkpoints/index.ts";
import { TransformerLM, transformerConfig } from "../models/index.ts";
import type { Device } from "../tensor/device.ts";
import { ConfigError } from "../tensor/errors.ts";
import { loadOwn, saveOwn } from "./own-file.ts";

const MODEL_TYPE = "mamba.ts-transformer";

/** Whether a parsed `config.json` is that of the transformer baseline. */
export function isTransformerConfig(json: unknown): boolean {
  return (json as { model_type?: unknown } | null)?.model_type === MODEL_TYPE;
}

/**
 * Writes the transformer baseline as a folder, so that it can be measured again.
 *
 * @param files - further files by name, JSON values
 * @throws MambaError with code `FILE` if a file cannot be written
 */
export async function saveTransformer(
  folder: string,
  { config, parameters }: TransformerLM,
  files: Readonly<Record<string, unknown>> = {},
): Promise<void> {
  await saveOwn(folder, { model_type: MODEL_TYPE, ...config }, parameters, files);
}

/**
 * Reads a folder that {@link saveTransformer} wrote.
 *
 * @throws ConfigError if the configuration is another model's
 * @throws CheckpointError if a parameter is missing or has another shape
 */
export async function loadTransformer(files: FileSet, device: Device): Promise<TransformerLM> {
  const json = await readJson(files, "config.json");
  if (!isTransformerConfig(json)) {
    throw new ConfigError(`${files.name}: model_type must be ${MODEL_TYPE}; it is another; load it as what it is`, {});
  }
  const { model_type: _, ...config } = json as Parameters<typeof transformerConfig>[0] & { model_type: string };
  const dtype = device.name === "reference" ? "float64" : "float32";
  const model = TransformerLM.create(transformerConfig(config), { device, dtype });
  try {
    await loadOwn(files, model.parameters);
    return model;
  } catch (error) {
    model.dispose();
    throw error;
  }
}
