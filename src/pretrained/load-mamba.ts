import {
  checkFits,
  type FileSet,
  matchMamba,
  openCheckpoint,
  readJson,
  readMambaConfig,
  type TensorEntry,
} from "../checkpoints/index.ts";
import { isPackable, isProjection, type MambaConfig, MambaLM } from "../models/index.ts";
import type { MambaLMParameters } from "../models/mamba-parameters.ts";
import { packWeight } from "../ops/linear/index.ts";
import type { Device } from "../tensor/device.ts";
import { convertArray, type DType } from "../tensor/dtype.ts";
import { ConfigError, throwIfAborted } from "../tensor/errors.ts";
import { nestParameters } from "../tensor/parameters.ts";
import { type Tensor, tensor } from "../tensor/tensor.ts";
import { Fingerprint } from "./fingerprint.ts";

/** What loading reports while it goes on. */
export interface LoadProgress {
  readonly phase: "download" | "load";
  /** File or tensor at work. */
  readonly name: string;
  readonly loadedBytes: number;
  readonly totalBytes: number;
}

/** Options of {@link loadMamba}. */
export interface LoadMambaOptions {
  readonly device: Device;
  /**
   * Element type of the weights on the device; default: float64 on the reference device, else float32. On webgpu also float16, of
   * embedding and projections; everything else stays float32.
   */
  readonly dtype?: DType;
  /** Pack weights for the matrix kernels; for inference only. Default true. */
  readonly pack?: boolean;
  readonly progress?: (event: LoadProgress) => void;
  readonly signal?: AbortSignal;
}

/** A model on a device, its fingerprint, and what was odd about its files. */
export interface LoadedMamba {
  readonly model: MambaLM;
  readonly config: MambaConfig;
  readonly fingerprint: string;
  readonly warnings: readonly string[];
}

/**
 * Reads a Mamba-1 language model of either dialect onto a device, one tensor at a time.
 *
 * @param files - a folder with `config.json` and weights; for a GGUF file, what `findModelFiles` made of it
 * @throws CheckpointError naming every missing, unexpected or wrongly shaped tensor at once
 * @throws ConfigError if the configuration cannot be
 * @throws OutOfMemoryError before anything is loaded, if the device cannot hold the weights
 */
export async function loadMamba(files: FileSet, options: LoadMambaOptions): Promise<LoadedMamba> {
  const given = readMambaConfig(await readJson(files, "config.json"));
  const file = await openCheckpoint(files);
  try {
    const { entries, config, warnings } = matchMamba(file, given);
    const dtype = weightType(options);
    checkMemory(entries, dtype, options.device, files.name);
    const fingerprint = new Fingerprint(config);
    const tensors = await loadTensors(entries, config, dtype, options, fingerprint);
    const model = new MambaLM(config, nestParameters(tensors) as unknown as MambaLMParameters);
    return { model, config, fingerprint: await fingerprint.hex(), warnings };
  } finally {
    await file.close();
  }
}

function weightType({ device, dtype }: LoadMambaOptions): DType {
  const own: DType = device.name === "reference" ? "float64" : "float32";
  const chosen = dtype ?? own;
  const known: DType[] = device.name === "webgpu" ? ["float32", "float16"] : [...new Set<DType>([own, "float32"])];
  if (known.includes(chosen)) return chosen;
  throw new ConfigError(
    `load: weights on ${device.name} must be ${known.join(" or ")}; got ${chosen}; leave dtype out`,
    { dtype: chosen, device: device.name },
  );
}

function checkMemory(entries: ReadonlyMap<string, TensorEntry>, dtype: DType, device: Device, what: string): void {
  const width = dtype === "float64" ? 8 : 4;
  let elements = 0;
  for (const { shape } of entries.values()) elements += shape.reduce((product, size) => product * size, 1);
  const { limit, used } = device.memory();
  checkFits(elements * width, limit - used, what);
}

async function loadTensors(
  entries: ReadonlyMap<string, TensorEntry>,
  config: MambaConfig,
  dtype: DType,
  options: LoadMambaOptions,
  fingerprint: Fingerprint,
): Promise<[string, Tensor][]> {
  const loaded: [string, Tensor][] = [];
  const totalBytes = [...entries.values()].reduce((sum, entry) => sum + entry.byteLength, 0);
  let loadedBytes = 0;
  try {
    for (const [name, entry] of entries) {
      throwIfAborted(options.signal, "load");
      const data = await entry.read();
      await fingerprint.add(name, data);
      const type = dtype === "float16" && !isProjection(name) ? "float32" : dtype;
      const values = convertArray(data, entry.dtype, type);
      const shape = name.endsWith("conv.weight") ? [config.dInner, config.dConv] : entry.shape;
      const made = tensor(values, shape, { device: options.device, dtype: type });
      loaded.push([name, made]);
      if (shouldPack(name, config, options)) loaded[loaded.length - 1] = [name, packed(made)];
      loadedBytes += entry.byteLength;
      options.progress?.({ phase: "load", name, loadedBytes, totalBytes });
    }
    return loaded;
  } catch (error) {
    for (const [, made] of loaded) made.dispose();
    throw error;
  }
}

function shouldPack(name: string, config: MambaConfig, { pack = true, device }: LoadMambaOptions): boolean {
  if (!pack || device.name !== "wasm") return false;
  return isPackable(name, config);
}

function packed(weight: Tensor): Tensor {
  const made = packWeight(weight);
  weight.dispose();
  return made;
}
