import {
  checkFits,
  type FileSet,
  matchMamba,
  openCheckpoint,
  readJson,
  readMambaConfig,
  type TensorEntry,
} from "../checkpoints/index.ts";
import { type MambaConfig, MambaLM } from "../models/index.ts";
import type { MambaLMParameters } from "../models/mamba-parameters.ts";
import { packWeight } from "../ops/linear/index.ts";
import type { Device } from "../tensor/device.ts";
import { convertArray, type DType, type TypedArray } from "../tensor/dtype.ts";
import { CheckpointError, DtypeError, throwIfAborted } from "../tensor/errors.ts";
import { nestParameters } from "../tensor/parameters.ts";
import { type QuantizedType, quantizeMatrix } from "../tensor/quantize.ts";
import { quantizedTensor } from "../tensor/quantized-tensor.ts";
import { sizeOf } from "../tensor/shape.ts";
import { backendOf, type Tensor, tensor } from "../tensor/tensor.ts";
import { isQuantized, weightTypesOf } from "../tensor/weight-formats.ts";
import { Fingerprint } from "./fingerprint.ts";
import { type PlannedWeight, planWeights, type WeightPlan } from "./weight-plan.ts";

/** Elements of float32 at each end of a tensor that a fingerprint looks at. */
const END_ELEMENTS = 16_384;

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
   * Element type of the weights on the device; default: float64 on the reference device, else matrices stored in blocks of int8 and
   * int4 as they are where the device can, and all else in float32. What of a smaller type, see `docs/quantization.md`.
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
    const loaded = await loadEntries(entries, config, options, files.name);
    return { ...loaded, warnings: [...warnings, ...loaded.warnings] };
  } finally {
    await file.close();
  }
}

/**
 * Brings parameters onto a device, one tensor at a time.
 *
 * @param entries - every parameter of the configuration by its own name, see `matchMamba`
 * @param what - whose they are, for error messages
 * @throws OutOfMemoryError before anything is loaded, if the device cannot hold the weights
 */
export async function loadEntries(
  entries: ReadonlyMap<string, TensorEntry>,
  config: MambaConfig,
  options: LoadMambaOptions,
  what: string,
): Promise<LoadedMamba> {
  const plan = planWeights(entries, config, options);
  checkMemory(plan, entries, config, options, what);
  const fingerprint = new Fingerprint(config);
  const tensors = await loadTensors(entries, plan, options, fingerprint);
  const model = new MambaLM(config, nestParameters(tensors) as unknown as MambaLMParameters);
  return { model, config, fingerprint: await fingerprint.hex(), warnings: plan.warnings };
}

/** Throws if a device cannot hold the weights; says what other types would need. */
function checkMemory(
  plan: WeightPlan,
  entries: ReadonlyMap<string, TensorEntry>,
  config: MambaConfig,
  { device }: LoadMambaOptions,
  what: string,
): void {
  const { limit, used } = device.memory();
  const smaller = weightTypesOf(device.name).flatMap((dtype) => {
    const { loadingBytes } = planWeights(entries, config, { device, dtype });
    return loadingBytes < plan.loadingBytes ? [`${(loadingBytes / 2 ** 20).toFixed(1)} MiB as ${dtype}`] : [];
  });
  checkFits(plan.loadingBytes, limit - used, what, smaller);
}

async function loadTensors(
  entries: ReadonlyMap<string, TensorEntry>,
  plan: WeightPlan,
  options: LoadMambaOptions,
  fingerprint: Fingerprint,
): Promise<[string, Tensor][]> {
  const loaded: [string, Tensor][] = [];
  const totalBytes = [...entries.values()].reduce((sum, entry) => sum + entry.byteLength, 0);
  let loadedBytes = 0;
  try {
    for (const [name, entry] of entries) {
      throwIfAborted(options.signal, "load");
      loaded.push([name, await loadTensor(name, entry, plan.weights.get(name)!, options.device, fingerprint)]);
      loadedBytes += entry.byteLength;
      options.progress?.({ phase: "load", name, loadedBytes, totalBytes });
    }
    return loaded;
  } catch (error) {
    for (const [, made] of loaded) made.dispose();
    throw error;
  }
}

async function loadTensor(
  name: string,
  entry: TensorEntry,
  { dtype, shape, packed }: PlannedWeight,
  device: Device,
  fingerprint: Fingerprint,
): Promise<Tensor> {
  if (isQuantized(dtype) && entry.readQuantized) {
    const matrix = await entry.readQuantized();
    if (matrix.dtype === dtype) {
      await fingerprint.add(name, await readEnds(entry));
      return packed
        ? packedFrom(entry, quantizedTensor(matrix, { device }), dtype)
        : quantizedTensor(matrix, { device });
    }
  }
  const data = await entry.read();
  await fingerprint.add(name, data);
  if (isQuantized(dtype) && !packed) return roundedOnHost(entry, data, dtype, shape, device);
  const plain = packed ? unpackedType(entry.dtype, dtype) : dtype;
  const made = tensor(convertArray(data, entry.dtype, plain), shape, { device, dtype: plain });
  return packed ? packedFrom(entry, made, dtype) : made;
}

/** A weight that is rounded before it comes to the device, as GPUs take it. */
function roundedOnHost(
  entry: TensorEntry,
  data: TypedArray,
  dtype: QuantizedType,
  [rows, columns]: readonly number[],
  device: Device,
): Tensor {
  const values = convertArray(data, entry.dtype, "float32") as Float32Array;
  try {
    return quantizedTensor(quantizeMatrix(values, rows!, columns!, dtype), { device });
  } catch (cause) {
    if (!(cause instanceof DtypeError)) throw cause;
    throw notRepresentable(entry, dtype, cause);
  }
}

function notRepresentable(entry: TensorEntry, dtype: DType, cause: unknown): CheckpointError {
  return new CheckpointError(
    `load ${entry.name}: must hold finite numbers within ${dtype}; it does not; load the model with another dtype`,
    { tensor: entry.name, dtype },
    { cause },
  );
}

/** The type in which a weight comes to the device before it is packed there, which widens and rounds. */
function unpackedType(stored: DType, wanted: DType): DType {
  if (stored === "float16" || stored === "bfloat16") return stored;
  return wanted === "float64" ? wanted : "float32";
}

/** First and last 64 KiB of a tensor of float32, which are all that a fingerprint looks at. */
async function readEnds(entry: TensorEntry): Promise<Float32Array> {
  const count = sizeOf(entry.shape);
  if (count <= 2 * END_ELEMENTS) return (await entry.read()) as Float32Array;
  const ends = new Float32Array(2 * END_ELEMENTS);
  ends.set((await entry.read(0, END_ELEMENTS)) as Float32Array);
  ends.set((await entry.read(count - END_ELEMENTS)) as Float32Array, END_ELEMENTS);
  return ends;
}

/** Packs a weight and waits for it, so that memory is free for the next and errors name the tensor. */
async function packedFrom(entry: TensorEntry, weight: Tensor, dtype: DType): Promise<Tensor> {
  let made: Tensor | undefined;
  try {
    made = packWeight(weight, dtype);
    await backendOf(weight.device).read(made.storage.memory, 0, 0);
    return made;
  } catch (cause) {
    made?.dispose();
    if (!(cause instanceof DtypeError)) throw cause;
    throw notRepresentable(entry, dtype, cause);
  } finally {
    weight.dispose();
  }
}
