import type { FileSet } from "#platform";
import type { MambaLM } from "../models/index.ts";
import type { CausalLM } from "../pretrained/causal-lm.ts";
import type { Device } from "../tensor/device.ts";
import { type DeviceFlags, deviceOptions, type SourceFlags, sourceOptions, type WeightFlags } from "./options.ts";
import { Progress } from "./progress.ts";
import type { Terminal } from "./terminal.ts";

/** Opens a language model as the flags say, with progress and warnings on standard error. */
export async function openModel(
  model: string,
  flags: DeviceFlags & SourceFlags & WeightFlags,
  terminal: Terminal,
): Promise<CausalLM> {
  const { CausalLM } = await import("../pretrained/causal-lm.ts");
  const progress = new Progress(terminal);
  try {
    const options = { ...sourceOptions(flags), ...deviceOptions(flags), dtype: flags.dtype };
    const lm = await CausalLM.fromPretrained(model, {
      ...options,
      progress: progress.onBytes,
      signal: terminal.signal,
    });
    progress.clear();
    warnAll(lm.warnings, terminal);
    return lm;
  } finally {
    progress.clear();
  }
}

/** Finds a model's files as the flags say, with progress on standard error. */
export async function openModelFiles(model: string, flags: SourceFlags, terminal: Terminal): Promise<FileSet> {
  const { findModelFiles } = await import("../pretrained/open-pretrained.ts");
  const progress = new Progress(terminal);
  try {
    const { onBytes } = progress;
    return await findModelFiles(model, { ...sourceOptions(flags), progress: onBytes, signal: terminal.signal });
  } finally {
    progress.clear();
  }
}

/** A model's weights on a device, without its tokenizer. */
export interface OpenWeights {
  readonly files: FileSet;
  readonly device: Device;
  readonly model: MambaLM;
  /** Frees the weights and the device. */
  dispose(): void;
}

/**
 * Loads a model's weights as the flags say, with progress and warnings on standard error.
 *
 * @param pack - for inference; gradients exist for unpacked weights only
 */
export async function openWeights(
  name: string,
  flags: DeviceFlags & SourceFlags & WeightFlags,
  pack: boolean,
  terminal: Terminal,
): Promise<OpenWeights> {
  const files = await openModelFiles(name, flags, terminal);
  const { openDevice } = await import("../ops/devices.ts");
  const { loadMamba } = await import("../pretrained/load-mamba.ts");
  const { device: wanted, ...options } = deviceOptions(flags);
  const device = await openDevice(wanted, options);
  const progress = new Progress(terminal);
  try {
    const loadOptions = { device, dtype: flags.dtype, pack, progress: progress.onBytes, signal: terminal.signal };
    const { model, warnings } = await loadMamba(files, loadOptions);
    progress.clear();
    warnAll(warnings, terminal);
    const dispose = (): void => {
      model.dispose();
      device.dispose();
    };
    return { files, device, model, dispose };
  } catch (error) {
    progress.clear();
    device.dispose();
    throw error;
  }
}

/** Says what was odd but did no harm. */
export function warnAll(warnings: readonly string[], terminal: Terminal): void {
  for (const warning of warnings) terminal.writeError(`mamba: warning: ${warning}\n`);
}
