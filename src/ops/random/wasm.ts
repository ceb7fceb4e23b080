import type { WasmKernel } from "../../backends/wasm/index.ts";
import type { Params } from "../../tensor/device.ts";
import { denseStrides } from "../../tensor/shape.ts";
import { copyElements, placeOf } from "../movement/wasm.ts";

const FLOAT_BYTES = 4;

/** Words of seed and stream. */
export function streamWords(params: Params): number[] {
  return [params["seedLow"], params["seedHigh"], params["stream"]].map((word) => (word as number) | 0);
}

const fillUniform: WasmKernel = (context, { inputs, params }) => {
  const y = inputs["y"]!;
  if (y.size === 0) return;
  const bytes = y.size * FLOAT_BYTES;
  const address = y.dense ? context.address(y) : context.scratch(bytes);
  context.command("fillUniform", [y.size, address, ...streamWords(params)], {
    reads: [],
    writes: [[address, bytes]],
  });
  if (y.dense) return;
  const from = { address, strides: denseStrides(y.shape) };
  copyElements(context, { shape: y.shape, width: FLOAT_BYTES }, placeOf(context, y), from);
};

/** Wasm kernels of this folder. */
export const randomWasm = { fillUniform } as const satisfies Record<string, WasmKernel>;
