import type { TensorEntry } from "../checkpoints/index.ts";
import { isPackable, type MambaConfig, parameterType } from "../models/index.ts";
import type { Device, DeviceName } from "../tensor/device.ts";
import type { DType } from "../tensor/dtype.ts";
import { ConfigError } from "../tensor/errors.ts";
import { sizeOf } from "../tensor/shape.ts";
import { isQuantized, storageBytes, weightTypesOf } from "../tensor/weight-formats.ts";

/** How a parameter shall lie on a device. */
export interface PlannedWeight {
  readonly dtype: DType;
  readonly shape: readonly number[];
  /** Packed for matrix kernels; always where the type is one for weights only. */
  readonly packed: boolean;
}

/** How all parameters of a model shall lie on a device. */
export interface WeightPlan {
  readonly weights: ReadonlyMap<string, PlannedWeight>;
  /** Bytes of all of them. */
  readonly bytes: number;
  /** Most bytes while they are loaded: with the largest one in float32 before it is packed. */
  readonly loadingBytes: number;
  /** Matrices that cannot have the type asked for, in words. */
  readonly warnings: readonly string[];
}

/** What a plan is made by. */
export interface PlanOptions {
  readonly device: Device | { readonly name: DeviceName };
  /** Default: float64 on the reference device, else matrices stored in blocks as they are and all others in float32. */
  readonly dtype?: DType;
  /** False for training: nothing is packed. Default true. */
  readonly pack?: boolean;
}

/**
 * Decides type and layout of every parameter before anything is loaded.
 *
 * @throws ConfigError if the device has no weights of the type, or they are to be trained in a type for inference only
 */
export function planWeights(
  entries: ReadonlyMap<string, TensorEntry>,
  config: MambaConfig,
  { device, dtype, pack = true }: PlanOptions,
): WeightPlan {
  checkType(device.name, dtype, pack);
  const weights = new Map<string, PlannedWeight>();
  const whole: string[] = [];
  let bytes = 0;
  let extra = 0;
  for (const [name, entry] of entries) {
    const shape = name.endsWith("conv.weight") ? [config.dInner, config.dConv] : entry.shape;
    const asked = dtype ?? storedType(name, entry, config, device.name, pack);
    const own = parameterTypeOf(name, shape, config, { asked, isStored: dtype === undefined });
    if (isQuantized(asked) && own === "float16" && !name.endsWith("dtProj.weight")) whole.push(entry.name);
    const isSmall = own !== "float32" && own !== "float64";
    // on a GPU weights lie row by row
    const packed =
      device.name !== "webgpu" && (isSmall || (pack && device.name === "wasm" && isPackable(name, config)));
    weights.set(name, { dtype: own, shape, packed });
    const layout = packed && device.name === "wasm" ? "panels8" : isQuantized(own) ? "blocks" : "strided";
    bytes += storageBytes(own, shape, layout);
    if (packed) extra = Math.max(extra, 4 * sizeOf(shape));
  }
  const warnings = whole.map(
    (name) => `${name} is kept in float16: its columns are no multiple of 32, the size of a block of ${dtype}`,
  );
  return { weights, bytes, loadingBytes: bytes + extra, warnings };
}

/** Of a file with blocks, each matrix keeps its own type. */
function parameterTypeOf(
  name: string,
  shape: readonly number[],
  config: MambaConfig,
  { asked, isStored }: { asked: DType; isStored: boolean },
): DType {
  if (isStored) return asked;
  return parameterType(name, shape.at(-1) ?? 1, config, asked);
}

function storedType(name: string, entry: TensorEntry, config: MambaConfig, device: DeviceName, pack: boolean): DType {
  if (device === "reference") return "float64";
  const stored = entry.storedType === "Q8_0" ? "int8" : entry.storedType === "Q4_0" ? "int4" : undefined;
  const keeps = stored && pack && entry.readQuantized && weightTypesOf(device).includes(stored);
  return keeps && (isPackable(name, config) || name === "backbone.embedding.weight") ? stored : "float32";
}

function checkType(device: DeviceName, dtype: DType | undefined, pack: boolean): void {
  if (dtype === undefined) return;
  const known = weightTypesOf(device);
  if (!known.includes(dtype)) {
    throw new ConfigError(`load: weights on ${device} must be ${known.join(", ")}; got ${dtype}; leave dtype out`, {
      dtype,
      device,
    });
  }
  if (pack || dtype === "float32" || dtype === "float64") return;
  throw new ConfigError(`load: weights to be trained must be float32; got ${dtype}; leave dtype out`, {
    dtype,
    device,
  });
}
