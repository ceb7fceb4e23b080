import { writeFileAtomically } from "#platform";
import { toCheckpointName, writeMambaConfig, writeSafetensors } from "../checkpoints/index.ts";
import type { MambaConfig } from "../models/index.ts";
import { convertArray, type DType, type TypedArray } from "../tensor/dtype.ts";

/** A parameter to write: a tensor of a model, or an entry of a file. */
export interface ParameterToSave {
  readonly dtype: DType;
  readonly shape: readonly number[];
  read(): Promise<TypedArray>;
}

/** Options of {@link saveMamba}. */
export interface SaveMambaOptions {
  /** Further files by name, as `tokenizer.json`: JSON values, or bytes as they are. */
  readonly files?: Readonly<Record<string, unknown>>;
  /** Element type of the weights; default float32. */
  readonly dtype?: "float32" | "float16" | "bfloat16";
  /** Called before each parameter is written. */
  readonly onParameter?: (name: string) => void;
}

/**
 * Writes a Mamba-1 language model as a folder in Hugging Face's dialect: `model.safetensors` and `config.json`. Each file is whole or not there; the weights come last, so that a folder with weights has everything.
 *
 * @param folder - must exist
 * @param parameters - by our dotted names
 * @throws MambaError with code `FILE` if a file cannot be written
 * @throws CheckpointError if a Mamba-1 model has no such parameter
 */
export async function saveMamba(
  folder: string,
  config: MambaConfig,
  parameters: ReadonlyMap<string, ParameterToSave>,
  { files = {}, dtype = "float32", onParameter }: SaveMambaOptions = {},
): Promise<void> {
  const all: [string, unknown][] = [...Object.entries(files), ["config.json", writeMambaConfig(config)]];
  for (const [name, content] of all) {
    const text = (): Uint8Array => new TextEncoder().encode(`${JSON.stringify(content, null, 2)}\n`);
    const bytes = content instanceof Uint8Array ? content : text();
    await writeFileAtomically(`${folder}/${name}`, (write) => write(bytes));
  }
  const tensors = [...parameters].map(([name, parameter]) => ({
    name: toCheckpointName(name),
    dtype,
    shape: checkpointShape(name, parameter.shape),
    read: async () => {
      onParameter?.(name);
      return convertArray(await parameter.read(), parameter.dtype, dtype);
    },
  }));
  // other programs ask for this key
  await writeSafetensors(`${folder}/model.safetensors`, tensors, { format: "pt" });
}

/** A depthwise convolution has an axis of one input channel there. */
function checkpointShape(name: string, shape: readonly number[]): readonly number[] {
  return name.endsWith("conv.weight") ? [shape[0]!, 1, shape[1]!] : shape;
}
