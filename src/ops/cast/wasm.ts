import { mergeRows, rowWords, type WasmKernel } from "../../backends/wasm/index.ts";
import { bytesPerElement, type DType } from "../../tensor/dtype.ts";

/** Types in the order of `kernel.gen.mjs`. */
const types: readonly DType[] = ["float32", "float16", "bfloat16", "int32", "uint32", "uint8"];

const exponentBits: Partial<Record<DType, number>> = { float32: 0x7f800000, float16: 0x7c00, bfloat16: 0x7f80 };

const cast: WasmKernel = (context, { inputs, outputs }) => {
  const x = inputs["x"]!;
  const y = outputs["y"]!;
  if (y.size === 0) return;
  const width = bytesPerElement(x.dtype);
  const rows = mergeRows(x.shape, [x.strides], true);
  const words = [
    ...[rows.columns, rows.rows, rows.sizes.length, context.address(y), context.address(x)],
    ...[types.indexOf(x.dtype) * types.length + types.indexOf(y.dtype), width, bytesPerElement(y.dtype)],
    ...rowWords(rows, width),
  ];
  context.command("cast", words, { reads: [context.range(x)], writes: [context.range(y)] });
};

const markNonFinite: WasmKernel = (context, { inputs }) => {
  const x = inputs["x"]!;
  const found = inputs["found"]!;
  if (x.size === 0) return;
  const width = bytesPerElement(x.dtype);
  const rows = mergeRows(x.shape, [x.strides], true);
  const words = [
    ...[rows.columns, rows.rows, rows.sizes.length, context.address(x)],
    ...[width, exponentBits[x.dtype]!, context.address(found)],
    ...rowWords(rows, width),
  ];
  context.command("markNonFinite", words, { reads: [context.range(x)], writes: [context.range(found)] });
};

/** Wasm kernels of this folder. */
export const castWasm = { cast, markNonFinite } as const satisfies Record<string, WasmKernel>;
