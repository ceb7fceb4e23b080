import type { Device, MatmulPrecision } from "../tensor/device.ts";
import { ConfigError } from "../tensor/errors.ts";
import { LossScaler } from "./loss-scaler.ts";

/**
 * What a training step is computed in. `mixed`: both sides of matrix products are rounded to float16, forward and backward, and
 * added up in float32; parameters, moments, norms, convolutions, the scan with its states and the loss stay in float32, and the
 * loss is scaled so that small gradients survive.
 *
 * @see Micikevicius et al. 2018, "Mixed precision training"
 */
export type TrainingPrecision = "float32" | "mixed";

/** @throws ConfigError if the device does not multiply in float16 */
export function checkPrecision(where: string, precision: TrainingPrecision | undefined, device: Device): void {
  if (precision !== "mixed" || device.matmulPrecisions.includes("float16")) return;
  throw new ConfigError(
    `${where}: precision "mixed" needs a device that multiplies matrices in float16 and adds them up in float32; ${device.name} (${device.description}) has ${device.matmulPrecisions.join(", ")} alone; use precision "float32", or WebGPU on a card with 16 x 16 x 16 float16 subgroup matrices`,
    { precision, device: device.name, available: device.matmulPrecisions },
  );
}

/** The scaler that a run needs: the one given, a new one for mixed precision, else none. */
export function scalerFor(
  precision: TrainingPrecision | undefined,
  given: LossScaler | undefined,
): LossScaler | undefined {
  return given ?? (precision === "mixed" ? new LossScaler() : undefined);
}

/** Enqueues work with products at a precision; what was set before holds again afterwards. Without one nothing is changed. */
export function atPrecision<Result>(
  device: Device,
  precision: TrainingPrecision | undefined,
  enqueue: () => Result,
): Result {
  if (!precision) return enqueue();
  const before = device.matmulPrecision;
  const wanted: MatmulPrecision = precision === "mixed" ? "float16" : "float32";
  device.matmulPrecision = wanted;
  try {
    return enqueue();
  } finally {
    device.matmulPrecision = before;
  }
}
