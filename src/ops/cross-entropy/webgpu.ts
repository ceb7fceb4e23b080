import {
  type Bound,
  failureCode,
  groupMax,
  groupSum,
  type Program,
  type WebgpuKernel,
  wgslMath,
} from "../../backends/webgpu/index.ts";
import { rowsOf } from "../linear/webgpu.ts";

const WORKGROUP = 64;

/** A workgroup works out one token. */
const forward: Program = {
  name: "crossEntropy",
  bindings: [
    { name: "logits", type: "f32" },
    { name: "targets", type: "i32" },
    { name: "losses", type: "f32", write: true },
    { name: "valid", type: "f32", write: true },
    { name: "logSumExp", type: "f32", write: true },
    { name: "failure", type: "atomic<u32>", write: true },
  ],
  params: [
    ...(["tokens:u32", "classes:u32", "logitsOffset:u32", "logitsRow:u32", "targetsOffset:u32"] as const),
    ...(["ignoreIndex:i32", "code:u32", "lossesOffset:u32", "validOffset:u32", "logSumExpOffset:u32"] as const),
  ],
  workgroup: WORKGROUP,
  declarations: wgslMath("exp", "log") + groupMax(WORKGROUP) + groupSum(WORKGROUP) + failureCode,
  body: `
  let token = min(group, p.tokens - 1u);
  let start = p.logitsOffset + token * p.logitsRow;
  var most = -3.4e38;
  for (var c = lane; c < p.classes; c += ${WORKGROUP}u) { most = max(most, logits[start + c]); }
  let top = groupMax(lane, most);
  var part = 0.0;
  for (var c = lane; c < p.classes; c += ${WORKGROUP}u) { part += expOf(logits[start + c] - top); }
  let total = top + logOf(groupSum(lane, part));
  if (lane > 0u || group >= p.tokens) { return; }
  let target_id = targets[p.targetsOffset + token];
  let counts = target_id != p.ignoreIndex && target_id >= 0 && u32(target_id) < p.classes;
  if (target_id != p.ignoreIndex && !counts) { fail(p.code, target_id, token); }
  losses[p.lossesOffset + token] = select(0.0, total - logits[start + select(0u, u32(target_id), counts)], counts);
  valid[p.validOffset + token] = select(0.0, 1.0, counts);
  logSumExp[p.logSumExpOffset + token] = select(0.0, total, counts);`,
};

const gradientPrograms = new Map<string, Program>();

/** dlogits of blocks; `dlosses` and `dlogSumExp` where they are given. */
export function logitGradientProgram(dlosses: boolean, dlogSumExp: boolean): Program {
  const key = `${dlosses} ${dlogSumExp}`;
  const known = gradientPrograms.get(key);
  if (known) return known;
  const given = [...(dlosses ? ["dlosses"] : []), ...(dlogSumExp ? ["dlogSumExp"] : [])];
  const made: Program = {
    name: `dlogits ${given.join(" ")}`,
    bindings: [
      { name: "logits", type: "f32" },
      { name: "targets", type: "i32" },
      { name: "logSumExp", type: "f32" },
      ...given.map((name) => ({ name, type: "f32" as const })),
      { name: "out", type: "f32", write: true },
    ],
    params: [
      ...(["count:u32", "classes:u32", "vocab:u32", "firstToken:u32", "firstRow:u32", "logitsOffset:u32"] as const),
      ...(["logitsRow:u32", "targetsOffset:u32", "logSumExpOffset:u32", "outOffset:u32", "ignoreIndex:i32"] as const),
      ...given.map((name) => `${name}Offset:u32` as const),
    ],
    workgroup: WORKGROUP,
    declarations: wgslMath("exp"),
    body: `
  if (index >= p.count) { return; }
  let row = index / p.classes;
  let column = index % p.classes;
  let token = p.firstToken + row;
  let target_id = targets[p.targetsOffset + token];
  var value = 0.0;
  if (target_id != p.ignoreIndex && target_id >= 0 && u32(target_id) < p.vocab) {
    let probability = expOf(logits[p.logitsOffset + row * p.logitsRow + column] - logSumExp[p.logSumExpOffset + token]);
    let ofLoss = ${dlosses ? "dlosses[p.dlossesOffset + token]" : "0.0"};
    let ofSum = ${dlogSumExp ? "dlogSumExp[p.dlogSumExpOffset + token]" : "0.0"};
    value = (ofLoss + ofSum) * probability - select(0.0, ofLoss, u32(target_id) == p.firstRow + column);
  }
  out[p.outOffset + index] = value;`,
  };
  gradientPrograms.set(key, made);
  return made;
}

const crossEntropy: WebgpuKernel = (context, { inputs, outputs, axes, params }) => {
  const [logits, targets] = [inputs["logits"]!, inputs["targets"]!];
  const { losses, valid, logSumExp } = outputs;
  const [tokens, classes] = [axes["tokens"]!, axes["vocabulary"]!];
  if (tokens === 0) return;
  const rows = rowsOf(context, logits);
  const { memory, code } = context.failure("targets", classes);
  const values = {
    ...{ tokens, classes, logitsOffset: rows.offset, logitsRow: rows.rowStride, targetsOffset: targets.offset },
    ...{ ignoreIndex: params["ignoreIndex"] as number, code },
    ...{ lossesOffset: losses!.offset, validOffset: valid!.offset, logSumExpOffset: logSumExp!.offset },
  };
  context.dispatch(forward, [rows.bound, targets, losses!, valid!, logSumExp!, memory], values, tokens);
};

const crossEntropyBackward: WebgpuKernel = (context, { inputs, outputs, axes, params }) => {
  const [logits, targets, logSumExp] = [inputs["logits"]!, inputs["targets"]!, inputs["logSumExp"]!];
  const { dlosses, dlogSumExp } = inputs;
  const dlogits = outputs["dlogits"]!;
  if (dlogits.size === 0) return;
  const classes = axes["vocabulary"]!;
  const rows = rowsOf(context, logits);
  const given = [dlosses, dlogSumExp].filter((one) => one !== undefined);
  const values = {
    ...{ count: dlogits.size, classes, vocab: classes, firstToken: 0, firstRow: 0, outOffset: dlogits.offset },
    ...{ logitsOffset: rows.offset, logitsRow: rows.rowStride, targetsOffset: targets.offset },
    ...{ logSumExpOffset: logSumExp.offset, ignoreIndex: params["ignoreIndex"] as number },
    ...{ dlossesOffset: dlosses?.offset ?? 0, dlogSumExpOffset: dlogSumExp?.offset ?? 0 },
  };
  const program = logitGradientProgram(dlosses !== undefined, dlogSumExp !== undefined);
  const bound: Bound[] = [rows.bound, targets, logSumExp, ...given, dlogits];
  context.dispatch(program, bound, values, Math.ceil(dlogits.size / WORKGROUP));
};

/** WebGPU kernels of this folder. */
export const crossEntropyWebgpu = { crossEntropy, crossEntropyBackward } as const satisfies Record<
  string,
  WebgpuKernel
>;
