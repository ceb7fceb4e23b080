import { type Access, f32, type Range, type WasmKernel, type WasmKernelContext } from "../../backends/wasm/index.ts";
import type { KernelCall } from "../../tensor/device.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import { CHUNK } from "./chunk.ts";

/** Mirrors of scan-common.as.ts. */
const BLOCK = 4;
const flag = { softplus: 1, reverse: 2, constantB: 4, constantC: 8 };

/** With fewer blocks of channels than this, time is cut into spans as well. */
const ENOUGH_BLOCKS = 16;
const MOST_SPANS = 16;
/** A span is worth its extra pass from this many chunks on. */
const SPAN_CHUNKS = 4;
/** Slices of channels that backward sums the gradients of B and C over before it adds them up. */
const MOST_SLICES = 16;

/** Sizes of a scan and what follows from them; depends on shapes alone, so results are the same for any threads. */
interface Plan {
  readonly batch: number;
  readonly length: number;
  readonly channels: number;
  readonly states: number;
  readonly groups: number;
  /** Vectors of four channels; a group starts a new one. */
  readonly quads: number;
  readonly spans: number;
  readonly slices: number;
}

function planOf({ axes, inputs }: KernelCall): Plan {
  const [batch, length, channels, states] = ["batch", "length", "channels", "state"].map((name) => axes[name]!) as [
    number,
    number,
    number,
    number,
  ];
  const groups = (inputs["B"] ?? inputs["C"])?.shape[2] ?? 1;
  const quads = groups * Math.ceil(channels / groups / 4);
  const rows = batch * Math.ceil(quads / BLOCK);
  const chunks = Math.ceil(length / CHUNK);
  const spans = rows >= ENOUGH_BLOCKS ? 1 : Math.max(1, Math.min(MOST_SPANS, Math.floor(chunks / SPAN_CHUNKS)));
  const slices = Math.max(1, Math.min(quads, Math.ceil(MOST_SLICES / groups)));
  return { batch, length, channels, states, groups, quads, spans, slices };
}

const ABSENT = 0;

function addressOf(context: WasmKernelContext, tensor: Tensor | undefined): number {
  return tensor ? context.address(tensor) : ABSENT;
}

/** Address and strides in bytes of all axes but the last `inner`. */
function strided(context: WasmKernelContext, tensor: Tensor | undefined, axes: number): number[] {
  const strides = tensor ? tensor.strides.slice(0, axes).map((stride) => stride * 4) : new Array<number>(axes).fill(0);
  return [addressOf(context, tensor), ...strides];
}

function flagsOf({ inputs, params }: KernelCall): number {
  return (
    (params["deltaSoftplus"] ? flag.softplus : 0) |
    (params["reverse"] ? flag.reverse : 0) |
    (inputs["constantB"] ? flag.constantB : 0) |
    (inputs["constantC"] ? flag.constantC : 0)
  );
}

/** Everything a call touches. */
function access(context: WasmKernelContext, { inputs, outputs }: KernelCall, scratch: readonly Range[]): Access {
  const ranges = (tensors: KernelCall["inputs"]): Range[] =>
    Object.values(tensors).flatMap((tensor) => (tensor ? [context.range(tensor)] : []));
  return { reads: [...ranges(inputs), ...scratch], writes: [...ranges(outputs), ...scratch] };
}

/** A parameter [channels state] as vectors of four channels, times a factor; in scratch. */
function asQuads(context: WasmKernelContext, plan: Plan, parameter: Tensor, factor: number): Range {
  const bytes = plan.quads * plan.states * 16;
  const to: Range = [context.scratch(bytes), bytes];
  const { batch, length, channels, states, groups } = plan;
  const words = [batch, length, channels, states, groups, ...new Array<number>(COMMON_WORDS - 5).fill(0)];
  words.push(context.address(parameter), to[0], f32(factor));
  context.command("selectiveScanQuads", words, { reads: [context.range(parameter)], writes: [to] });
  return to;
}

/** Words of the arguments that forward and backward share. */
const COMMON_WORDS = 35;

interface Encoded {
  readonly words: number[];
  readonly scratch: Range[];
}

