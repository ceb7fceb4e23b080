import type { Access, Range, WasmKernel, WasmKernelContext } from "../../backends/wasm/index.ts";
import type { KernelCall } from "../../tensor/device.ts";
import type { Tensor } from "../../tensor/tensor.ts";

const SILU = 1;
const REVERSE = 2;
const ABSENT = 0;
/** Steps of a tile and bytes of its frame besides those for the window, as in common.as.ts. */
const TILE = 64;
const FRAME_BYTES = 16 + TILE * 20;
/** Most runs of tiles that have sums of weight gradients of their own. */
const MOST_SPANS = 32;

function addressOf(context: WasmKernelContext, tensor: Tensor | undefined): number {
  return tensor ? context.address(tensor) : ABSENT;
}

/** Address, and strides of batch and row in bytes. */
function rowsOf(context: WasmKernelContext, tensor: Tensor | undefined): number[] {
  return tensor ? [context.address(tensor), tensor.strides[0]! * 4, tensor.strides[1]! * 4] : [ABSENT, 0, 0];
}

function access(context: WasmKernelContext, { inputs, outputs }: KernelCall, scratch: readonly Range[]): Access {
  const ranges = (tensors: KernelCall["inputs"]): Range[] =>
    Object.values(tensors).flatMap((tensor) => (tensor ? [context.range(tensor)] : []));
  return { reads: ranges(inputs), writes: [...ranges(outputs), ...scratch] };
}

/** Arguments that forward and backward share, in the order of common.as.ts. */
function commonWords(context: WasmKernelContext, { axes, inputs, params }: KernelCall, frames: number): number[] {
  const flags = (params["activation"] === "silu" ? SILU : 0) | (params["reverse"] ? REVERSE : 0);
  return [
    ...["batch", "length", "channels", "window"].map((name) => axes[name]!),
    flags,
    ...rowsOf(context, inputs["x"]),
    context.address(inputs["weight"]!),
    ...["bias", "initialState", "segmentIds"].map((name) => addressOf(context, inputs[name])),
    frames,
  ];
}

function framesFor(context: WasmKernelContext, { axes }: KernelCall): Range {
  const bytes = context.threads * (axes["window"]! * 64 + FRAME_BYTES);
  return [context.scratch(bytes), bytes];
}

const causalConv: WasmKernel = (context, call) => {
  const frames = framesFor(context, call);
  const words = commonWords(context, call, frames[0]);
  words.push(context.address(call.outputs["y"]!), context.address(call.outputs["finalState"]!));
  context.command("causalConvForward", words, access(context, call, [frames]));
};

const causalConvBackward: WasmKernel = (context, call) => {
  const { inputs, outputs, axes } = call;
  const frames = framesFor(context, call);
  const spans = Math.min(MOST_SPANS, Math.max(1, Math.ceil(axes["length"]! / TILE)));
  const bytes = axes["batch"]! * spans * Math.ceil(axes["channels"]! / 4) * (axes["window"]! + 1) * 16;
  const sums: Range = [context.scratch(bytes), bytes];
  const words = commonWords(context, call, frames[0]);
  words.push(
    ...rowsOf(context, inputs["dy"]),
    addressOf(context, inputs["dFinalState"]),
    context.address(outputs["dx"]!),
    context.address(outputs["dWeight"]!),
    addressOf(context, outputs["dBias"]),
    addressOf(context, outputs["dInitialState"]),
    sums[0],
    spans,
  );
  context.command("causalConvBackward", words, access(context, call, [frames, sums]));
};

/** One step of the convolution in wasm memory. */
export interface ConvStep {
  readonly batch: number;
  readonly channels: number;
  readonly window: number;
  /** Rows [batch channels] and the bytes from one to the next. */
  readonly x: { readonly address: number; readonly rowStride: number; readonly range: Range };
  readonly y: { readonly address: number; readonly range: Range };
  readonly weight: Tensor;
  readonly bias: Tensor | undefined;
  readonly state: Tensor;
  readonly activated: boolean;
}

/** The words of one step. */
export function convStepWords(context: WasmKernelContext, step: ConvStep): number[] {
  const { batch, channels, window, x, y, weight, bias, state } = step;
  return [
    ...[batch, channels, window, step.activated ? 1 : 0, x.address, x.rowStride],
    ...[context.address(weight), addressOf(context, bias), context.address(state), y.address],
  ];
}

/** Appends the command of one step; the state changes in place. */
export function encodeConvStep(context: WasmKernelContext, step: ConvStep): void {
  const { x, y, weight, bias, state } = step;
  const words = convStepWords(context, step);
  const reads = [x.range, context.range(weight), context.range(state)];
  if (bias) reads.push(context.range(bias));
  context.command("convUpdate", words, { reads, writes: [context.range(state), y.range] });
}

const convUpdate: WasmKernel = (context, { axes, inputs, outputs, params }) => {
  const { x, weight, bias, state } = inputs as Record<string, Tensor>;
  const y = outputs["y"]!;
  encodeConvStep(context, {
    ...{ batch: axes["batch"]!, channels: axes["channels"]!, window: axes["window"]! },
    x: { address: context.address(x!), rowStride: x!.strides[0]! * 4, range: context.range(x!) },
    y: { address: context.address(y), range: context.range(y) },
    ...{ weight: weight!, bias, state: state! },
    activated: params["activation"] === "silu",
  });
};

/** Wasm kernels of this folder. */
export const causalConvWasm = {
  causalConv,
  causalConvBackward,
  convUpdate,
} as const satisfies Record<string, WasmKernel>;
