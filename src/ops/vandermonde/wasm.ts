import { f32, type Range, type WasmKernel, type WasmKernelContext } from "../../backends/wasm/index.ts";
import type { Tensor } from "../../tensor/tensor.ts";

const FLOAT_BYTES = 4;
/** Powers of the steps of a block, and of its first: complex numbers of four lanes. */
const TABLE_BYTES = 65 * 32;

/** Address, and strides of channels and states in bytes. */
function pairs(context: WasmKernelContext, x: Tensor): number[] {
  return [context.address(x), x.strides[0]! * FLOAT_BYTES, x.strides[1]! * FLOAT_BYTES];
}

function tables(context: WasmKernelContext): Range {
  const bytes = TABLE_BYTES * context.threads;
  return [context.scratch(bytes), bytes];
}

const vandermonde: WasmKernel = (context, { inputs, outputs, axes, params }) => {
  const [v, x, k] = [inputs["v"]!, inputs["x"]!, outputs["k"]!];
  if (k.size === 0) return;
  const { channels, state, length } = axes as { channels: number; state: number; length: number };
  const table = tables(context);
  const factor = f32(params["conjugate"] ? 2 : 1);
  const words = [...pairs(context, v), ...pairs(context, x), context.address(k)];
  context.command("vandermonde", [...words, channels, state, length, factor, table[0]], {
    reads: [context.range(v), context.range(x)],
    writes: [context.range(k), table],
  });
};

const vandermondeBackward: WasmKernel = (context, { inputs, outputs, axes, params }) => {
  const [v, x, dk] = [inputs["v"]!, inputs["x"]!, inputs["dk"]!];
  const [dv, dx] = [outputs["dv"]!, outputs["dx"]!];
  if (dv.size === 0) return;
  const { channels, state, length } = axes as { channels: number; state: number; length: number };
  const table = tables(context);
  const factor = f32(params["conjugate"] ? 2 : 1);
  const rows = [context.address(dk), dk.strides[0]! * FLOAT_BYTES];
  const words = [...pairs(context, v), ...pairs(context, x), ...rows, channels, state, length, factor, table[0]];
  context.command("vandermondeBackward", [...words, context.address(dv), context.address(dx)], {
    reads: [context.range(v), context.range(x), context.range(dk)],
    writes: [context.range(dv), context.range(dx), table],
  });
};

/** Wasm kernels of this folder. */
export const vandermondeWasm = { vandermonde, vandermondeBackward } as const satisfies Record<string, WasmKernel>;