/** The shared arguments, in the order of scan-common.as.ts. */
function commonWords(
  context: WasmKernelContext,
  call: KernelCall,
  plan: Plan,
  threadBytes: number,
  outputs: Readonly<Record<"finalState" | "segmentStates" | "chunkStates", Tensor | undefined>>,
): Encoded {
  const { inputs, params } = call;
  const { batch, length, channels, states, groups, quads, spans } = plan;
  const scratch: Range[] = [];
  const reserve = (bytes: number): number => {
    const address = context.scratch(bytes);
    scratch.push([address, bytes]);
    return address;
  };
  const quadsOf = (parameter: Tensor, factor: number): number => {
    const range = asQuads(context, plan, parameter, factor);
    scratch.push(range);
    return range[0];
  };
  const decay = quadsOf(inputs["A"]!, Math.LOG2E);
  const selective = (name: "B" | "C"): number[] => {
    const constant = inputs[`constant${name}`];
    return constant ? [quadsOf(constant, 1), 0, 0, 0] : strided(context, inputs[name], 3);
  };
  const b = selective("B");
  const c = selective("C");
  const spanBytes = spans > 1 ? batch * quads * spans * (states * 16 + 32) : 0;
  const words = [
    ...[batch, length, channels, states, groups, flagsOf(call), spans],
    reserve(threadBytes * context.threads),
    spanBytes > 0 ? reserve(spanBytes) : ABSENT,
    addressOf(context, inputs["segmentIds"]),
    Number(params["segments"] ?? 0),
    ...strided(context, inputs["u"], 2),
    ...strided(context, inputs["delta"], 2),
    ...strided(context, inputs["z"], 2),
    ...b,
    ...c,
    decay,
    addressOf(context, inputs["D"]),
    addressOf(context, inputs["deltaBias"]),
    addressOf(context, inputs["initialState"]),
    addressOf(context, outputs.chunkStates),
    addressOf(context, outputs.finalState),
    addressOf(context, outputs.segmentStates),
  ];
  return { words, scratch };
}

const selectiveScan: WasmKernel = (context, call) => {
  const plan = planOf(call);
  const { finalState, segmentStates, chunkStates, y } = call.outputs;
  const frames = BLOCK * (plan.states * 16 + 32) + 32;
  const { words, scratch } = commonWords(context, call, plan, frames, { finalState, segmentStates, chunkStates });
  words.push(context.address(y!));
  // the kernel writes the end states of segments that occur
  if (segmentStates && segmentStates.size > 0) {
    const range = context.range(segmentStates);
    context.command("clearBytes", [...range], { reads: [], writes: [range] });
  }
  context.command("selectiveScanForward", words, access(context, call, scratch));
};

const selectiveScanBackward: WasmKernel = (context, call) => {
  const plan = planOf(call);
  const { inputs, outputs } = call;
  const { batch, length, groups, states, quads, spans, slices } = plan;
  const threadBytes = states * 64 + 32 + CHUNK * (states * 16 + 16) + (states * 48 + 32);
  const { words, scratch } = commonWords(context, call, plan, threadBytes, {
    chunkStates: inputs["chunkStates"],
    finalState: undefined,
    segmentStates: undefined,
  });
  const reserve = (bytes: number): number => {
    const address = context.scratch(bytes);
    scratch.push([address, bytes]);
    return address;
  };
  const partialBytes = slices * batch * length * groups * states * 4;
  const spare = (name: string, bytes: number): number => {
    // the kernel writes gradients of u, delta and A always; those that nobody wants go to scratch
    const output = outputs[name];
    return output ? context.address(output) : reserve(bytes);
  };
  const rows = batch * length * plan.channels * 4;
  words.push(
    ...strided(context, inputs["dy"], 2),
    addressOf(context, inputs["dFinalState"]),
    addressOf(context, inputs["dSegmentStates"]),
    spare("du", rows),
    spare("dDelta", rows),
    addressOf(context, outputs["dz"]),
    addressOf(context, outputs["dInitialState"]),
    inputs["constantB"] ? ABSENT : reserve(partialBytes),
    inputs["constantC"] ? ABSENT : reserve(partialBytes),
    reserve(batch * spans * quads * (states * 48 + 32)),
    slices,
    spare("dA", plan.channels * states * 4),
    spare(inputs["constantB"] ? "dConstantB" : "dB", batch * length * groups * states * 4),
    spare(inputs["constantC"] ? "dConstantC" : "dC", batch * length * groups * states * 4),
    addressOf(context, outputs["dD"]),
    addressOf(context, outputs["dDeltaBias"]),
  );
  context.command("selectiveScanBackward", words, access(context, call, scratch));
};

/** Wasm kernels of this folder. */
export const selectiveScanWasm = { selectiveScan, selectiveScanBackward } as const satisfies Record<string, WasmKernel>;
