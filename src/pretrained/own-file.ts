import { writeFileAtomically } from "#platform";
import { type FileSet, openCheckpoint, writeSafetensors } from "../checkpoints/index.ts";
import { convertArray } from "../tensor/dtype.ts";
import { CheckpointError } from "../tensor/errors.ts";
import { flattenParameters, type Parameters } from "../tensor/parameters.ts";
import { writeTensor } from "../tensor/tensor.ts";

/**
 * Writes a model that no other program reads as a folder: `config.json`, `model.safetensors` in float32 under our own names. The
 * weights come last, so that a folder with weights has everything.
 *
 * @param files - further files by name, JSON values
 * @throws MambaError with code `FILE` if a file cannot be written
 */
export async function saveOwn(
  folder: string,
  config: Readonly<Record<string, unknown>>,
  parameters: Parameters,
  files: Readonly<Record<string, unknown>> = {},
): Promise<void> {
  for (const [name, content] of Object.entries({ ...files, "config.json": config })) {
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
 * Puts the weights that {@link saveOwn} wrote into a model's parameters.
 *
 * @throws CheckpointError if a parameter is missing or has another shape
 */
export async function loadOwn(files: FileSet, parameters: Parameters): Promise<void> {
  const file = await openCheckpoint(files);
  try {
    for (const [name, tensor] of flattenParameters(parameters)) {
      const entry = file.entries.get(name);
      if (entry?.shape.join() !== tensor.shape.join()) {
        throw new CheckpointError(
          `${files.name}: ${name} must have shape [${tensor.shape.join(" ")}]; ${entry ? `it has [${entry.shape.join(" ")}]` : "it is missing"}; use the configuration that belongs to the weights`,
          { name },
        );
      }
      writeTensor(tensor, convertArray(await entry.read(), entry.dtype, tensor.dtype));
    }
  } finally {
    await file.close();
  }
}
