import type { Range, WasmKernel, WasmKernelContext } from "../../backends/wasm/index.ts";
import type { Tensor } from "../../tensor/tensor.ts";

const SOFTPLUS = 1;
const ABSENT = 0;

/** Rows of one sample each, in wasm memory; strides in bytes. */
export interface StepRows {
  readonly address: number;
  /** From one sequence of the batch to the next. */
  readonly rowStride: number;
  /** From one group to the next, for B and C. */
  readonly groupStride?: number;
  readonly range: Range;
}

/** One step of the selective scan in wasm memory. */
export interface StateStep {
  readonly batch: number;
  readonly channels: number;
  readonly states: number;
  readonly groups: number;
  readonly deltaSoftplus: boolean;
  readonly h: Tensor;
  readonly A: Tensor;
  readonly D: Tensor | undefined;
  readonly deltaBias: Tensor | undefined;
  readonly y: Pick<StepRows, "address" | "range">;
  readonly u: StepRows;
  readonly delta: StepRows;
  readonly z: StepRows | undefined;
  readonly B: StepRows;
  readonly C: StepRows;
}

/** The words of one step. */
export function stateStepWords(context: WasmKernelContext, step: StateStep): number[] {
  const { h, A, D, deltaBias, y, u, delta, z, B, C } = step;
  const optional = (tensor: Tensor | undefined): number => (tensor ? context.address(tensor) : ABSENT);
  const words = [step.batch, step.channels, step.states, step.groups, step.deltaSoftplus ? SOFTPLUS : 0];
  words.push(context.address(h), context.address(A), optional(D), optional(deltaBias), y.address);
  words.push(u.address, u.rowStride, delta.address, delta.rowStride, z?.address ?? ABSENT, z?.rowStride ?? 0);
  words.push(B.address, B.rowStride, B.groupStride ?? 0, C.address, C.rowStride, C.groupStride ?? 0);
  return words;
}

/** Appends the command of one step; h changes in place. */
export function encodeStateStep(context: WasmKernelContext, step: StateStep): void {
  const { h, A, D, deltaBias, y, u, delta, z, B, C } = step;
  const words = stateStepWords(context, step);
  const reads = [context.range(h), context.range(A), u.range, delta.range, B.range, C.range];
  if (D) reads.push(context.range(D));
  if (deltaBias) reads.push(context.range(deltaBias));
  if (z) reads.push(z.range);
  context.command("stateUpdate", words, { reads, writes: [context.range(h), y.range] });
}

function rowsOf(context: WasmKernelContext, tensor: Tensor): StepRows {
  const [rowStride, groupStride] = tensor.strides.map((stride) => stride * 4) as [number, number];
  return { address: context.address(tensor), rowStride, groupStride, range: context.range(tensor) };
}

const stateUpdate: WasmKernel = (context, { axes, inputs, outputs, params }) => {
  const { h, u, delta, A, B, C, D, z, deltaBias } = inputs as Record<string, Tensor>;
  const y = outputs["y"]!;
  encodeStateStep(context, {
    ...{ batch: axes["batch"]!, channels: axes["channels"]!, states: axes["state"]!, groups: axes["groups"]! },
    deltaSoftplus: params["deltaSoftplus"] === true,
    ...{ h: h!, A: A!, D, deltaBias },
    y: { address: context.address(y), range: context.range(y) },
    ...{ u: rowsOf(context, u!), delta: rowsOf(context, delta!), z: z && rowsOf(context, z) },
    ...{ B: rowsOf(context, B!), C: rowsOf(context, C!) },
  });
};

/** Wasm kernels of this folder. */
export const stateUpdateWasm = { stateUpdate } as const satisfies Record<string, WasmKernel>;
