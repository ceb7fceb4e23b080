import { f32, type Range, type WasmKernel } from "../../backends/wasm/index.ts";

const FLOAT_BYTES = 4;

/** A float64 as two words. */
function f64(value: number): number[] {
  return [...new Int32Array(Float64Array.of(value).buffer)];
}

const rotary: WasmKernel = (context, { inputs, outputs, axes, params }) => {
  const x = inputs["x"]!;
  const y = outputs["y"]!;
  if (y.size === 0) return;
  const { batch, length, heads, width } = axes as { batch: number; length: number; heads: number; width: number };
  const { offset, base, inverse } = params as { offset: number; base: number; inverse: boolean };
  // cosines and sines of one token for each thread, whole vectors
  const tableBytes = 2 * Math.ceil(width / 8) * 16;
  const tables: Range = [context.scratch(tableBytes * context.threads), tableBytes * context.threads];
  const words = [
    ...[batch, length, heads, width, ...f64(offset), ...f64(base ** (-2 / width)), f32(inverse ? -1 : 1)],
    ...[context.address(x), ...x.strides.slice(0, 3).map((stride) => stride * FLOAT_BYTES)],
    ...[context.address(y), tables[0], tableBytes],
  ];
  context.command("rotary", words, { reads: [context.range(x)], writes: [context.range(y), tables] });
};

/** Wasm kernels of this folder. */
export const rotaryWasm = { rotary } as const satisfies Record<string, WasmKernel>;
