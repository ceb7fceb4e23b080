import type { S4MixerConfig, SequenceClassifierConfig } from "../models/index.ts";
import { CheckpointError } from "../tensor/errors.ts";
import { formatShape } from "../tensor/shape.ts";
import type { TensorEntry, TensorFile } from "./tensor-entry.ts";

/** A tensor of a checkpoint with its name and shape in this package. */
export interface MatchedTensor {
  readonly name: string;
  readonly shape: readonly number[];
  readonly entry: TensorEntry;
}

/** A classifier that a checkpoint's tensors describe. */
export interface MatchedClassifier {
  readonly config: SequenceClassifierConfig;
  readonly tensors: readonly MatchedTensor[];
}

/** Names within a layer: those of `s4.py`, of `s4d.py`, and of `s4.py` before its fourth version. */
const layerNames: readonly (readonly [RegExp, string])[] = [
  [/^(?:layer\.)?(?:layer\.)?D$/, "mixer.D"],
  [/^(?:layer\.)?(?:layer\.)?kernel\.(?:kernel\.)?C$/, "mixer.kernel.C"],
  [/^(?:layer\.)?(?:layer\.)?kernel\.(?:kernel\.)?B$/, "mixer.kernel.B"],
  [/^(?:layer\.)?(?:layer\.)?kernel\.(?:kernel\.)?P$/, "mixer.kernel.P"],
  [/^(?:layer\.)?(?:layer\.)?kernel\.(?:kernel\.)?(?:A_real|log_A_real|log_w_real|inv_w_real)$/, "mixer.kernel.A_real"],
  [/^(?:layer\.)?(?:layer\.)?kernel\.(?:kernel\.)?(?:A_imag|w_imag)$/, "mixer.kernel.A_imag"],
  [/^(?:layer\.)?(?:layer\.)?kernel\.(?:kernel\.)?(?:inv_dt|log_dt)$/, "mixer.kernel.invDt"],
  [/^(?:layer\.)?output_linear\.(?:0\.)?weight$/, "mixer.outputLinear.weight"],
  [/^(?:layer\.)?output_linear\.(?:0\.)?bias$/, "mixer.outputLinear.bias"],
];

/** The buffer that holds the length that C is tuned to. */
const lengthPattern = /^s4_layers\.(\d+)\.(?:layer\.)*kernel\.(?:kernel\.)?(?:l_kernel|L)$/;

function ownName(name: string): string | undefined {
  if (/^(?:encoder|decoder)\.(?:weight|bias)$/.test(name)) return name;
  const norm = /^norms\.(\d+)\.(weight|bias)$/.exec(name);
  if (norm) return `layers.${norm[1]}.norm.${norm[2]}`;
  const layer = /^s4_layers\.(\d+)\.(.+)$/.exec(name);
  const found = layer && layerNames.find(([pattern]) => pattern.test(layer[2]!));
  return found ? `layers.${layer[1]}.${found[1]}` : undefined;
}

/** Shapes of s4d.py lack the axis of channels; its projection is a convolution of width 1. */
function ownShape(name: string, shape: readonly number[]): readonly number[] {
  if (name.endsWith("mixer.D") && shape.length === 1) return [1, ...shape];
  if (name.endsWith("kernel.C") && shape.length === 3) return [1, ...shape];
  if (name.endsWith("kernel.invDt") && shape.length === 1) return [...shape, 1];
  if (name.endsWith("outputLinear.weight") && shape.length === 3 && shape[2] === 1) return shape.slice(0, 2);
  return shape;
}

/** Whether a checkpoint looks like a classifier on S4 layers. */
export function isS4Classifier(tensors: ReadonlyMap<string, unknown>): boolean {
  return [...tensors.keys()].some((name) => name.startsWith("s4_layers."));
}

/**
 * Reads a classifier of state-spaces/s4's `example.py` off its tensors: `encoder`, `s4_layers.N`, `norms.N`, `decoder`, with layers of
 * the standalone `s4.py` (also before its fourth version) or `s4d.py`.
 *
 * Whether norms come before layers is not stored; the example's default is after.
 *
 * @throws CheckpointError naming tensors that are missing, unknown, or do not fit each other; or if C is not tuned to a length
 */
