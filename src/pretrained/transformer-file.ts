import { writeFileAtomically } from "#platform";
import { type FileSet, openCheckpoint, readJson, writeSafetensors } from "../checkpoints/index.ts";
import { TransformerLM, transformerConfig } from "../models/index.ts";
import type { Device } from "../tensor/device.ts";
import { convertArray } from "../tensor/dtype.ts";
import { CheckpointError, ConfigError } from "../tensor/errors.ts";
import { flattenParameters } from "../tensor/parameters.ts";
import { writeTensor } from "../tensor/tensor.ts";

const MODEL_TYPE = "mamba.ts-transformer";

/** Whether a parsed `config.json` is that of the transformer baseline. */
export function isTransformerConfig(json: unknown): boolean {
  return (json as { model_type?: unknown } | null)?.model_type === MODEL_TYPE;
}

/**
 * Writes the transformer baseline as a folder: `config.json`, `model.safetensors` in float32 under our own names. No other
 * program reads it; it is there so that a baseline can be measured again.
 *
 * @param files - further files by name, JSON values
 * @throws MambaError with code `FILE` if a file cannot be written
 */
export async function saveTransformer(
  folder: string,
  { config, parameters }: TransformerLM,
  files: Readonly<Record<string, unknown>> = {},
): Promise<void> {
  for (const [name, content] of Object.entries({ ...files, "config.json": { model_type: MODEL_TYPE, ...config } })) {
    const bytes = new TextEncoder().encode(`${JSON.stringify(content, null, 2)}\n`);
    await writeFileAtomically(`${folder}/${name}`, (write) => write(bytes));
  }
  const tensors = [...flattenParameters(parameters)].map(([name, tensor]) => ({
    name,
    dtype: "float32" as const,
    shape: tensor.shape,
    read: async () => convertArray(await tensor.read(), tensor.dtype, "float32"),
  }));
  await writeSafetensors(`${folder}/model.safetensors`, tensors);
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
  const file = await openCheckpoint(files);
  try {
    for (const [name, tensor] of flattenParameters(model.parameters)) {
      const entry = file.entries.get(name);
      if (entry?.shape.join() !== tensor.shape.join()) {
        throw new CheckpointError(
          `${files.name}: ${name} must have shape [${tensor.shape.join(" ")}]; ${entry ? `it has [${entry.shape.join(" ")}]` : "it is missing"}; use the configuration that belongs to the weights`,
          { name },
        );
      }
      writeTensor(tensor, convertArray(await entry.read(), entry.dtype, dtype));
    }
    return model;
  } catch (error) {
    model.dispose();
    throw error;
  } finally {
    await file.close();
  }
}
