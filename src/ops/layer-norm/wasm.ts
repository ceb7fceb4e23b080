import { f32, leadingRows, type Range, rowWords, type WasmKernel } from "../../backends/wasm/index.ts";
import { addChunks, addressOr0, rangesOf, rowChunk, stridesOf } from "../rms-norm/wasm.ts";

const FLOAT_BYTES = 4;

const layerNorm: WasmKernel = (context, { inputs, outputs, params }) => {
  const x = inputs["x"]!;
  const { weight, bias, residual } = inputs;
  const y = outputs["y"]!;
  if (y.size === 0) return;
  const rows = leadingRows(x.shape, stridesOf([x, residual]));
  const words = [
    ...[rows.rows, rows.columns, rows.sizes.length, f32(params["epsilon"] as number)],
    ...[addressOr0(context, weight), addressOr0(context, bias)],
    ...[context.address(y), addressOr0(context, outputs["sum"])],
    ...[context.address(x), addressOr0(context, residual)],
    ...rowWords(rows, FLOAT_BYTES),
  ];
  context.command("layerNorm", words, {
    reads: rangesOf(context, [x, weight, bias, residual]),
    writes: rangesOf(context, [y, outputs["sum"]]),
  });
};

const layerNormBackward: WasmKernel = (context, { inputs, outputs, params }) => {
  const x = inputs["x"]!;
  const { weight, dy, dsum } = inputs;
  const { dx, dweight, dbias } = outputs;
  const rows = leadingRows(x.shape, stridesOf([x, dy, dsum]));
  const chunk = rowChunk(rows.rows);
  const chunks = Math.ceil(rows.rows / chunk);
  const bytes = chunks * rows.columns * FLOAT_BYTES;
  const sums = [dweight, dbias].map((made): Range => (made ? [context.scratch(bytes), bytes] : [0, 0]));
  const words = [
    ...[rows.rows, rows.columns, rows.sizes.length, chunk, f32(params["epsilon"] as number)],
    ...[addressOr0(context, weight), context.address(dx!), ...sums.map(([address]) => address)],
    ...[context.address(x), context.address(dy!), addressOr0(context, dsum)],
    ...rowWords(rows, FLOAT_BYTES),
  ];
  context.command("layerNormBackward", words, {
    reads: rangesOf(context, [x, weight, dy, dsum]),
    writes: [context.range(dx!), ...sums],
  });
  if (dweight) addChunks(context, chunks, sums[0]!, dweight);
  if (dbias) addChunks(context, chunks, sums[1]!, dbias);
};

/** Wasm kernels of this folder. */
export const layerNormWasm = { layerNorm, layerNormBackward } as const satisfies Record<string, WasmKernel>;
