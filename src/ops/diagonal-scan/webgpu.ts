import type { GpuMemory, WebgpuKernel, WebgpuKernelContext } from "../../backends/webgpu/index.ts";
import type { KernelCall } from "../../tensor/device.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import { backwardProgram, forwardProgram, WORKGROUP } from "./programs.webgpu.ts";

/** A, gain, C and the states [batch channels state 2] that a walk starts from, in one buffer: a shader may have eight. */
function packed(context: WebgpuKernelContext, { inputs, axes }: KernelCall, states: Tensor | undefined): GpuMemory {
  const size = 2 * axes["channels"]! * axes["state"]!;
  const count = size * axes["batch"]!;
  const memory = context.scratch(4 * (3 * size + count));
  for (const [i, name] of ["A", "gain", "C"].entries()) {
    context.copy(inputs[name]!, inputs[name]!.offset, memory, i * size, size);
  }
  const from = states ?? context.upload(new Float32Array(count));
  context.copy(from, states?.offset ?? 0, memory, 3 * size, count);
  return memory;
}

function valuesOf({ inputs, axes, params }: KernelCall, rows: readonly string[]): Record<string, number> {
  const places = rows.map((name): Record<string, number> => {
    const { offset, strides } = inputs[name]!;
    return { [`${name}Offset`]: offset, [`${name}Batch`]: strides[0]!, [`${name}Row`]: strides[1]! };
  });
  // states that a workgroup takes at a time, a power of two, and channels beside each other
  const slots = Math.min(WORKGROUP, 2 ** Math.ceil(Math.log2(axes["state"]!)));
  return Object.assign(
    { batch: axes["batch"]!, length: axes["length"]!, channels: axes["channels"]!, states: axes["state"]! },
    { slots, width: WORKGROUP / slots, factor: params["conjugate"] ? 2 : 1 },
    ...places,
  );
}

function groupsOf({ batch, channels, width }: Record<string, number>): number {
  return batch! * Math.ceil(channels! / width!);
}

const diagonalScan: WebgpuKernel = (context, call) => {
  const { inputs, outputs, params } = call;
  const [y, finalState, chunkStates] = [outputs["y"]!, outputs["finalState"]!, outputs["chunkStates"]];
  if (finalState.size === 0) return;
  const keeps = chunkStates !== undefined && chunkStates.size > 0;
  const system = packed(context, call, inputs["initialState"]);
  const values = {
    ...valuesOf(call, ["u", "delta"]),
    ...{ yOffset: y.offset, finalOffset: finalState.offset, chunkOffset: chunkStates?.offset ?? 0 },
  };
  const bound = [inputs["u"]!, inputs["delta"]!, system, y, finalState, ...(keeps ? [chunkStates] : [])];
  const program = forwardProgram(Boolean(params["bilinear"]), keeps);
  context.dispatch(program, bound, values, groupsOf(values));
};

const diagonalScanBackward: WebgpuKernel = (context, call) => {
  const { inputs, outputs, params } = call;
  const [u, delta, chunkStates, dy] = ["u", "delta", "chunkStates", "dy"].map((name) => inputs[name]!) as [
    Tensor,
    Tensor,
    Tensor,
    Tensor,
  ];
  const [du, dDelta] = [outputs["du"]!, outputs["dDelta"]!];
  const count = outputs["dA"]!.size;
  if (count === 0) return;
  const system = packed(context, call, inputs["dFinalState"]);
  const sums = context.scratch(16 * count);
  const values = {
    ...valuesOf(call, ["u", "delta", "dy"]),
    ...{ chunkOffset: chunkStates.offset, duOffset: du.offset, dDeltaOffset: dDelta.offset },
  };
  const program = backwardProgram(Boolean(params["bilinear"]));
  const bound = [u, delta, system, chunkStates, dy, du, dDelta, sums];
  context.dispatch(program, bound, values, groupsOf(values));
  for (const [i, name] of ["dA", "dGain", "dC", "dInitialState"].entries()) {
    context.copy(sums, i * count, outputs[name]!, outputs[name]!.offset, count);
  }
};

/** WebGPU kernels of this folder. */
export const diagonalScanWebgpu = { diagonalScan, diagonalScanBackward } as const satisfies Record<
  string,
  WebgpuKernel
>;
