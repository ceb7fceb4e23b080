import { type Access, f32, type Range, type WasmKernel, type WasmKernelContext } from "../../backends/wasm/index.ts";
import type { KernelCall } from "../../tensor/device.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import { convStepWords, encodeConvStep } from "../causal-conv/wasm.ts";
import { encodeProduct } from "../matmul/product.ts";
import { weightOperand, weightTypeNumber } from "../matmul/weight.ts";
import { encodeStateStep, type StepRows, stateStepWords } from "../state-update/wasm.ts";

const FLOAT_BYTES = 4;
/** Channels that one thread takes in kernel.as.ts, the sums of gemm.as.ts and blocks.as.ts. */
const PART = 384;
/** Bytes of 32 rounded activations, and how many of them there are. */
const ROUNDED_BYTES = 72;
const ROUNDED_COLUMNS = 32;
const ALIGNMENT = 16;

/** Rows [batch width] in wasm memory. */
interface Rows {
  readonly address: number;
  readonly width: number;
  /** In bytes. */
  readonly rowStride: number;
  readonly range: Range;
}

/** Writes the commands of a block over rows [batch ...] in scratch. */
class BlockEncoder {
  readonly #context: WasmKernelContext;
  readonly #batch: number;

  constructor(context: WasmKernelContext, batch: number) {
    this.#context = context;
    this.#batch = batch;
  }

  scratch(width: number): Rows {
    const bytes = this.#batch * width * FLOAT_BYTES;
    const address = this.#context.scratch(bytes);
    return { address, width, rowStride: width * FLOAT_BYTES, range: [address, bytes] };
  }

