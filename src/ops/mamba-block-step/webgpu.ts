import type { Bound, WebgpuKernel, WebgpuKernelContext } from "../../backends/webgpu/index.ts";
import type { KernelCall } from "../../tensor/device.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import { isWhole } from "../linear/weight.webgpu.ts";
import { type Composed, composedUnless } from "../op.ts";
import { composeMambaBlockStep } from "./compose.ts";
import {
  enterGroups,
  leaveGroups,
  MOST_THIN_ROWS,
  stateLanes,
  type ThinBlock,
  updateGroups,
  workFloats,
} from "./thin-block.webgpu.ts";
import { enterProgram } from "./thin-enter.webgpu.ts";
import { leaveProgram } from "./thin-leave.webgpu.ts";
import { updateProgram } from "./thin-update.webgpu.ts";
import { formatsOf, projections, suitsWide, wideBlockStep } from "./wide.webgpu.ts";

/** Numbers of the selection that one workgroup can add up. */
const MOST_SELECTION = 1024;
/** Steps of a convolution whose inputs a thread keeps. */
const MOST_WINDOW = 16;

type Given = Readonly<Record<string, Tensor | undefined>>;

/** Whether the few programs of this folder can do it: plain rows of weights, sizes and places in steps of four, at most eight buffers. */
function suitsThin(inputs: Given): boolean {
  const { x, conv, ssm, normWeight, inProjBias, convBias, convWeight, dtProj, A } = inputs as Record<string, Tensor>;
  const [batch, dModel] = x!.shape as [number, number];
  const [dInner, dState] = A!.shape as [number, number];
  const dtRank = dtProj!.shape[1]!;
  const window = convWeight!.shape[1]!;
  const fours = [x!, ssm!, normWeight!, A!];
  const matrices = projections.map((name) => inputs[name]!);
  return (
    batch <= MOST_THIN_ROWS &&
    [dModel, dInner, ...[...fours, ...matrices].map(({ offset }) => offset)].every((number) => number % 4 === 0) &&
    fours.every(({ dense }) => dense) &&
    matrices.every(isWhole) &&
    conv!.dense &&
    (dtRank % 4 === 0 || dtProj!.dtype === "float32") &&
    dtRank + 2 * dState <= MOST_SELECTION &&
    window > 1 &&
    window <= MOST_WINDOW &&
    !(inProjBias && convBias)
  );
}

function blockOf({ subgroupSize }: WebgpuKernelContext, { inputs, axes, params }: KernelCall): ThinBlock {
  const { batch, dModel, dInner, dState, dtRank, window } = axes as Record<string, number>;
  return {
    ...{ rows: batch!, dModel: dModel!, dInner: dInner!, dState: dState!, dtRank: dtRank!, window: window! },
    mixerNorm: (params["mixerNormEpsilon"] as number) > 0,
    inProjBias: inputs["inProjBias"] !== undefined,
    convBias: inputs["convBias"] !== undefined,
    outProjBias: inputs["outProjBias"] !== undefined,
    formats: formatsOf(inputs),
    subgroups: subgroupSize === 32,
  };
}

const thinBlockStep: WebgpuKernel = (context, call) => {
  const { inputs, outputs, params } = call;
  const block = blockOf(context, call);
  if (block.rows === 0) return;
  const work = context.scratch(4 * workFloats(block));
  const gated = context.scratch(4 * block.rows * block.dInner);
  const bound = (...names: readonly string[]): Bound[] => names.flatMap((name) => inputs[name] ?? []);
  const place = (name: string): number => inputs[name]?.offset ?? 0;
  const four = (name: string): number => place(name) / 4;
  const enter = {
    ...{ xAt: four("x"), normWeightAt: four("normWeight"), inProjAt: four("inProj"), xProjAt: four("xProj") },
    ...{ inProjBiasAt: place("inProjBias"), convWeightAt: place("convWeight"), convBiasAt: place("convBias") },
    ...{ convAt: place("conv"), epsilon: params["epsilon"] as number },
  };
  const entered = bound("x", "normWeight", "inProj", "inProjBias", "convWeight", "convBias", "xProj", "conv");
  context.dispatch(enterProgram(block), [...entered, work], enter, enterGroups(block));
  const byFour = stateLanes(block) > 1;
  const update = {
    ...{
      dtProjAt: block.dtRank % 4 === 0 ? four("dtProj") : place("dtProj"),
      dtBiasAt: place("dtBias"),
      DAt: place("D"),
    },
    ...{ AAt: byFour ? four("A") : place("A"), ssmAt: byFour ? four("ssm") : place("ssm") },
    mixerEpsilon: params["mixerNormEpsilon"] as number,
  };
  const updated = bound("dtProj", "dtBias", "A", "D", "ssm");
  context.dispatch(updateProgram(block), [work, ...updated, gated], update, updateGroups(block));
  const y = outputs["y"]!;
  const leave = { outProjAt: four("outProj"), outProjBiasAt: place("outProjBias"), xAt: place("x"), yAt: y.offset };
  const left = bound("outProj", "outProjBias", "x");
  context.dispatch(leaveProgram(block), [gated, ...left, y], leave, leaveGroups(block));
};

const mambaBlockStep: WebgpuKernel = (context, call) => {
  const encode = suitsWide(call.inputs) ? wideBlockStep : thinBlockStep;
  encode(context, call);
};

/** WebGPU kernels of this folder: few rows in three dispatches, many in four on matrix cores, others out of other ops. */
export const mambaBlockStepWebgpu = {
  mambaBlockStep: composedUnless(
    (inputs) => suitsWide(inputs) || suitsThin(inputs),
    mambaBlockStep,
    composeMambaBlockStep,
  ),
} as const satisfies Record<string, Composed>;
