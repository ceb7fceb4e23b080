import type { WasmKernel } from "../../backends/wasm/index.ts";
import type { KernelCall } from "../../tensor/device.ts";

const FLOAT_BYTES = 4;
/** Elements that are summed in float32 before the sums are added in float64. */
const ROW_CHUNK = 4096;
const COLUMN_CHUNK = 128;
const BACKWARD_CHUNK = 64;

function sizes({ axes }: KernelCall): [outer: number, middle: number, inner: number] {
  return [axes["outer"]!, axes["middle"]!, axes["inner"]!];
}

const reduceSum: WasmKernel = (context, call) => {
  const [outer, middle, inner] = sizes(call);
  const x = call.inputs["x"]!;
  const y = call.outputs["y"]!;
  if (y.size === 0) return;
  const target = context.range(y);
  if (middle === 0) {
    context.command("clearBytes", target, { reads: [], writes: [target] });
    return;
  }
  const chunk = inner === 1 && x.strides[1] === 1 ? ROW_CHUNK : COLUMN_CHUNK;
  const chunks = Math.ceil(middle / chunk);
  const bytes = outer * chunks * inner * FLOAT_BYTES;
  const sums = chunks === 1 ? target[0] : context.scratch(bytes);
  const strides = [x.strides[0]! * FLOAT_BYTES, x.strides[1]! * FLOAT_BYTES];
  context.command("reduceSumChunks", [outer, middle, inner, chunk, context.address(x), ...strides, sums], {
    reads: [context.range(x)],
    writes: [[sums, bytes]],
  });
  if (chunks === 1) return;
  context.command("reduceSumPartials", [outer, chunks, inner, sums, target[0]], {
    reads: [[sums, bytes]],
    writes: [target],
  });
};

const reduceMax: WasmKernel = (context, call) => {
  const [outer, middle, inner] = sizes(call);
  const x = call.inputs["x"]!;
  const y = call.outputs["y"]!;
  const at = call.outputs["at"]!;
  if (y.size === 0) return;
  const strides = [x.strides[0]! * FLOAT_BYTES, x.strides[1]! * FLOAT_BYTES];
  const words = [outer, middle, inner, context.address(x), ...strides, context.address(y), context.address(at)];
  context.command("reduceMax", words, {
    reads: [context.range(x)],
    writes: [context.range(y), context.range(at)],
  });
};

const reduceMaxBackward: WasmKernel = (context, call) => {
  const [outer, middle, inner] = sizes(call);
  const at = call.inputs["at"]!;
  const dy = call.inputs["dy"]!;
  const dx = call.outputs["dx"]!;
  if (dx.size === 0) return;
  const words = [
    ...[outer, middle, inner, BACKWARD_CHUNK],
    ...[context.address(at), at.strides[0]! * FLOAT_BYTES],
    ...[context.address(dy), dy.strides[0]! * FLOAT_BYTES],
    context.address(dx),
  ];
  context.command("reduceMaxBackward", words, {
    reads: [context.range(at), context.range(dy)],
    writes: [context.range(dx)],
  });
};

/** Wasm kernels of this folder. */
export const reduceWasm = { reduceSum, reduceMax, reduceMaxBackward } as const satisfies Record<string, WasmKernel>;
