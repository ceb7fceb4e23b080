import type { Range, WasmKernel, WasmKernelContext } from "../../backends/wasm/index.ts";
import { powerOfTwo } from "./power-of-two.ts";

const FLOAT_BYTES = 4;
/** An element of a transform: four complex numbers. */
const ELEMENT_BYTES = 32;

/** What transforms of a power of two read. */
export interface Turns {
  readonly count: number;
  readonly table: Range;
}

/** Appends the command that writes exp(-2 pi i k / count). */
export function encodeTurns(context: WasmKernelContext, count: number): Turns {
  const bytes = 2 * FLOAT_BYTES * count;
  const table: Range = [context.scratch(bytes), bytes];
  context.command("fourierTurns", [table[0], count], { reads: [], writes: [table] });
  return { count, table };
}

interface Transform {
  /** From the count of a transform to the address of its scratch. */
  readonly words: readonly number[];
  readonly reads: readonly Range[];
  readonly work: Range;
}

/** Appends what a transform of any length reads. */
function encodeTables(context: WasmKernelContext, length: number): Transform {
  const isPower = powerOfTwo(length) === length;
  const count = isPower ? length : powerOfTwo(2 * length - 1);
  const { table } = encodeTurns(context, count);
  const workBytes = context.threads * ELEMENT_BYTES * count;
  const work: Range = [context.scratch(workBytes), workBytes];
  if (isPower) return { words: [count, table[0], 0, 0, work[0]], reads: [table], work };
  const sized = (size: number): Range => [context.scratch(2 * FLOAT_BYTES * size), 2 * FLOAT_BYTES * size];
  const [chirp, spectrum] = [sized(length), sized(count)];
  context.command("fourierChirp", [chirp[0], length, spectrum[0], count, table[0], work[0]], {
    reads: [table],
    writes: [chirp, spectrum, work],
  });
  return { words: [count, table[0], chirp[0], spectrum[0], work[0]], reads: [table, chirp, spectrum], work };
}

const realFourier: WasmKernel = (context, { inputs, outputs, axes, params }) => {
  const [x, spectrum] = [inputs["x"]!, outputs["spectrum"]!];
  if (spectrum.size === 0) return;
  const { length, channels } = axes as { length: number; channels: number };
  const { words, reads, work } = encodeTables(context, length);
  const own = [context.address(x), x.strides[0]! * FLOAT_BYTES, context.address(spectrum), length, channels];
  context.command("realFourier", [...own, ...words, params["adjoint"] ? 1 : 0], {
    reads: [context.range(x), ...reads],
    writes: [context.range(spectrum), work],
  });
};

const inverseRealFourier: WasmKernel = (context, { inputs, outputs, axes, params }) => {
  const [spectrum, x] = [inputs["spectrum"]!, outputs["x"]!];
  if (x.size === 0) return;
  const { length, channels } = axes as { length: number; channels: number };
  const { words, reads, work } = encodeTables(context, length);
  const strides = spectrum.strides.slice(0, 2).map((stride) => stride * FLOAT_BYTES);
  const own = [context.address(spectrum), ...strides, context.address(x), length, channels];
  context.command("inverseRealFourier", [...own, ...words, params["adjoint"] ? 0 : 1], {
    reads: [context.range(spectrum), ...reads],
    writes: [context.range(x), work],
  });
};

/** Wasm kernels of this folder. */
export const fourierWasm = { realFourier, inverseRealFourier } as const satisfies Record<string, WasmKernel>;
