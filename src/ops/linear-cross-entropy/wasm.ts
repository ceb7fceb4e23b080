import type { Range, WasmKernel, WasmKernelContext } from "../../backends/wasm/index.ts";
import type { KernelCall } from "../../tensor/device.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import { type Operand, partOf, rowsOf, transposed } from "../matmul/operand.ts";
import { encodePack, encodeProduct, type Panels, panelBytes } from "../matmul/product.ts";
import { ScratchLoop } from "../matmul/scratch-loop.ts";
import { panelAddress, unpackedRows } from "../matmul/weight.ts";
import { addressOr0, rangesOf } from "../rms-norm/wasm.ts";

/** Logits of some consecutive tokens and rows of the weight, in scratch, dense [tokens rows]. */
interface Block {
  readonly logits: Operand;
  readonly firstToken: number;
  readonly tokens: number;
  readonly firstRow: number;
  readonly rows: number;
}

const FLOAT_BYTES = 4;
const RUNNING_BYTES = 12;
const PANEL_ROWS = 8;

/** Dense rows of a matrix at an address. */
function denseMatrix(address: number, rows: number, columns: number): Operand {
  const rowStride = columns * FLOAT_BYTES;
  return { address, rowStride, columnStride: 4, batchStride: 0, range: [address, rows * rowStride] };
}

/**
 * Appends the commands of every block of logits, and those of `f` behind each: all tokens with the first rows, so that
 * a weight that is not packed is packed once, then with the next.
 */
function forEachBlock(
  context: WasmKernelContext,
  { inputs, axes, params }: KernelCall,
  x: Operand,
  f: (block: Block, step: WasmKernelContext) => void,
): void {
  const [tokens, inner] = [axes["tokens"]!, axes["dModel"]!];
  const vocabSize = params["vocabSize"] as number;
  // panels cannot be cut
  const wanted = Math.floor((params["rowChunk"] as number) / PANEL_ROWS) * PANEL_ROWS;
  const rowChunk = Math.min(vocabSize, Math.max(PANEL_ROWS, wanted));
  const tokenChunk = Math.min(tokens, params["tokenChunk"] as number);
  const logits = context.scratch(tokenChunk * rowChunk * FLOAT_BYTES);
  const weight = inputs["weight"]!;
  const packed = weight.layout === "panels8" ? 0 : context.scratch(panelBytes(inner, rowChunk));
  const step = new ScratchLoop(context);
  for (let firstRow = 0; firstRow < vocabSize; firstRow += rowChunk) {
    const rows = Math.min(rowChunk, vocabSize - firstRow);
    const b = weightPanels(context, weight, packed, firstRow, rows);
    for (let firstToken = 0; firstToken < tokens; firstToken += tokenChunk) {
      const count = Math.min(tokenChunk, tokens - firstToken);
      const y = denseMatrix(logits, count, rows);
      step.rewind();
      encodeProduct(step, { a: partOf(x, firstToken, 0), b, y, rows: count, inner, columns: rows });
      f({ logits: y, firstToken, tokens: count, firstRow, rows }, step);
    }
  }
}

/** The transpose of some rows of the weight as panels. */
function weightPanels(
  context: WasmKernelContext,
  weight: Tensor,
  packed: number,
  firstRow: number,
  rows: number,
): Panels {
  const inner = weight.shape[1]!;
  if (weight.layout === "panels8") {
    return { address: panelAddress(context, weight, firstRow), range: context.range(weight), dtype: weight.dtype };
  }
  return encodePack(context, transposed(partOf(rowsOf(context, weight), firstRow, 0)), packed, {
    inner,
    columns: rows,
  });
}

/** Words that kernels of blocks start with. */
function blockWords(context: WasmKernelContext, targets: Tensor, block: Block): number[] {
  const { logits, firstToken, tokens, firstRow, rows } = block;
  return [tokens, rows, logits.address, context.address(targets) + firstToken * FLOAT_BYTES, firstRow];
}

