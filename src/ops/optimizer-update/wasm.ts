import { f32, type Range, type WasmKernel, type WasmKernelContext } from "../../backends/wasm/index.ts";
import type { KernelCall } from "../../tensor/device.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import { type AdamwParams, adamwSlots } from "./operations.ts";

const ABSENT = 0;
const CHUNK = 4096;

/** Addresses of scale and skip, or 0. */
function conditions(context: WasmKernelContext, { inputs }: KernelCall): number[] {
  return ["scale", "skip"].map((name) => (inputs[name] ? context.address(inputs[name]) : ABSENT));
}

function rangesOf(context: WasmKernelContext, tensors: readonly (Tensor | undefined)[]): Range[] {
  return tensors.flatMap((tensor) => (tensor ? [context.range(tensor)] : []));
}

const adamwUpdate: WasmKernel = (context, call) => {
  const { beta1, beta2, epsilon, step, learningRates, weightDecays } = call.params as AdamwParams;
  const given = rangesOf(context, [call.inputs["scale"], call.inputs["skip"]]);
  adamwSlots(call.inputs).forEach(({ parameter, gradient, mean, square }, k) => {
    if (parameter.size === 0) return;
    const factors = [
      ...[beta1, 1 - beta1, beta2, 1 - beta2, 1 - learningRates[k]! * weightDecays[k]!],
      ...[learningRates[k]! / (1 - beta1 ** step), 1 / Math.sqrt(1 - beta2 ** step), epsilon],
    ];
    const tensors = [parameter, gradient, mean, square];
    const addresses = tensors.map((tensor) => context.address(tensor));
    const words = [parameter.size, ...conditions(context, call), ...addresses, ...factors.map(f32)];
    context.command("adamwUpdate", words, {
      reads: [...rangesOf(context, tensors), ...given],
      writes: rangesOf(context, [parameter, mean, square]),
    });
  });
};

const sgdUpdate: WasmKernel = (context, call) => {
  const { inputs, params } = call;
  const { parameter, gradient, velocity } = inputs;
  const { learningRate, momentum, weightDecay } = params as Record<string, number>;
  if (parameter!.size === 0) return;
  const words = [parameter!.size, ...conditions(context, call), context.address(parameter!)];
  words.push(context.address(gradient!), velocity ? context.address(velocity) : ABSENT);
  words.push(f32(momentum!), f32(weightDecay!), f32(learningRate!));
  context.command("sgdUpdate", words, {
    reads: rangesOf(context, Object.values(inputs)),
    writes: rangesOf(context, [parameter, velocity]),
  });
};

const averageUpdate: WasmKernel = (context, { inputs, params }) => {
  const { average, x } = inputs;
  const decay = params["decay"] as number;
  if (x!.size === 0) return;
  const words = [x!.size, context.address(average!), context.address(x!), f32(decay), f32(1 - decay)];
  context.command("averageUpdate", words, {
    reads: rangesOf(context, [average, x]),
    writes: rangesOf(context, [average]),
  });
};

const addSquaredNorm: WasmKernel = (context, { inputs }) => {
  const { total, ...parts } = inputs;
  const to = context.range(total!);
  for (const x of Object.values(parts) as Tensor[]) {
    if (x.size === 0) continue;
    const chunks = Math.ceil(x.size / CHUNK);
    const sums: Range = [context.scratch(chunks * 4), chunks * 4];
    const from = context.range(x);
    context.command("squareChunks", [x.size, from[0], sums[0]], { reads: [from], writes: [sums] });
    context.command("addChunkSums", [chunks, sums[0], to[0]], { reads: [sums, to], writes: [to] });
  }
};

/** Wasm kernels of this folder. */
export const optimizerUpdateWasm = {
  adamwUpdate,
  sgdUpdate,
  averageUpdate,
  addSquaredNorm,
} as const satisfies Record<string, WasmKernel>;
