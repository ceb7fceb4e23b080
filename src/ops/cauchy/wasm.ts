import type { Range, WasmKernel, WasmKernelContext } from "../../backends/wasm/index.ts";
import type { KernelCall } from "../../tensor/device.ts";
import type { Tensor } from "../../tensor/tensor.ts";

const FLOAT_BYTES = 4;

/** Address, and strides of all axes but the last in bytes. */
function pairs(context: WasmKernelContext, x: Tensor): number[] {
  return [context.address(x), ...x.strides.slice(0, -1).map((stride) => stride * FLOAT_BYTES)];
}

interface Shared {
  /** Arguments from v to the bytes of scratch a thread. */
  readonly words: readonly number[];
  readonly reads: readonly Range[];
  readonly scratch: Range;
}

/** What both directions have in common; `more` are bytes of scratch besides poles and residues. */
function encodeShared(context: WasmKernelContext, { inputs, axes, params }: KernelCall, more: number): Shared {
  const [v, w] = [inputs["v"]!, inputs["w"]!];
  const { products, channels, state } = axes as { products: number; channels: number; state: number };
  const length = params["length"] as number;
  const nodes = Math.floor(length / 2) + 1;
  const bytes = 2 * FLOAT_BYTES * nodes;
  const turns: Range = [context.scratch(bytes), bytes];
  context.command("cauchyTurns", [turns[0], nodes, length], { reads: [], writes: [turns] });
  const own = (1 + products) * state * 32 + more;
  const scratch: Range = [context.scratch(context.threads * own), context.threads * own];
  return {
    words: [
      ...[...pairs(context, v), ...pairs(context, w), products, channels, state, nodes, length],
      ...[turns[0], scratch[0], own],
    ],
    reads: [turns, context.range(v), context.range(w)],
    scratch,
  };
}

const cauchy: WasmKernel = (context, call) => {
  const q = call.outputs["q"]!;
  if (q.size === 0) return;
  const { words, reads, scratch } = encodeShared(context, call, 64 * call.axes["state"]!);
  context.command("cauchy", [...words, context.address(q)], { reads, writes: [context.range(q), scratch] });
};

const cauchyBackward: WasmKernel = (context, call) => {
  const dq = call.inputs["dq"]!;
  const [dv, dw] = [call.outputs["dv"]!, call.outputs["dw"]!];
  if (dw.size === 0) return;
  const { words, reads, scratch } = encodeShared(context, call, 128 + 32 * (call.axes["products"]! + 1));
  context.command("cauchyBackward", [...words, ...pairs(context, dq), context.address(dv), context.address(dw)], {
    reads: [...reads, context.range(dq)],
    writes: [context.range(dv), context.range(dw), scratch],
  });
};

/** Wasm kernels of this folder. */
export const cauchyWasm = { cauchy, cauchyBackward } as const satisfies Record<string, WasmKernel>;
