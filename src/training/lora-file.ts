import { type CheckpointInput, encodeSafetensors, readSafetensors } from "../checkpoints/index.ts";
import { convertArray } from "../tensor/dtype.ts";
import { CheckpointError } from "../tensor/errors.ts";
import { flattenParameters, type Parameters } from "../tensor/parameters.ts";
import { type Tensor, tensor } from "../tensor/tensor.ts";
import { type Lora, loraFrom } from "./lora.ts";

const FORMAT = "mamba.ts lora";

/** Low-rank updates as the bytes of a safetensors file, in float32: `NAME.A`, `NAME.B`, rank and alpha. */
export async function encodeLora(adapters: Lora): Promise<Uint8Array<ArrayBuffer>> {
  const tensors = [];
  for (const [name, x] of flattenParameters(adapters.parameters)) {
    const data = convertArray(await x.read(), x.dtype, "float32");
    tensors.push({ name, dtype: "float32", shape: x.shape, data } as const);
  }
  return encodeSafetensors(tensors, { format: FORMAT, rank: `${adapters.rank}`, alpha: `${adapters.alpha}` });
}

/**
 * Reads low-rank updates of a model.
 *
 * @param input - a path, or bytes as a source
 * @param parameters - of the model they were trained on
 * @throws CheckpointError if the file holds something else
 * @throws StateError if they do not fit the model
 */
export async function readLora(input: CheckpointInput, parameters: Parameters): Promise<Lora> {
  const file = await readSafetensors(input);
  const tensors = new Map<string, Tensor>();
  try {
    const { format, rank, alpha } = file.metadata;
    if (format !== FORMAT) {
      throw new CheckpointError(
        `lora: the file must have the format "${FORMAT}"; it has "${format}"; name another file`,
        {
          format,
        },
      );
    }
    const { device, dtype } = flattenParameters(parameters).values().next().value!;
    for (const [name, entry] of file.tensors) {
      const values = convertArray(await entry.read(), entry.dtype, dtype);
      tensors.set(name, tensor(values, entry.shape, { device, dtype }));
    }
    return loraFrom(parameters, tensors, { rank: Number(rank), alpha: Number(alpha) });
  } catch (error) {
    for (const made of tensors.values()) made.dispose();
    throw error;
  } finally {
    await file.close();
  }
}