const linearCrossEntropy: WasmKernel = (context, call) => {
  const { inputs, outputs, axes, params } = call;
  const targets = inputs["targets"]!;
  const made = [outputs["losses"]!, outputs["valid"]!, outputs["logSumExp"]!];
  const tokens = axes["tokens"]!;
  if (tokens === 0) return;
  const running: Range = [context.scratch(tokens * RUNNING_BYTES), tokens * RUNNING_BYTES];
  forEachBlock(context, call, rowsOf(context, inputs["x"]!), (block) => {
    const own = running[0] + block.firstToken * RUNNING_BYTES;
    const words = [...blockWords(context, targets, block), own, block.firstRow === 0 ? 1 : 0];
    const reads = [block.logits.range, context.range(targets)];
    context.command("linearCrossEntropyAdd", words, { reads, writes: [[own, block.tokens * RUNNING_BYTES]] });
  });
  const words = [tokens, params["vocabSize"] as number, params["ignoreIndex"] as number, context.address(targets)];
  context.command(
    "linearCrossEntropyFinish",
    [...words, running[0], ...made.map((tensor) => context.address(tensor))],
    { reads: [running, context.range(targets)], writes: rangesOf(context, made) },
  );
};

const linearCrossEntropyBackward: WasmKernel = (context, call) => {
  const { inputs, outputs, axes } = call;
  const { dx, dweight } = outputs;
  const inner = axes["dModel"]!;
  const x = rowsOf(context, inputs["x"]!);
  const weight = weightForInput(context, inputs["weight"]!, dx);
  clearUnwritten(context, call);
  forEachBlock(context, call, x, (block, step) => {
    encodeGradient(step, call, block);
    const { logits, firstToken, tokens, firstRow, rows } = block;
    if (dx && weight) {
      const y = partOf(denseMatrix(context.address(dx), axes["tokens"]!, inner), firstToken, 0);
      const b = weight(step, firstRow, rows);
      encodeProduct(step, { a: logits, b, y, rows: tokens, inner: rows, columns: inner, add: firstRow > 0 });
    }
    if (dweight) {
      const y = partOf(denseMatrix(context.address(dweight), axes["rows"]!, inner), firstRow, 0);
      const sizes = { rows, inner: tokens, columns: inner };
      encodeProduct(step, { a: transposed(logits), b: partOf(x, firstToken, 0), y, ...sizes, add: firstToken > 0 });
    }
  });
};

function encodeGradient(context: WasmKernelContext, { inputs, params }: KernelCall, block: Block): void {
  const { targets, logSumExp, dlosses, dlogSumExp } = inputs;
  const skipped = block.firstToken * FLOAT_BYTES;
  const addresses = [logSumExp, dlosses, dlogSumExp].map((given) => (given ? addressOr0(context, given) + skipped : 0));
  const words = [...blockWords(context, targets!, block), params["vocabSize"] as number];
  context.command("linearCrossEntropyGradient", [...words, params["ignoreIndex"] as number, ...addresses], {
    reads: rangesOf(context, [targets, logSumExp, dlosses, dlogSumExp]),
    writes: [block.logits.range],
  });
}

/** Rows of the weight for dx = dlogits weight; those of a packed weight are unpacked block by block. */
function weightForInput(
  context: WasmKernelContext,
  weight: Tensor,
  dx: Tensor | undefined,
): ((step: WasmKernelContext, firstRow: number, rows: number) => Operand) | undefined {
  if (!dx) return undefined;
  if (weight.layout !== "panels8") {
    const all = rowsOf(context, weight);
    return (_, firstRow) => partOf(all, firstRow, 0);
  }
  return (step, firstRow, rows) => unpackedRows(step, weight, firstRow, rows);
}

/** Zeros in gradients that no block writes: of padding rows, and of everything where there are no tokens. */
function clearUnwritten(context: WasmKernelContext, { outputs, axes, params }: KernelCall): void {
  const dweight = outputs["dweight"];
  if (!dweight) return;
  const written = axes["tokens"] === 0 ? 0 : (params["vocabSize"] as number);
  const rowBytes = axes["dModel"]! * FLOAT_BYTES;
  const rest: Range = [context.address(dweight) + written * rowBytes, (axes["rows"]! - written) * rowBytes];
  if (rest[1] > 0) context.command("clearBytes", [...rest], { reads: [], writes: [rest] });
}

/** Wasm kernels of this folder. */
export const linearCrossEntropyWasm = {
  linearCrossEntropy,
  linearCrossEntropyBackward,
} as const satisfies Record<string, WasmKernel>;