  /** A dense tensor [batch width]. */
  tensor(x: Tensor): Rows {
    const width = x.shape[1]!;
    return { address: this.#context.address(x), width, rowStride: width * FLOAT_BYTES, range: this.#context.range(x) };
  }

  norm(x: Rows, epsilon: number, weight?: Tensor): Rows {
    const context = this.#context;
    const y = this.scratch(x.width);
    const scale = weight ? context.address(weight) : 0;
    const input = [x.address, 0, this.#batch, x.rowStride, 0] as const;
    const words = [this.#batch, x.width, 1, f32(epsilon), scale, y.address, 0, ...input];
    const reads = weight ? [x.range, context.range(weight)] : [x.range];
    context.command("rmsNorm", words, { reads, writes: [y.range] });
    return y;
  }

  linear(x: Rows, w: Tensor, bias?: Pick<Rows, "address" | "range">, y: Rows = this.scratch(w.shape[0]!)): Rows {
    const { address, rowStride, range } = x;
    encodeProduct(this.#context, {
      a: { address, rowStride, columnStride: FLOAT_BYTES, batchStride: 0, range },
      b: weightOperand(this.#context, w),
      y: { address: y.address, rowStride: y.rowStride, batchStride: 0, range: y.range },
      rows: this.#batch,
      inner: w.shape[1]!,
      columns: w.shape[0]!,
      bias,
    });
    return y;
  }

  vector(bias: Tensor | undefined): Pick<Rows, "address" | "range"> | undefined {
    return bias && { address: this.#context.address(bias), range: this.#context.range(bias) };
  }

  /** y = x + w a + bias; the residual of a single row is added as if it were the bias. */
  linearWithResidual(a: Rows, w: Tensor, bias: Tensor | undefined, x: Rows, y: Rows): void {
    if (this.#batch === 1 && !bias) {
      this.linear(a, w, x, y);
      return;
    }
    const product = this.linear(a, w, this.vector(bias));
    const words = [this.#batch * y.width, 1, 0, y.address, x.address, product.address, 1, 1];
    this.#context.command("add", words, { reads: [x.range, product.range], writes: [y.range] });
  }
}

/** Columns `start` to `start + width` of rows. */
function columns(rows: Rows, start: number, width: number): Rows {
  // written out: spreading would cost more than all the rest, and this runs for every layer of every token
  return { address: rows.address + start * FLOAT_BYTES, width, rowStride: rows.rowStride, range: rows.range };
}

/** Whether {@link encodeFused} takes a step: one sequence, packed weights of whole panels, as many parts for every thread. */
function isFusible({ threads }: WasmKernelContext, { inputs, axes }: KernelCall): boolean {
  const { batch, dInner, dModel, selection } = axes as Record<"batch" | "dInner" | "dModel" | "selection", number>;
  const packed = ["inProj", "xProj", "dtProj", "outProj"].every((name) => inputs[name]!.layout === "panels8");
  const whole = [dInner, dModel, selection].every((width) => width % 8 === 0);
  return batch === 1 && packed && whole && Math.ceil(dInner / PART) % threads === 0;
}

/** The two commands of a fused step, and all that they were made of. */
interface FusedStep {
  readonly key: readonly number[];
  readonly enter: { readonly words: readonly number[]; readonly access: Access };
  readonly leave: { readonly words: readonly number[]; readonly access: Access };
}

/** By the tensor of inProj: token after token a layer's weights, state and scratch lie where they did. */
const knownSteps = new WeakMap<Tensor, FusedStep>();

/** The step as two commands, with one barrier between them and one in the second. */
function encodeFused(context: WasmKernelContext, call: KernelCall): void {
  const scratch = new FusedScratch(call.axes);
  scratch.base = context.scratch(scratch.bytes);
  const { inputs, outputs, params } = call;
  const key = [scratch.base, context.address(outputs["y"]!), params["epsilon"] as number];
  key.push(params["mixerNormEpsilon"] as number);
  for (const name in inputs) key.push(inputs[name] ? context.address(inputs[name]) : 0);
  let step = knownSteps.get(inputs["inProj"]!);
  if (!step?.key.every((number, i) => number === key[i])) {
    step = { key, ...fusedCommands(context, call, scratch) };
    knownSteps.set(inputs["inProj"]!, step);
  }
  context.command("mambaEnter", step.enter.words, step.enter.access);
  context.command("mambaLeave", step.leave.words, step.leave.access);
}

/** What a fused step keeps between its commands, one after the other in one piece of scratch. */
class FusedScratch {
  base = 0;
  bytes = 0;
  readonly #ranges: Record<string, readonly [start: number, bytes: number]> = {};

  constructor(axes: Readonly<Record<string, number>>) {
    const { dInner, dModel, selection } = axes as Record<"dInner" | "dModel" | "selection", number>;
    const parts = Math.ceil(dInner / PART);
    this.#add("normed", dModel * FLOAT_BYTES);
    this.#add("roundedIn", Math.ceil(dModel / ROUNDED_COLUMNS) * ROUNDED_BYTES);
    this.#add("projected", 2 * dInner * FLOAT_BYTES);
    this.#add("u", dInner * FLOAT_BYTES);
    this.#add("roundedU", Math.ceil(dInner / ROUNDED_COLUMNS) * ROUNDED_BYTES);
    this.#add("selected", parts * selection * FLOAT_BYTES);
    this.#add("chosen", 2 * selection * FLOAT_BYTES);
    this.#add("delta", dInner * FLOAT_BYTES);
    this.#add("gated", dInner * FLOAT_BYTES);
    this.#add("roundedOut", Math.ceil(dInner / ROUNDED_COLUMNS) * ROUNDED_BYTES);
    this.#add("outParts", parts * dModel * FLOAT_BYTES);
  }

  #add(name: string, bytes: number): void {
    this.#ranges[name] = [this.bytes, bytes];
    this.bytes += Math.ceil(bytes / ALIGNMENT) * ALIGNMENT;
  }

  at(name: string): number {
    return this.base + this.#ranges[name]![0];
  }

  ranges(...names: string[]): Range[] {
    return names.map((name) => [this.at(name), this.#ranges[name]![1]]);
  }

  /** As rows, from the element `start` on. */
  rows(name: string, start = 0): StepRows {
    return { address: this.at(name) + start * FLOAT_BYTES, rowStride: 0, range: this.ranges(name)[0]! };
  }
}

function fusedCommands(
  context: WasmKernelContext,
  { inputs, outputs, axes, params }: KernelCall,
  scratch: FusedScratch,
): Omit<FusedStep, "key"> {
  const given = inputs as Record<string, Tensor>;
  const { dInner, dModel, dState, dtRank, selection } = axes as Record<
    "dInner" | "dModel" | "dState" | "dtRank" | "selection",
    number
  >;
  const weight = (name: string): number[] => {
    const w = given[name]!;
    return [context.address(w), weightTypeNumber(w), w.shape[1]!, w.shape[0]!];
  };
  const optional = (name: string): number => (given[name] ? context.address(given[name]) : 0);
  const ranges = (names: readonly string[]): Range[] =>
    names.flatMap((name) => (given[name] ? [context.range(given[name])] : []));
  const places = (...names: string[]): number[] => names.map((name) => scratch.at(name));
  const entered = scratch.ranges("normed", "roundedIn", "projected", "u", "roundedU", "selected");
  const convolution = convStepWords(context, {
    ...{ batch: 1, channels: dInner, window: axes["window"]!, x: scratch.rows("projected"), y: scratch.rows("u") },
    ...{ weight: given["convWeight"]!, bias: given["convBias"], state: given["conv"]!, activated: true },
  });
  const enter = {
    words: [
      ...[context.address(given["x"]!), optional("normWeight"), f32(params["epsilon"] as number), dModel, dInner],
      ...[
        ...places("normed", "roundedIn", "projected"),
        optional("inProjBias"),
        ...places("u", "roundedU", "selected"),
      ],
      ...[...weight("inProj"), ...weight("xProj"), ...convolution],
    ],
    access: {
      reads: ranges(["x", "conv", "normWeight", "inProj", "inProjBias", "convWeight", "convBias", "xProj"]),
      writes: [...entered, ...ranges(["conv"])],
    },
  };
  const epsilon = params["mixerNormEpsilon"] as number;
  const start = (epsilon > 0 ? selection : 0) + dtRank;
  const recurrence = stateStepWords(context, {
    ...{ batch: 1, channels: dInner, states: dState, groups: 1, deltaSoftplus: true },
    ...{ h: given["ssm"]!, A: given["A"]!, D: given["D"], deltaBias: given["dtBias"] },
    ...{ y: scratch.rows("gated"), u: scratch.rows("u"), delta: scratch.rows("delta") },
    z: scratch.rows("projected", dInner),
    ...{ B: scratch.rows("chosen", start), C: scratch.rows("chosen", start + dState) },
  });
  const y = outputs["y"]!;
  const leave = {
    words: [
      ...[...places("selected", "chosen"), dtRank, dState, f32(epsilon), dInner, dModel],
      ...[...places("delta", "gated", "roundedOut", "outParts"), context.address(given["x"]!), context.address(y)],
      ...[optional("outProjBias"), ...weight("dtProj"), ...weight("outProj"), ...recurrence],
    ],
    access: {
      reads: [...entered, ...ranges(["x", "ssm", "A", "D", "dtBias", "dtProj", "outProj", "outProjBias"])],
      writes: [
        ...scratch.ranges("chosen", "delta", "gated", "roundedOut", "outParts"),
        ...[context.range(y), ...ranges(["ssm"])],
      ],
      afterBarrier: {
        reads: [...scratch.ranges("outParts"), ...ranges(["x", "outProjBias"])],
        writes: [context.range(y)],
      },
    },
  };
  return { enter, leave };
}

const mambaBlockStep: WasmKernel = (context, call) => {
  if (isFusible(context, call)) encodeFused(context, call);
  else encodeParts(context, call);
};

/** The step as commands of other ops. */
function encodeParts(context: WasmKernelContext, { inputs, outputs, axes, params }: KernelCall): void {
  const given = inputs as Record<string, Tensor>;
  const { batch, dInner, dState, dtRank } = axes as Record<"batch" | "dInner" | "dState" | "dtRank", number>;
  const encoder = new BlockEncoder(context, batch);
  const x = encoder.tensor(given["x"]!);
  const normed = encoder.norm(x, params["epsilon"] as number, given["normWeight"]);
  const projected = encoder.linear(normed, given["inProj"]!, encoder.vector(given["inProjBias"]));
  const u = encoder.scratch(dInner);
  encodeConvStep(context, {
    batch,
    channels: dInner,
    window: axes["window"]!,
    x: columns(projected, 0, dInner),
    y: u,
    weight: given["convWeight"]!,
    bias: given["convBias"],
    state: given["conv"]!,
    activated: true,
  });
  const selection = encoder.linear(u, given["xProj"]!);
  const epsilon = params["mixerNormEpsilon"] as number;
  const part = (start: number, width: number): Rows => {
    const rows = columns(selection, start, width);
    return epsilon > 0 ? encoder.norm(rows, epsilon) : rows;
  };
  const delta = encoder.linear(part(0, dtRank), given["dtProj"]!);
  const gated = encoder.scratch(dInner);
  encodeStateStep(context, {
    batch,
    channels: dInner,
    states: dState,
    groups: 1,
    deltaSoftplus: true,
    h: given["ssm"]!,
    A: given["A"]!,
    D: given["D"],
    deltaBias: given["dtBias"],
    y: gated,
    u,
    delta,
    z: columns(projected, dInner, dInner),
    B: part(dtRank, dState),
    C: part(dtRank + dState, dState),
  });
  encoder.linearWithResidual(gated, given["outProj"]!, given["outProjBias"], x, encoder.tensor(outputs["y"]!));
}

/** Wasm kernels of this folder: the whole block as one run of commands. */
export const mambaBlockStepWasm = { mambaBlockStep } as const satisfies Record<string, WasmKernel>;
