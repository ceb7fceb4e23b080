import { type Command, InvalidArgumentError, Option } from "commander";
import type { DeviceName } from "../tensor/device.ts";
import type { DType } from "../tensor/dtype.ts";

/** Reads a whole number in a range. */
export function wholeNumber(least: number, most = Number.MAX_SAFE_INTEGER): (text: string) => number {
  return (text) => {
    const value = /^-?\d+$/.test(text) ? Number(text) : Number.NaN;
    if (Number.isSafeInteger(value) && value >= least && value <= most) return value;
    const upper = most === Number.MAX_SAFE_INTEGER ? "up" : `to ${most}`;
    throw new InvalidArgumentError(`It must be a whole number from ${least} ${upper}.`);
  };
}

/** Reads a number in a range, both ends included. */
export function realNumber(least: number, most = Number.POSITIVE_INFINITY): (text: string) => number {
  return (text) => {
    const value = text.trim() === "" ? Number.NaN : Number(text);
    if (Number.isFinite(value) && value >= least && value <= most) return value;
    const range = most === Number.POSITIVE_INFINITY ? `at least ${least}` : `from ${least} to ${most}`;
    throw new InvalidArgumentError(`It must be a number ${range}.`);
  };
}

/** Reads a number above zero. */
export function positiveNumber(most = Number.POSITIVE_INFINITY): (text: string) => number {
  const parse = realNumber(0, most);
  return (text) => {
    const value = parse(text);
    if (value > 0) return value;
    throw new InvalidArgumentError("It must be above 0.");
  };
}

/** Gathers the values of an option that may be given several times. */
export function collect<Value>(parse: (text: string) => Value): (text: string, before?: Value[]) => Value[] {
  return (text, before = []) => [...before, parse(text)];
}

/** Reads `ID=BIAS`. */
export function idWithBias(text: string): [number, number] {
  const [, id, bias] = /^(\d+)=(.+)$/.exec(text) ?? [];
  const value = Number(bias);
  if (id !== undefined && !Number.isNaN(value)) return [Number(id), value];
  throw new InvalidArgumentError("It must read ID=BIAS, as 0=-Infinity or 17=2.5.");
}

/** Where computation runs. */
export interface DeviceFlags {
  readonly device: "auto" | DeviceName;
  readonly threads?: number;
}

/** How weights are held for inference. */
export interface WeightFlags {
  readonly dtype?: DType;
}

/** Where a model comes from. */
export interface SourceFlags {
  readonly revision?: string;
  readonly token?: string;
  readonly cacheDir?: string;
  readonly offline?: true;
}

/** Adds `--json`. */
export function withJson(command: Command): Command {
  return command.option("--json", "write one JSON object to standard output, all else to standard error");
}

/** Adds `--device` and `--threads`. */
export function withDevice(command: Command): Command {
  const names = ["auto", "wasm", "webgpu", "reference"];
  return command
    .addOption(new Option("--device <name>", "where to compute").choices(names).default("auto"))
    .option("--threads <n>", "threads of the wasm device; 0: the calling thread alone", wholeNumber(0, 16));
}

/** Adds `--dtype`. */
export function withWeights(command: Command): Command {
  const names = ["float32", "float16", "bfloat16", "int8", "int4"];
  return command.addOption(
    new Option("--dtype <type>", "element type of the large weights (default: blocks as stored, else float32)").choices(
      names,
    ),
  );
}

/** Adds what concerns models on a hub. */
export function withSource(command: Command): Command {
  return command
    .option("--revision <name>", "branch, tag or commit on the hub", "main")
    .option("--token <token>", "access token for the hub (default: $HF_TOKEN)")
    .option("--cache-dir <folder>", "where models from the hub are kept")
    .option("--offline", "use models that are there already and ask no hub");
}

/** Options of the library for a model's source. */
export function sourceOptions(flags: SourceFlags): {
  revision?: string;
  token?: string;
  cacheDir?: string;
  localFilesOnly?: boolean;
} {
  const { revision, token, cacheDir, offline } = flags;
  return { revision, token, cacheDir, localFilesOnly: offline };
}

/**
 * Options of the library for a device. The calling thread stays free, so that Ctrl-C is heard while workers compute.
 */
export function deviceOptions({ device, threads }: DeviceFlags): {
  device: "auto" | DeviceName;
  threads?: number;
  callerTakesPart: boolean;
} {
  return { device, threads, callerTakesPart: false };
}
