import { f32, type Range, type WasmKernel, type WasmKernelContext } from "../../backends/wasm/index.ts";
import type { KernelCall } from "../../tensor/device.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import { addressOr0, rangesOf } from "../rms-norm/wasm.ts";

const FLOAT_BYTES = 4;
/** Mirror of common.as.ts. */
const TILE_BYTES = 144;

/** A tile for each thread. */
function tilesOf(context: WasmKernelContext): Range {
  const bytes = TILE_BYTES * context.threads;
  return [context.scratch(bytes), bytes];
}

/**
 * Sizes and scale, then for q, k and v the address and the strides of batch, token and head in bytes, then segments or 0, then
 * the tiles.
 */
function commonWords(context: WasmKernelContext, { inputs, axes, params }: KernelCall, tiles: Range): number[] {
  const sizes = ["batch", "length", "keys", "heads", "width"].map((axis) => axes[axis]!);
  const operands = [inputs["q"]!, inputs["k"]!, inputs["v"]!].flatMap((operand) => placeWords(context, operand));
  return [...sizes, f32(params["scale"] as number), ...operands, addressOr0(context, inputs["segmentIds"]), tiles[0]];
}

function placeWords(context: WasmKernelContext, operand: Tensor): number[] {
  return [context.address(operand), ...operand.strides.slice(0, 3).map((stride) => stride * FLOAT_BYTES)];
}

const attention: WasmKernel = (context, call) => {
  const { inputs, outputs } = call;
  const { y, logSumExp } = outputs;
  if (y!.size === 0) return;
  const tiles = tilesOf(context);
  const words = [...commonWords(context, call, tiles), context.address(y!), context.address(logSumExp!)];
  context.command("attention", words, {
    reads: rangesOf(context, Object.values(inputs)),
    writes: [tiles, ...rangesOf(context, [y, logSumExp])],
  });
};

const attentionBackward: WasmKernel = (context, call) => {
  const { inputs, outputs } = call;
  const { y, logSumExp, dy } = inputs;
  const { dq, dk, dv } = outputs;
  if (dy!.size === 0) return;
  const bytes = logSumExp!.size * FLOAT_BYTES;
  const shared: Range = [context.scratch(bytes), bytes];
  const tiles = tilesOf(context);
  const words = [
    ...commonWords(context, call, tiles),
    ...[y!, logSumExp!, dy!].map((tensor) => context.address(tensor)),
    ...[shared[0], context.address(dq!), context.address(dk!), context.address(dv!)],
  ];
  const reads = rangesOf(context, Object.values(inputs));
  context.command("attentionQueries", words, { reads, writes: [shared, tiles, context.range(dq!)] });
  context.command("attentionKeys", words, {
    reads: [...reads, shared],
    writes: [tiles, ...rangesOf(context, [dk, dv])],
  });
};

/** Wasm kernels of this folder. */
export const attentionWasm = { attention, attentionBackward } as const satisfies Record<string, WasmKernel>;
