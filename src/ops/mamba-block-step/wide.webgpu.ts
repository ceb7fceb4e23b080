import type { Bound, WebgpuKernel } from "../../backends/webgpu/index.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import { formatOf, isWhole } from "../linear/weight.webgpu.ts";
import type { Tensors } from "../op.ts";
import type { Formats } from "./thin-block.webgpu.ts";
import {
  enterGroups,
  isSliced,
  isVector,
  leaveGroups,
  paddedRows,
  updateSpans,
  type WideBlock,
  workFloats,
} from "./wide-block.webgpu.ts";
import { wideEnterProgram } from "./wide-enter.webgpu.ts";
import { wideLeaveProgram } from "./wide-leave.webgpu.ts";
import { wideNormProgram } from "./wide-norm.webgpu.ts";
import { wideUpdateProgram } from "./wide-update.webgpu.ts";

export const projections = ["inProj", "xProj", "dtProj", "outProj"] as const;
/** Rows from which fragments of 16 pay though some of them are empty. */
const LEAST_WIDE_ROWS = 5;
/** Steps of a convolution whose inputs a thread keeps. */
const MOST_WINDOW = 4;
/** Threads that share a channel's states are neighbours in a subgroup. */
const stateCounts = [4, 8, 16, 32, 64, 128];

/** Types of the projections of a step. */
export function formatsOf(inputs: Tensors): Formats {
  return Object.fromEntries(projections.map((name) => [name, formatOf(inputs[name]!)])) as Formats;
}

/** Whether many rows can be done on matrix cores: the device rounds products, and all weights are of 16 bits or fewer in whole slices. */
export function suitsWide(inputs: Tensors): boolean {
  const { x, conv, ssm, normWeight, convWeight, dtProj, A, D } = inputs as Record<string, Tensor>;
  const [rows, dModel] = x!.shape as [number, number];
  const [dInner, dState] = A!.shape as [number, number];
  const window = convWeight!.shape[1]!;
  const { matmulPrecision, matmulPrecisions } = x!.device;
  const matrices = projections.map((name) => inputs[name]!);
  return (
    rows >= LEAST_WIDE_ROWS &&
    matmulPrecision === "float16" &&
    matmulPrecisions.includes("float16") &&
    matrices.every((w) => isWhole(w) && w.dtype !== "float32" && isVector(w.offset)) &&
    dtProj!.dtype === "float16" &&
    [x!, conv!, ssm!, normWeight!, A!, D!].every(({ dense, offset }) => dense && offset % 4 === 0) &&
    isSliced(dModel) &&
    isSliced(dInner) &&
    stateCounts.includes(dState) &&
    dtProj!.shape[1]! % 4 === 0 &&
    window > 1 &&
    window <= MOST_WINDOW
  );
}

/** The block in four dispatches, each of which reads its weights once for all rows. */
export const wideBlockStep: WebgpuKernel = (context, { inputs, outputs, axes, params }) => {
  const { batch, dModel, dInner, dState, dtRank, window } = axes as Record<string, number>;
  const block: WideBlock = {
    ...{ rows: batch!, dModel: dModel!, dInner: dInner!, dState: dState!, dtRank: dtRank!, window: window! },
    mixerNorm: (params["mixerNormEpsilon"] as number) > 0,
    inProjBias: inputs["inProjBias"] !== undefined,
    convBias: inputs["convBias"] !== undefined,
    outProjBias: inputs["outProjBias"] !== undefined,
    formats: formatsOf(inputs),
    storage: context.limits.maxComputeWorkgroupStorageSize,
  };
  const padded = paddedRows(block);
  const [normed, gated] = [context.scratch(2 * padded * block.dModel), context.scratch(2 * padded * block.dInner)];
  const work = context.scratch(4 * workFloats(block));
  const bound = (...names: readonly string[]): Bound[] => names.flatMap((name) => inputs[name] ?? []);
  const place = (name: string, vector = 1): number => (inputs[name]?.offset ?? 0) / vector;
  const norm = { xAt: place("x", 4), weightAt: place("normWeight", 4), epsilon: params["epsilon"] as number };
  context.dispatch(wideNormProgram(block), [...bound("x", "normWeight"), normed], norm, block.rows);
  const enter = {
    ...{ inProjAt: place("inProj", 8), xProjAt: place("xProj", 8), inProjBiasAt: place("inProjBias") },
    ...{ convWeightAt: place("convWeight"), convBiasAt: place("convBias"), convAt: place("conv") },
  };
  const entered = bound("inProj", "inProjBias", "convWeight", "convBias", "xProj", "conv");
  context.dispatch(wideEnterProgram(block), [normed, ...entered, work], enter, enterGroups(block));
  const update = {
    ...{ dtProjAt: place("dtProj", 4), dtBiasAt: place("dtBias"), AAt: place("A", 4), DAt: place("D") },
    ...{ ssmAt: place("ssm", 4), mixerEpsilon: params["mixerNormEpsilon"] as number },
  };
  const updated = [work, ...bound("dtProj", "dtBias", "A", "D", "ssm"), gated];
  context.dispatch(wideUpdateProgram(block), updated, update, block.rows * updateSpans(block));
  const y = outputs["y"]!;
  const leave = {
    ...{ outProjAt: place("outProj", 8), outProjBiasAt: place("outProjBias"), xAt: place("x"), yAt: y.offset },
  };
  const left = bound("outProj", "outProjBias", "x");
  context.dispatch(wideLeaveProgram(block), [gated, ...left, y], leave, leaveGroups(block));
};
