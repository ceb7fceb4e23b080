import type { Bound, Program, WebgpuKernel, WebgpuKernelContext } from "../../backends/webgpu/index.ts";
import type { KernelCall } from "../../tensor/device.ts";
import { sumRows } from "../reduce/webgpu.ts";
import {
  finalProgram,
  forwardProgram,
  initialProgram,
  inputProgram,
  slopeProgram,
  weightProgram,
} from "./segments.webgpu.ts";
import { convUpdate } from "./update.webgpu.ts";
import { type Prepared, prepare, WORKGROUP } from "./variant.webgpu.ts";
import { walkBackProgram, walkOf, walkProgram } from "./walk.webgpu.ts";

/** Steps that a thread walks at most. */
const FORWARD_STEPS = 32;
const BACKWARD_STEPS = 64;

/** Runs a program with whatever of the operands it reads. */
function run(
  context: WebgpuKernelContext,
  own: Program,
  bound: Readonly<Record<string, Bound>>,
  values: Readonly<Record<string, number>>,
  threads: number,
): void {
  const operands = own.bindings.map(({ name }) => bound[name]!);
  context.dispatch(own, operands, values, Math.ceil(threads / WORKGROUP));
}

const causalConv: WebgpuKernel = (context, call) => {
  const prepared = prepare(context, call);
  const { variant, bound, values } = prepared;
  const { y, finalState } = call.outputs;
  if (variant.has.has("segmentIds")) {
    run(context, forwardProgram(variant), { ...bound, y: y! }, values, values["count"]!);
  } else if (y!.size > 0) {
    const walk = walkOf(prepared, FORWARD_STEPS, y!.offset);
    run(context, walkProgram(variant, walk), { ...bound, y: y! }, walk.values, walk.threads);
  }
  if (finalState!.size === 0) return;
  run(context, finalProgram(variant), { ...bound, finalState: finalState! }, values, finalState!.size);
};

/** Sums over `rows` pieces of time: of the weight's gradient [rows channels window], and after them the bias's [rows channels]. */
interface Partials {
  readonly bound: Bound;
  readonly rows: number;
}

const causalConvBackward: WebgpuKernel = (context, call) => {
  const prepared = prepare(context, call);
  const hasSegments = prepared.variant.has.has("segmentIds");
  const isWalked = !hasSegments && prepared.values["count"]! > 0;
  const { bound, rows } = (isWalked ? walkBack : bySegments)(context, call, prepared);
  const { dWeight, dBias } = call.outputs;
  const weights = { bound, offset: 0, rowStride: dWeight!.size, columnStride: 1, batchStride: 0 };
  sumRows(context, weights, rows, dWeight!);
  if (!dBias) return;
  sumRows(context, { ...weights, offset: rows * dWeight!.size, rowStride: dBias.size }, rows, dBias);
};

function makePartials(context: WebgpuKernelContext, { variant, values }: Prepared, rows: number, more = 0): Partials {
  return { bound: context.scratch(4 * Math.max(1, rows * (variant.window + 1) * values["channels"]! + more)), rows };
}

function walkBack(context: WebgpuKernelContext, { outputs }: KernelCall, prepared: Prepared): Partials {
  const { dx, dInitialState } = outputs;
  const initial = dInitialState?.size ?? 0;
  const walk = walkOf(prepared, BACKWARD_STEPS, dx!.offset);
  const partials = makePartials(context, prepared, walk.rows, initial);
  const { variant, values } = prepared;
  const program = walkBackProgram(variant, walk, initial > 0);
  run(context, program, { ...prepared.bound, dx: dx!, partial: partials.bound }, walk.values, walk.threads);
  if (dInitialState && initial > 0) {
    const at = walk.rows * (variant.window + 1) * values["channels"]!;
    context.copy(partials.bound, at, dInitialState, dInitialState.offset, initial);
  }
  return partials;
}

function bySegments(context: WebgpuKernelContext, { outputs }: KernelCall, prepared: Prepared): Partials {
  const { variant, bound, values } = prepared;
  const { dx, dInitialState } = outputs;
  const [count, chunks] = [values["count"]!, values["chunks"]!];
  const own: Record<string, Bound> = { ...bound, ds: context.scratch(4 * Math.max(1, count)) };
  run(context, slopeProgram(variant), own, values, count);
  run(context, inputProgram(variant), { ...own, dx: dx! }, values, count);
  if (dInitialState && dInitialState.size > 0) {
    run(context, initialProgram(variant), { ...own, dInitialState }, values, dInitialState.size);
  }
  const partials = makePartials(context, prepared, chunks);
  run(context, weightProgram(variant), { ...own, partial: partials.bound }, values, chunks * values["channels"]!);
  return partials;
}

/** WebGPU kernels of this folder. */
export const causalConvWebgpu = {
  causalConv,
  causalConvBackward,
  convUpdate,
} as const satisfies Record<string, WebgpuKernel>;