export async function matchS4Classifier(file: Pick<TensorFile, "name" | "tensors">): Promise<MatchedClassifier> {
  const tensors: MatchedTensor[] = [];
  const unknown: string[] = [];
  // before its fourth version s4.py kept imaginary parts as they are, and not their size
  let isSigned = false;
  const lengths = new Map<number, number>();
  for (const [given, entry] of file.tensors) {
    const length = lengthPattern.exec(given);
    const name = ownName(given);
    if (length) lengths.set(Number(length[1]), Number((await entry.read())[0]));
    else if (name) {
      isSigned ||= given.endsWith("w_imag");
      tensors.push({ name, shape: ownShape(name, entry.shape), entry });
    } else unknown.push(given);
  }
  if (unknown.length > 0) {
    throw new CheckpointError(
      `${file.name}: tensors must be those of an S4 classifier; it also holds ${unknown.slice(0, 5).join(", ")}; this is another architecture`,
      { unknown },
    );
  }
  const config = configOf(file.name, new Map(tensors.map((one) => [one.name, one])), lengths, isSigned);
  checkShapes(file.name, tensors, config);
  return { config, tensors };
}

function configOf(
  where: string,
  tensors: ReadonlyMap<string, MatchedTensor>,
  lengths: ReadonlyMap<number, number>,
  isSigned: boolean,
): SequenceClassifierConfig {
  const find = (name: string): MatchedTensor => {
    const found = tensors.get(name);
    if (found) return found;
    throw new CheckpointError(`${where}: must hold ${name}; it does not; the file is incomplete`, { missing: name });
  };
  const [dModel, inputSize] = find("encoder.weight").shape as [number, number];
  const [classes] = find("decoder.weight").shape as [number];
  const layers = [...tensors.keys()]
    .map((name) => /^layers\.(\d+)\./.exec(name))
    .map((match) => Number(match?.[1] ?? -1));
  const nLayer = Math.max(...layers) + 1;
  const [, , half] = find("layers.0.mixer.kernel.C").shape as [number, number, number, number];
  const lowRank = tensors.get("layers.0.mixer.kernel.P");
  const channels = find("layers.0.mixer.D").shape[0]!;
  // s4d.py has no B, and keeps the other half of each pair
  const isMinimal = !tensors.has("layers.0.mixer.kernel.B");
  const mixer: S4MixerConfig = {
    ...{ kind: "s4", dState: 2 * half, structure: lowRank ? "low-rank" : "diagonal" },
    ...(isMinimal || isSigned ? { imaginarySign: 1 } : {}),
    ...(find("layers.0.mixer.kernel.C").shape[0] === 2 * channels ? { bidirectional: true } : {}),
    ...(lowRank ? { kernelLength: kernelLengthOf(where, lengths, nLayer) } : {}),
  };
  return { inputSize, classes, dModel, nLayer, mixer };
}

/** C of a checkpoint is tuned already, once; it must never be tuned again. */
function kernelLengthOf(where: string, lengths: ReadonlyMap<number, number>, nLayer: number): number {
  const [first = 0] = lengths.values();
  const isSame = lengths.size === nLayer && [...lengths.values()].every((length) => length === first);
  if (isSame && first > 0) return first;
  throw new CheckpointError(
    `${where}: every layer must say the same l_kernel above 0, the length that its C is tuned to; got ${[...lengths.values()].join(", ") || "none"}; run the model once in the original code and save it`,
    { lengths: [...lengths.values()] },
  );
}

function checkShapes(where: string, tensors: readonly MatchedTensor[], config: SequenceClassifierConfig): void {
  const { dModel, mixer } = config;
  const half = (mixer as S4MixerConfig).dState / 2;
  for (const { name, shape } of tensors) {
    const part = name.replace(/^layers\.\d+\./, "");
    const width: Readonly<Record<string, number | undefined>> = {
      ...{ "encoder.bias": dModel, "norm.weight": dModel, "norm.bias": dModel, "decoder.bias": config.classes },
      ...{ "mixer.kernel.A_real": half, "mixer.kernel.A_imag": half, "mixer.D": dModel, "decoder.weight": dModel },
      ...{ "mixer.kernel.C": 2, "mixer.kernel.B": 2, "mixer.kernel.P": 2 },
    };
    const wanted = width[part];
    if (wanted === undefined || shape.at(-1) === wanted) continue;
    throw new CheckpointError(
      `${where}: the last axis of ${name} must have ${wanted} elements; got ${formatShape(shape)}; the file is damaged`,
      { tensor: name, shape },
    );
  }
}
