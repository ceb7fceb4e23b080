import type { MambaConfig } from "../models/config.ts";
import { CheckpointError } from "../tensor/errors.ts";
import { excerpt } from "./tensor-entry.ts";

/** A mixer's parts: our name and that of checkpoints. */
const mixerParts = [
  ["inProj.weight", "in_proj.weight"],
  ["inProj.bias", "in_proj.bias"],
  ["conv.weight", "conv1d.weight"],
  ["conv.bias", "conv1d.bias"],
  ["xProj.weight", "x_proj.weight"],
  ["dtProj.weight", "dt_proj.weight"],
  ["dtProj.bias", "dt_proj.bias"],
  ["A_log", "A_log"],
  ["D", "D"],
  ["outProj.weight", "out_proj.weight"],
  ["outProj.bias", "out_proj.bias"],
] as const;

/** Everything outside of layers; the first spelling of a pair is the one that is written. */
const outerNames = [
  ["backbone.embedding.weight", "backbone.embeddings.weight"],
  ["backbone.embedding.weight", "backbone.embedding.weight"],
  ["backbone.normF.weight", "backbone.norm_f.weight"],
  ["backbone.normF.bias", "backbone.norm_f.bias"],
  ["lmHead.weight", "lm_head.weight"],
] as const;

const layerParts: readonly (readonly [string, string])[] = [
  ["norm.weight", "norm.weight"],
  ["norm.bias", "norm.bias"],
  ...mixerParts.map(([own, other]) => [`mixer.${own}`, `mixer.${other}`] as const),
];

const ownOuter = new Map<string, string>(outerNames.map(([own, other]) => [other, own]));
const ownPart = new Map(layerParts.map(([own, other]) => [other, own]));
const checkpointOuter = new Map<string, string>(outerNames.toReversed());
const checkpointPart = new Map(layerParts);

/**
 * Our name of a parameter that a checkpoint of either dialect calls `name`:
 * `backbone.layers.0.mixer.in_proj.weight` is `backbone.layers.0.mixer.inProj.weight`.
 *
 * @returns undefined if no Mamba-1 model has such a parameter
 */
export function toOwnName(name: string): string | undefined {
  return translate(name, ownOuter, ownPart);
}

/**
 * The name under which Hugging Face's checkpoints store a parameter of ours; that of state-spaces/mamba differs in
 * `backbone.embedding.weight` alone.
 *
 * @throws CheckpointError if a Mamba-1 model has no such parameter
 */
export function toCheckpointName(own: string): string {
  const name = translate(own, checkpointOuter, checkpointPart);
  if (name !== undefined) return name;
  throw new CheckpointError(
    `checkpoint names: a parameter must be one of a Mamba-1 language model; got ${excerpt(own)}; leave it out`,
    { name: own },
  );
}

function translate(
  name: string,
  outer: ReadonlyMap<string, string>,
  parts: ReadonlyMap<string, string>,
): string | undefined {
  const layer = /^(backbone\.layers\.(?:0|[1-9]\d{0,8})\.)(.+)$/.exec(name);
  if (!layer) return outer.get(name);
  const part = parts.get(layer[2]!);
  return part && layer[1]! + part;
}

/**
 * Name and shape of every parameter of a model, in the order of its records; a tied head is none.
 *
 * @see `MambaMixerParameters` of `mamba.ts/layers` for what the axes mean
 */
export function mambaParameterShapes(config: MambaConfig): Map<string, readonly number[]> {
  const { dModel, paddedVocabSize } = config;
  const shapes = new Map<string, readonly number[]>([["backbone.embedding.weight", [paddedVocabSize, dModel]]]);
  const layer = layerShapes(config);
  for (let i = 0; i < config.nLayer; i++) {
    for (const [part, shape] of layer) shapes.set(`backbone.layers.${i}.${part}`, shape);
  }
  for (const [part, shape] of normShapes(config)) shapes.set(`backbone.normF.${part}`, shape);
  if (!config.tieEmbeddings) shapes.set("lmHead.weight", [paddedVocabSize, dModel]);
  return shapes;
}

type Shapes = (readonly [string, readonly number[]])[];

function normShapes({ norm, dModel }: MambaConfig): Shapes {
  return norm === "rms"
    ? [["weight", [dModel]]]
    : [
        ["weight", [dModel]],
        ["bias", [dModel]],
      ];
}

function layerShapes(config: MambaConfig): Shapes {
  const { dModel, dInner, dState, dConv, dtRank, bias, convBias } = config;
  const mixer: Shapes = [
    ["inProj.weight", [2 * dInner, dModel]],
    ...optional(bias, "inProj.bias", 2 * dInner),
    ["conv.weight", [dInner, dConv]],
    ...optional(convBias, "conv.bias", dInner),
    ["xProj.weight", [dtRank + 2 * dState, dInner]],
    ["dtProj.weight", [dInner, dtRank]],
    ["dtProj.bias", [dInner]],
    ["A_log", [dInner, dState]],
    ["D", [dInner]],
    ["outProj.weight", [dModel, dInner]],
    ...optional(bias, "outProj.bias", dModel),
  ];
  return [
    ...normShapes(config).map(([part, shape]) => [`norm.${part}`, shape] as const),
    ...mixer.map(([part, shape]) => [`mixer.${part}`, shape] as const),
  ];
}

function optional(present: boolean, name: string, size: number): Shapes {
  return present ? [[name, [size]]] : [];
}
