import { f32, type Range, type WasmKernel } from "../../backends/wasm/index.ts";
import { streamWords } from "../random/wasm.ts";

const FLOAT_BYTES = 4;

const dropout: WasmKernel = (context, { inputs, outputs, axes, params }) => {
  const x = inputs["x"]!;
  const y = outputs["y"]!;
  if (y.size === 0) return;
  const [outer, middle, inner] = [axes["outer"]!, axes["middle"]!, axes["inner"]!];
  const count = outer * inner;
  const factors: Range = [context.scratch(count * FLOAT_BYTES), count * FLOAT_BYTES];
  const { threshold, scale } = params as { threshold: number; scale: number };
  context.command("dropoutFactors", [count, factors[0], ...streamWords(params), threshold, f32(scale)], {
    reads: [],
    writes: [factors],
  });
  const strides = [x.strides[0]! * FLOAT_BYTES, x.strides[1]! * FLOAT_BYTES];
  const words = [outer, middle, inner, context.address(y), context.address(x), ...strides, factors[0]];
  context.command("dropoutApply", words, { reads: [context.range(x), factors], writes: [context.range(y)] });
};

/** Wasm kernels of this folder. */
export const dropoutWasm = { dropout } as const satisfies Record<string, WasmKernel>;
