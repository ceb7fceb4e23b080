import { CheckpointError } from "../tensor/errors.ts";
import { excerpt } from "./tensor-entry.ts";

/** Our names and those of llama.cpp, outside of layers. */
const outerNames = [
  ["backbone.embedding.weight", "token_embd.weight"],
  ["backbone.normF.weight", "output_norm.weight"],
  ["lmHead.weight", "output.weight"],
] as const;

/** The same for the parts of a layer. `ssm_a` holds A = -exp(A_log). */
const layerParts = [
  ["norm.weight", "attn_norm.weight"],
  ["mixer.inProj.weight", "ssm_in.weight"],
  ["mixer.conv.weight", "ssm_conv1d.weight"],
  ["mixer.conv.bias", "ssm_conv1d.bias"],
  ["mixer.xProj.weight", "ssm_x.weight"],
  ["mixer.dtProj.weight", "ssm_dt.weight"],
  ["mixer.dtProj.bias", "ssm_dt.bias"],
  ["mixer.A_log", "ssm_a"],
  ["mixer.D", "ssm_d"],
  ["mixer.outProj.weight", "ssm_out.weight"],
] as const;

const ggufOuter = new Map<string, string>(outerNames);
const ggufPart = new Map<string, string>(layerParts);
const ownOuter = new Map<string, string>(outerNames.map(([own, other]) => [other, own]));
const ownPart = new Map<string, string>(layerParts.map(([own, other]) => [other, own]));

/**
 * The name under which llama.cpp stores a parameter of ours: `backbone.layers.0.mixer.inProj.weight` is `blk.0.ssm_in.weight`.
 *
 * @throws CheckpointError if its Mamba-1 has no such parameter
 */
export function toGgufName(own: string): string {
  const [, layer, part] = /^backbone\.layers\.(\d+)\.(.+)$/.exec(own) ?? [];
  const name = part === undefined ? ggufOuter.get(own) : ggufPart.get(part);
  if (name !== undefined) return part === undefined ? name : `blk.${layer}.${name}`;
  throw new CheckpointError(
    `GGUF names: a parameter must be one of llama.cpp's Mamba-1; got ${excerpt(own)}; keep this model as safetensors`,
    { name: own },
  );
}

/** Our name of a tensor of a GGUF file; undefined if llama.cpp's Mamba-1 has no such tensor. */
export function fromGgufName(name: string): string | undefined {
  const [, layer, part] = /^blk\.(0|[1-9]\d{0,8})\.(.+)$/.exec(name) ?? [];
  if (part === undefined) return ownOuter.get(name);
  const own = ownPart.get(part);
  return own && `backbone.layers.${layer}.${own}`;
}
